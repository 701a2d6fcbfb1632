#include "support/tasks.hpp"
#include "support/world.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;
using support::at_once;
using support::some_turns;
using support::throwing;

namespace {

struct counts {
    int begun = 0;
    int stopped = 0;
    int ended = 0;
};
using shared_counts = std::shared_ptr<counts>;

/// Opened by a test; a child waits for it turn by turn, so that no time is involved.
using gate = std::shared_ptr<bool>;

coho::task<> until_open(shared_counts seen, gate open) {
    ++seen->begun;
    while (!*open) co_await coho::yield();
    const bool stopped = co_await coho::stop_requested();
    if (stopped) ++seen->stopped;
    ++seen->ended;
}
coho::task<> counted_until_stop(shared_counts seen) {
    ++seen->begun;
    co_await coho::sleep_until(coho::never);
    ++seen->stopped;
    ++seen->ended;
}
coho::task<> open_later(gate open) {
    co_await some_turns();
    *open = true;
}

coho::task<> open_much_later(gate open) {
    for (int i = 0; i < 10; ++i) co_await some_turns();
    *open = true;
}
coho::task<> hold(std::shared_ptr<int>) { co_return; }

coho::task<> append(const std::string& text, const std::shared_ptr<std::string>& to) {
    co_await coho::yield();
    *to += text;
}

/// Not a coroutine, so what it throws comes before there is a task.
coho::task<> unable(bool throws) {
    if (throws) throw std::runtime_error("there is no task");
    return at_once();
}

}  // namespace

TEST_CASE("what a function takes by reference lives in the child's frame", "[group]") {
    support::run([]() -> coho::task<> {
        auto text = std::make_shared<std::string>();
        coho::task_group group;
        co_await group.spawn(append, std::string(100, 'a'), text);
        co_await group.spawn(&append, "b", text);
        co_await group.join();
        std::string both(100, 'a');
        both += "b";
        CHECK(*text == both);
    });
}

TEST_CASE("a callable object is the child's own, std::ref refers", "[group]") {
    struct counter {
        explicit counter(shared_counts given) : seen(std::move(given)) {}
        coho::task<> operator()(int by) {
            co_await coho::yield();
            own += by;
            seen->ended += own;
        }
        shared_counts seen;
        int own = 0;
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        counter here(seen);
        coho::task_group group;
        co_await group.spawn(here, 1);
        co_await group.spawn(here, 1);
        co_await group.join();
        CHECK(seen->ended == 2);
        CHECK(here.own == 0);
        co_await group.spawn(std::ref(here), 5);
        co_await group.join();
        CHECK(here.own == 5);
    });
}

TEST_CASE("a child runs until it first waits before spawn goes on", "[group]") {
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        auto open = std::make_shared<bool>(false);
        coho::task_group group;
        co_await group.spawn(until_open, seen, open);
        CHECK(seen->begun == 1);
        CHECK(group.live() == 1);
        *open = true;
        co_await group.join();
        CHECK(group.live() == 0);
    });
}

TEST_CASE("spawn waits exactly as long as there is no room", "[group]") {
    static constexpr auto spawn_third = [](coho::task_group& group, shared_counts seen,
                                           gate open) -> coho::task<> {
        const bool started = co_await group.spawn(until_open, seen, open);
        CHECK(started);
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        auto first_open = std::make_shared<bool>(false);
        auto open = std::make_shared<bool>(false);
        coho::task_group group({.max_live = 2});
        coho::task_group spawners;
        co_await group.spawn(until_open, seen, first_open);
        co_await group.spawn(until_open, seen, open);
        co_await spawners.spawn(spawn_third, std::ref(group), seen, open);
        co_await some_turns();
        CHECK(seen->begun == 2);
        CHECK(spawners.live() == 1);
        *first_open = true;
        co_await spawners.join();
        CHECK(seen->begun == 3);
        CHECK(seen->ended == 1);
        *open = true;
        co_await group.join();
        CHECK(seen->ended == 3);
    });
}

TEST_CASE("those who wait for room get it in the order in which they came", "[group]") {
    static constexpr auto note = [](std::shared_ptr<std::string> order, char own) -> coho::task<> {
        *order += own;
        co_await coho::yield();
    };
    static constexpr auto spawn_one = [](coho::task_group& group,
                                         std::shared_ptr<std::string> order,
                                         char own) -> coho::task<> {
        co_await group.spawn(note, order, own);
    };
    support::run([]() -> coho::task<> {
        auto order = std::make_shared<std::string>();
        coho::task_group group({.max_live = 1});
        coho::task_group spawners;
        for (const char own : {'a', 'b', 'c', 'd', 'e'}) {
            co_await spawners.spawn(spawn_one, std::ref(group), order, own);
        }
        co_await spawners.join();
        co_await group.join();
        CHECK(*order == "abcde");
    });
}

TEST_CASE("a function that throws before there is a task leaves its room to the next", "[group]") {
    support::run([]() -> coho::task<> {
        int caught = 0;
        coho::task_group group({.max_live = 1});
        for (int i = 0; i < 3; ++i) {
            try {
                co_await group.spawn(unable, true);
            } catch (const std::runtime_error&) {
                ++caught;
            }
        }
        CHECK(caught == 3);
        CHECK(group.live() == 0);
        const bool started = co_await group.spawn(unable, false);
        CHECK(started);
        co_await group.join();
    });
}

TEST_CASE("H8: a child that throws ends a spawn that waits for room", "[group][H8]") {
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        bool caught = false;
        coho::task_group group({.max_live = 2});
        co_await group.spawn(counted_until_stop, seen);
        co_await group.spawn(throwing, "in the way");
        try {
            co_await group.spawn(counted_until_stop, seen);
        } catch (const std::runtime_error&) {
            caught = true;
        }
        CHECK(caught);
        CHECK(seen->begun == 1);
        CHECK(seen->stopped == 1);
        co_await group.join();
    });
}

TEST_CASE("H8: a loop that does nothing but spawn ends with what a child throws", "[group][H8]") {
    static constexpr auto serve = [](shared_counts seen) -> coho::task<> {
        coho::task_group group;
        co_await group.spawn(counted_until_stop, seen);
        co_await group.spawn(throwing, "from one of many");
        for (;;) {
            co_await coho::yield();
            co_await group.spawn(at_once);
        }
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        std::string caught;
        try {
            co_await serve(seen);
        } catch (const std::runtime_error& thrown) {
            caught = thrown.what();
        }
        CHECK(caught == "from one of many");
        // Its siblings have ended by then, so that the group may die.
        CHECK(seen->stopped == 1);
    });
}

TEST_CASE("a spawn after a child has thrown still ends with its own timeout", "[group][H8]") {
    static constexpr auto slow_to_stop = []() -> coho::task<> {
        co_await coho::sleep_until(coho::never);
        for (int i = 0; i < 1000; ++i) co_await coho::yield();
    };
    support::run([]() -> coho::task<> {
        int caught = 0;
        coho::task_group group;
        co_await group.spawn(slow_to_stop);
        co_await group.spawn(throwing, "once");
        co_await some_turns();
        auto late = co_await coho::timeout(0s, group.spawn(at_once));
        CHECK((!late && late.error() == coho::errc::timed_out));
        CHECK(group.live() == 1);
        try {
            co_await group.join();
        } catch (const std::runtime_error&) {
            ++caught;
        }
        CHECK(caught == 1);
    });
}

TEST_CASE("H8: what a child throws while it is asked to stop comes out of join", "[group][H8]") {
    static constexpr auto throw_when_stopped = []() -> coho::task<> {
        co_await coho::sleep_until(coho::never);
        throw std::runtime_error("while it stops");
    };
    support::run([]() -> coho::task<> {
        bool caught = false;
        coho::task_group group;
        co_await group.spawn(throw_when_stopped);
        group.request_stop();
        try {
            co_await group.join();
        } catch (const std::runtime_error&) {
            caught = true;
        }
        CHECK(caught);
        // It was told once.
        co_await group.join();
    });
}

TEST_CASE("a group with no children joins, and one never used needs no join", "[group]") {
    support::run([]() -> coho::task<> {
        coho::task_group unused;
        coho::task_group empty;
        co_await empty.join();
        co_await empty.join();
    });
}

TEST_CASE("in a drain without end, children go on until they end by themselves", "[group]") {
    static constexpr auto owner = [](shared_counts seen, gate open) -> coho::task<> {
        coho::task_group group({.drain = coho::duration::max()});
        co_await group.spawn(until_open, seen, open);
        co_await coho::sleep_until(coho::never);
        co_await some_turns();
        CHECK(seen->ended == 0);
        co_await open_later(open);
        co_await group.join();
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        auto open = std::make_shared<bool>(false);
        auto limited = co_await coho::timeout(1ms, owner(seen, open));
        CHECK_FALSE(limited);
        CHECK(seen->ended == 1);
        CHECK(seen->stopped == 0);
    });
}

TEST_CASE("who waits for room waits no longer once stop is asked, though a drain goes on",
          "[group]") {
    static constexpr auto owner = [](shared_counts seen, gate open) -> coho::task<> {
        coho::task_group group({.max_live = 1, .drain = coho::duration::max()});
        co_await group.spawn(until_open, seen, open);
        const bool started = co_await group.spawn(until_open, seen, open);
        CHECK_FALSE(started);
        CHECK(seen->ended == 0);
        *open = true;
        co_await group.join();
        CHECK(seen->stopped == 0);
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        auto open = std::make_shared<bool>(false);
        coho::task_group group;
        co_await group.spawn(owner, seen, open);
        // Lets the child end where the owner was not told.
        co_await group.spawn(open_much_later, open);
        co_await some_turns();
        group.request_stop();
        co_await group.join();
        CHECK(seen->begun == 1);
    });
}

TEST_CASE("H9: join waits for the frames too, also of children that ended at once", "[group][H9]") {
    support::run([]() -> coho::task<> {
        auto owned = std::make_shared<int>(1);
        coho::task_group group;
        co_await group.spawn(hold, owned);
        co_await group.join();
        // Its frame was the last to own it.
        CHECK(owned.use_count() == 1);
    });
}

TEST_CASE("request_stop cuts a drain short", "[group]") {
    static constexpr auto owner = [](shared_counts seen) -> coho::task<> {
        coho::task_group group({.drain = coho::duration::max()});
        co_await group.spawn(counted_until_stop, seen);
        co_await coho::sleep_until(coho::never);
        co_await some_turns();
        CHECK(seen->stopped == 0);
        group.request_stop();
        co_await group.join();
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        auto limited = co_await coho::timeout(1ms, owner(seen));
        CHECK_FALSE(limited);
        CHECK(seen->stopped == 1);
    });
}

TEST_CASE("a group made when stop was asked already starts no child", "[group]") {
    static constexpr auto late = [](shared_counts seen) -> coho::task<> {
        coho::task_group group({.drain = 1h});
        const bool started = co_await group.spawn(counted_until_stop, seen);
        CHECK_FALSE(started);
        co_await group.join();
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        auto limited = co_await coho::timeout(0s, late(seen));
        CHECK_FALSE(limited);
        CHECK(seen->begun == 0);
    });
}

TEST_CASE("children inherit the loop and the deadline of the group's owner", "[group]") {
    static constexpr auto look = [](coho::environment* above,
                                    std::shared_ptr<coho::environment> seen) -> coho::task<> {
        auto& own = co_await coho::inherited();
        *seen = own;
        CHECK(own.stop != above->stop);
    };
    static constexpr auto owner = []() -> coho::task<> {
        auto& own = co_await coho::inherited();
        auto seen = std::make_shared<coho::environment>();
        coho::task_group group;
        co_await group.spawn(look, &own, seen);
        co_await group.join();
        CHECK(seen->loop == own.loop);
        CHECK(seen->until == own.until);
        CHECK(own.until != coho::never);
    };
    support::run([]() -> coho::task<> { co_await coho::deadline_in(1h, owner()); });
}

TEST_CASE("spawn under a timeout starts its child where there is room", "[group]") {
    support::run([]() -> coho::task<> {
        coho::task_group group;
        auto started = co_await coho::timeout(1h, group.spawn(some_turns));
        REQUIRE(started);
        CHECK(*started);
        co_await group.join();
    });
}

TEST_CASE("a spawn that waits for room ends with its own timeout", "[group]") {
    static constexpr auto owner = [](shared_counts seen) -> coho::task<> {
        coho::task_group group({.max_live = 1});
        co_await group.spawn(counted_until_stop, seen);
        auto late = co_await coho::timeout(1ms, group.spawn(counted_until_stop, seen));
        // Nobody but that one spawn was to end.
        CHECK(seen->stopped == 0);
        CHECK((!late && late.error() == coho::errc::timed_out));
        group.request_stop();
        co_await group.join();
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        // Where it does not end, it ends with its owner.
        auto limited = co_await coho::timeout(300ms, owner(seen));
        CHECK(limited);
    });
}

// The stop that the group listened to at first is gone with the timeout.
TEST_CASE("a group hears of stop although its first spawn was under a timeout",
          "[group]") {
    static constexpr auto owner = [](shared_counts seen) -> coho::task<> {
        coho::task_group group;
        auto first = co_await coho::timeout(1h, group.spawn(counted_until_stop, seen));
        CHECK(first);
        co_await coho::sleep_until(coho::never);
        const bool started = co_await group.spawn(counted_until_stop, seen);
        CHECK_FALSE(started);
        co_await group.join();
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        auto limited = co_await coho::timeout(1ms, owner(seen));
        CHECK_FALSE(limited);
    });
}

TEST_CASE("a group that was joined and is used again hears of stop", "[group]") {
    static constexpr auto owner = [](shared_counts seen) -> coho::task<> {
        coho::task_group group;
        co_await group.spawn(at_once);
        co_await group.join();
        co_await group.spawn(counted_until_stop, seen);
        co_await coho::sleep_until(coho::never);
        co_await some_turns();
        CHECK(seen->stopped == 1);
        const bool started = co_await group.spawn(counted_until_stop, seen);
        CHECK_FALSE(started);
        co_await group.join();
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<counts>();
        auto limited = co_await coho::timeout(1ms, owner(seen));
        CHECK_FALSE(limited);
    });
}

// The event loop destroys the frames, so a loop of spawns must return to it now and then.
TEST_CASE("children that end at once do not pile up their frames", "[group][H9]") {
    support::run([]() -> coho::task<> {
        auto& own = co_await coho::inherited();
        std::size_t most = 0;
        coho::task_group group({.max_live = 4});
        for (int i = 0; i < 20'000; ++i) {
            co_await group.spawn(at_once);
            most = std::max(most, own.loop->frames().live());
        }
        co_await group.join();
        CHECK(most < 1000);
    });
}
