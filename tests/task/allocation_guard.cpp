#include "support/child_process.hpp"
#include "support/world.hpp"

#include <array>
#include <csignal>
#include <optional>
#include <thread>

namespace {

coho::task<> small_frame() { co_await coho::yield(); }
coho::task<> keep_much() {
    std::array<char, 5000> kept{};
    // Of what stands at a known place a compiler may keep that byte alone.
    volatile std::size_t place = 4999;
    kept[place] = 1;
    co_await coho::yield();
    CHECK(kept[place] == 1);
}
// And it may lay the frame of a function that it knows into that of the caller.
coho::task<> (*volatile large_frame)() = keep_much;

coho::task<> warm_up_and_guard() {
    co_await small_frame();
    co_await large_frame();
    const coho::allocation_guard guard;
    for (int i = 0; i < 100; ++i) {
        co_await small_frame();
        co_await large_frame();
    }
}
coho::task<> guard_a_first_frame() {
    co_await small_frame();
    const coho::allocation_guard guard;
    co_await small_frame();
    co_await large_frame();
}
coho::task<> guard_in_two_places() {
    std::optional<coho::allocation_guard> one, other;
    one.emplace();
    other.emplace();
    one.reset();
    co_await large_frame();
}
coho::task<> guard_no_more() {
    {
        const coho::allocation_guard first;
        const coho::allocation_guard second;
    }
    co_await large_frame();
}
coho::task<> guard_a_post() {
    const coho::allocation_guard guard;
    coho::event_loop::current()->post([] {});
    co_return;
}
coho::task<> guard_a_pool() {
    const coho::allocation_guard guard;
    coho::scheduler<support::any_kernel>::current().buffers();
    co_return;
}
coho::task<> guard_another_thread() {
    std::thread other;
    std::atomic<bool> begins = false;
    other = std::thread([&begins] {
        while (!begins) std::this_thread::yield();
        support::run(keep_much);
    });
    {
        const coho::allocation_guard guard;
        begins = true;
        other.join();
    }
    co_return;
}

support::child_end end_of(coho::task<> (*function)()) {
    return support::run_in_child([&] {
        coho::scheduler<support::any_kernel> world;
        return world.run(function);
    });
}

}  // namespace

TEST_CASE("what allocates nothing goes on while a guard is alive", "[guard]") {
    support::run(warm_up_and_guard);
    support::run(guard_no_more);
    support::run(guard_another_thread);
}

TEST_CASE("a frame that is allocated while a guard is alive ends the program", "[guard]") {
    const auto first = end_of(guard_a_first_frame);
    CHECK(first.signal == SIGABRT);
    CHECK(first.says("coho: a coroutine frame of "));
    CHECK(first.says(" bytes was allocated while an allocation_guard was alive"));
    const auto one_left = end_of(guard_in_two_places);
    CHECK(one_left.signal == SIGABRT);
    CHECK(one_left.says("a coroutine frame of "));
}

TEST_CASE("a posted function or a pool that is made while a guard is alive ends the program",
          "[guard]") {
    const auto posted = end_of(guard_a_post);
    CHECK(posted.signal == SIGABRT);
    CHECK(posted.says("coho: a posted function of "));
    const auto pool = end_of(guard_a_pool);
    CHECK(pool.signal == SIGABRT);
    CHECK(pool.says("coho: a pool of buffers of "));
}
