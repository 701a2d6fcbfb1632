#include "support/allocations.hpp"
#include "support/world.hpp"

#include <memory>
#include <new>

using namespace std::chrono_literals;

namespace {

coho::task<> at_once() { co_return; }
coho::task<> one_turn() { co_await coho::yield(); }
coho::task<> holding(std::unique_ptr<int> owned) {
    co_await coho::yield();
    CHECK(*owned == 1);
}

coho::task<> everything() {
    coho::task_group group({.max_live = 2});
    for (int i = 0; i < 4; ++i) co_await group.spawn(one_turn);
    co_await group.join();
    co_await at_once();
    co_await coho::sleep(1us);
    auto limited = co_await coho::timeout(1us, coho::sleep(1h));
    CHECK_FALSE(limited);
    co_await coho::when_all(one_turn(), at_once());
    co_await coho::race(one_turn(), coho::sleep(1h));
}

/// A session in which any allocation may fail; each failure must come out as bad_alloc, or be dealt with.
coho::task<> fragile() {
    coho::task_group group;
    bool failed = false;
    try {
        for (int i = 0; i < 3; ++i) {
            co_await group.spawn(holding, std::make_unique<int>(1));
        }
    } catch (const std::bad_alloc&) {
        failed = true;
    }
    co_await group.join();
    if (failed) throw std::bad_alloc();
}

}  // namespace

TEST_CASE("once warm, tasks, groups, timeouts, races and sleep allocate nothing", "[heap]") {
    support::run([]() -> coho::task<> {
        co_await everything();
        const auto before = support::allocations();
        for (int i = 0; i < 10; ++i) co_await everything();
        const auto made = support::allocations() - before;
        CHECK(made == 0);
    });
}

TEST_CASE("H11: wherever an allocation fails, nothing is lost and nothing leaks", "[heap][H11]") {
    std::size_t failures = 0;
    for (std::size_t number = 1; number < 1000; ++number) {
        coho::scheduler<coho::epoll> world;
        bool failed = false;
        support::fail_allocation(number);
        try {
            world.run(fragile);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        support::fail_allocation(0);
        CHECK(world.frames().live() == 0);
        if (!failed) break;
        ++failures;
    }
    CHECK(failures >= 4);
}
