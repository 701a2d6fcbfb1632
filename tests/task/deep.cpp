#include "support/world.hpp"

#include <pthread.h>

namespace {

coho::task<int> at_once(int value) { co_return value; }

coho::task<> await_ten_million() {
    std::int64_t sum = 0;
    for (int i = 0; i < 10'000'000; ++i) sum += co_await at_once(i % 2);
    CHECK(sum == 5'000'000);
}

coho::task<int> chain(int links, bool wait_at_the_end) {
    int below = 0;
    if (links > 1) below = co_await chain(links - 1, wait_at_the_end);
    else if (wait_at_the_end) co_await coho::yield();
    co_return below + 1;
}

coho::task<> await_chain(bool wait_at_the_end) {
    const int links = co_await chain(100'000, wait_at_the_end);
    CHECK(links == 100'000);
}

/// On a stack so small that any growth with the number of awaits would overflow it.
template <class Function>
void on_small_stack(Function function) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_t thread;
    const auto body = [](void* argument) -> void* {
        (*static_cast<Function*>(argument))();
        return nullptr;
    };
    // Catch2 takes assertions from one thread at a time, so this one waits with its own.
    int failed = pthread_create(&thread, &attributes, body, &function);
    if (!failed) failed = pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    REQUIRE(failed == 0);
}

}  // namespace

TEST_CASE("H32: ten million awaits of tasks that end at once do not grow the stack", "[H32]") {
    on_small_stack([] { support::run(await_ten_million); });
}

TEST_CASE("H32: neither does a chain of a hundred thousand tasks", "[H32]") {
    on_small_stack([] {
        support::run(await_chain, false);
        support::run(await_chain, true);
    });
}
