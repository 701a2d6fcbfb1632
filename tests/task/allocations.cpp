#include "support/allocations.hpp"
#include "support/child_process.hpp"
#include "support/world.hpp"

#include <array>
#include <csignal>
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

coho::task<> awaits() {
    co_await at_once();
    co_await one_turn();
}
coho::task<> spawns_and_joins() {
    auto named = [](int) { return one_turn(); };
    coho::task_group group({.max_live = 2});
    for (int i = 0; i < 4; ++i) {
        co_await group.spawn(one_turn);
        co_await group.spawn(named, i);
    }
    co_await group.join();
}
coho::task<> sleeps() {
    co_await coho::sleep(1us);
    co_await coho::sleep(0s);
}
coho::task<> runs_out_of_time() {
    (void)co_await coho::timeout(1us, coho::sleep(1h));
    (void)co_await coho::timeout(1h, one_turn());
    co_await coho::deadline_in(1us, coho::sleep_until(coho::never));
}
coho::task<> runs_side_by_side() { co_await coho::when_all(one_turn(), at_once(), coho::yield()); }
coho::task<> races() { co_await coho::race(one_turn(), coho::sleep(1h)); }

/// A session in which any allocation may fail; each failure must come out as bad_alloc, or be dealt
/// with. Notes how many own `owner` once its children have been joined.
coho::task<> fragile(std::shared_ptr<int> owner, long& owners) {
    auto lambda = [owner](std::unique_ptr<int> owned) { return holding(std::move(owned)); };
    bool failed = false;
    coho::task_group group({.max_live = 3});
    try {
        for (int i = 0; i < 3; ++i) {
            const bool plain = co_await group.spawn(holding, std::make_unique<int>(1));
            const bool captured = co_await group.spawn(lambda, std::make_unique<int>(1));
            failed = failed || !plain || !captured;
        }
        co_await coho::when_all(one_turn(), holding(std::make_unique<int>(1)));
        co_await coho::race(one_turn(), coho::timeout(1h, coho::sleep(1h)));
    } catch (const std::bad_alloc&) {
        failed = true;
    }
    try {
        co_await group.join();
    } catch (const std::bad_alloc&) {
        failed = true;
    }
    owners = owner.use_count();
    if (failed) throw std::bad_alloc();
}

}  // namespace

TEST_CASE("once warm, tasks, groups, timeouts, races and sleep allocate nothing", "[heap]") {
    static constexpr std::array sessions{awaits, spawns_and_joins, sleeps, runs_out_of_time,
                                         runs_side_by_side, races};
    support::run([]() -> coho::task<> {
        for (auto* const session : sessions) {
            co_await session();
            const coho::allocation_guard guard;
            for (int i = 0; i < 10; ++i) co_await session();
        }
    });
}

TEST_CASE("a guard sees every operator new of a program that notes them", "[heap][guard]") {
    const auto end = support::run_in_child([] {
        const coho::allocation_guard guard;
        // A compiler may leave out a new expression whose memory goes at once, and not this.
        ::operator delete(::operator new(4));
        return 0;
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("coho: memory of 4 bytes was allocated while an allocation_guard was alive"));
}

TEST_CASE("H11: wherever an allocation fails, nothing is lost and nothing leaks", "[heap][H11]") {
    std::size_t failures = 0;
    for (std::size_t number = 1; number < 1000; ++number) {
        coho::scheduler<support::any_kernel> world;
        auto owner = std::make_shared<int>(1);
        long owners = 0;
        bool failed = false;
        support::fail_allocation(number);
        try {
            world.run(fragile, owner, owners);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        support::fail_allocation(0);
        CHECK(world.frames().live() == 0);
        CHECK(owner.use_count() == 1);
        // The test, the session and its lambda, but no child; none where it did not even begin.
        CHECK((owners == 3 || owners == 0));
        if (!failed) break;
        ++failures;
    }
    CHECK(failures >= 10);
}
