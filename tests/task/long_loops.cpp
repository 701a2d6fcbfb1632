#include "support/tasks.hpp"
#include "support/world.hpp"

#include <cstdint>
#include <stdexcept>

#include <pthread.h>

using namespace std::chrono_literals;
using support::at_once;
using support::number;

namespace {

constexpr int many = 200'000;

coho::task<> throw_at_once() {
    throw std::runtime_error("thrown at once");
    co_return;
}

coho::task<> await_ten_million() {
    std::int64_t sum = 0;
    for (int i = 0; i < 10'000'000; ++i) sum += co_await number(i % 2);
    CHECK(sum == 5'000'000);
}
coho::task<> limit_all() {
    int sum = 0;
    for (int i = 0; i < many; ++i) {
        auto limited = co_await coho::timeout(1h, number(1));
        sum += *limited;
    }
    CHECK(sum == many);
}
coho::task<> all_side_by_side() {
    int sum = 0;
    for (int i = 0; i < many; ++i) {
        auto [first, second] = co_await coho::when_all(number(1), number(2));
        auto one = co_await coho::race(number(1), at_once());
        sum += first + second + static_cast<int>(one.winner);
    }
    CHECK(sum == 3 * many);
}
coho::task<> throw_all() {
    int caught = 0;
    for (int i = 0; i < many / 10; ++i) {
        try {
            co_await throw_at_once();
        } catch (const std::runtime_error&) {
            ++caught;
        }
    }
    CHECK(caught == many / 10);
}
coho::task<> spawn_all() {
    coho::task_group group;
    for (int i = 0; i < many; ++i) co_await group.spawn(at_once);
    co_await group.join();
    CHECK(group.live() == 0);
}
coho::task<> yield_all() {
    for (int i = 0; i < many; ++i) co_await coho::yield();
    for (int i = 0; i < many; ++i) co_await coho::sleep(0s);
    CHECK(many > 0);
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
/// Each level spawns the next, and all of them end together when the last has.
coho::task<> spawn_chain(int levels) {
    coho::task_group group;
    if (levels > 1) co_await group.spawn(spawn_chain, levels - 1);
    co_await group.join();
}
coho::task<> side_by_side_chain(int levels) {
    if (levels > 1) co_await coho::when_all(at_once(), side_by_side_chain(levels - 1));
    else co_await coho::yield();
}
coho::task<> limited_chain(int levels) {
    if (levels > 1) {
        auto limited = co_await coho::timeout(1h, limited_chain(levels - 1));
        if (!limited) throw std::runtime_error("it took an hour");
    } else {
        co_await coho::yield();
    }
}
coho::task<> throwing_chain(int levels) {
    const int below = levels - 1;
    if (below > 0) co_await throwing_chain(below);
    throw std::runtime_error("from the deepest");
}
coho::task<> catch_from_chain() {
    bool caught = false;
    try {
        co_await throwing_chain(20'000);
    } catch (const std::runtime_error&) {
        caught = true;
    }
    CHECK(caught);
}

/// On a stack so small that any growth with the number of awaits would overflow it.
void on_small_stack(void (*function)()) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_t thread;
    const auto body = [](void* argument) -> void* {
        (*static_cast<void (**)()>(argument))();
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

TEST_CASE("H32: loops over whatever ends at once do not grow the stack", "[H32]") {
    on_small_stack([] {
        support::run(limit_all);
        support::run(all_side_by_side);
        support::run(throw_all);
        support::run(spawn_all);
        support::run(yield_all);
    });
}

TEST_CASE("H32: neither do deep chains of groups, when_all, timeouts and exceptions", "[H32]") {
    on_small_stack([] {
        support::run(spawn_chain, 20'000);
        support::run(side_by_side_chain, 20'000);
        support::run(limited_chain, 20'000);
        support::run(catch_from_chain);
    });
}
