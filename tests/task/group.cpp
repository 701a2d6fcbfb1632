#include "support/child_process.hpp"
#include "support/tasks.hpp"
#include "support/world.hpp"

#include <algorithm>
#include <csignal>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;
using support::throwing;

namespace {

struct tally {
    int live = 0;
    int most = 0;
    int ended = 0;
    int stopped = 0;
};

coho::task<> counted(tally& seen, coho::duration span) {
    seen.most = std::max(seen.most, ++seen.live);
    const bool slept = co_await coho::sleep(span);
    --seen.live;
    ++seen.ended;
    if (!slept) ++seen.stopped;
}
coho::task<> counted_by_value(std::shared_ptr<tally> seen, coho::duration span) {
    co_await counted(*seen, span);
}

}  // namespace

TEST_CASE("join waits for every child, and for what it owned", "[group]") {
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<tally>();
        coho::task_group group;
        for (int i = 0; i < 10; ++i) {
            const bool started = co_await group.spawn(counted_by_value, seen, i * 100us);
            CHECK(started);
        }
        co_await group.join();
        CHECK(seen->ended == 10);
        CHECK(group.live() == 0);
        CHECK(seen.use_count() == 1);
    });
}

TEST_CASE("max_live is never exceeded: spawn waits for room", "[group]") {
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<tally>();
        coho::task_group group({.max_live = 3});
        for (int i = 0; i < 20; ++i) co_await group.spawn(counted_by_value, seen, 100us);
        co_await group.join();
        CHECK(seen->most == 3);
        CHECK(seen->ended == 20);
    });
}

TEST_CASE("children that end at once leave their room at once", "[group]") {
    static constexpr auto at_once = [](int& ended) -> coho::task<> {
        ++ended;
        co_return;
    };
    support::run([]() -> coho::task<> {
        int ended = 0;
        coho::task_group group({.max_live = 1});
        for (int i = 0; i < 1000; ++i) co_await group.spawn(at_once, std::ref(ended));
        CHECK(ended == 1000);
        CHECK(group.live() == 0);
        co_await group.join();
    });
}

TEST_CASE("children may spawn into their own group, and join waits for them too", "[group]") {
    struct family {
        coho::task_group group;
        int born = 0;
        static coho::task<> descend(family& own, int generations) {
            const int children = generations > 0 ? 2 : 0;
            ++own.born;
            co_await coho::yield();
            for (int i = 0; i < children; ++i) {
                co_await own.group.spawn(descend, std::ref(own), generations - 1);
            }
        }
    };
    support::run([]() -> coho::task<> {
        family own;
        co_await own.group.spawn(family::descend, std::ref(own), 5);
        co_await own.group.join();
        CHECK(own.born == 63);
    });
}

TEST_CASE("request_stop stops the children at once, and spawn starts no more", "[group]") {
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<tally>();
        coho::task_group group({.drain = 1h});
        for (int i = 0; i < 5; ++i) co_await group.spawn(counted_by_value, seen, 1h);
        group.request_stop();
        const bool started = co_await group.spawn(counted_by_value, seen, 1h);
        CHECK_FALSE(started);
        // One that was not started leaves nothing of its arguments.
        CHECK(seen.use_count() == 1 + 5);
        CHECK(group.live() == 5);
        co_await group.join();
        CHECK(seen->stopped == 5);
    });
}

TEST_CASE("stop from above reaches the children only after drain", "[group]") {
    static constexpr auto owner = [](std::shared_ptr<tally> seen,
                                     coho::duration drain) -> coho::task<> {
        coho::task_group group({.drain = drain});
        co_await group.spawn(counted_by_value, seen, 20ms);
        co_await group.spawn(counted_by_value, seen, 1h);
        co_await coho::sleep_until(coho::never);
        const bool started = co_await group.spawn(counted_by_value, seen, 1h);
        CHECK_FALSE(started);
        co_await group.join();
    };
    support::run([]() -> coho::task<> {
        auto drained = std::make_shared<tally>();
        auto first = co_await coho::timeout(1ms, owner(drained, 200ms));
        CHECK_FALSE(first);
        // The short one went on to its own end; the long one was asked when drain had passed.
        CHECK(drained->ended == 2);
        CHECK(drained->stopped == 1);
        auto undrained = std::make_shared<tally>();
        auto second = co_await coho::timeout(1ms, owner(undrained, 0s));
        CHECK_FALSE(second);
        CHECK(undrained->stopped == 2);
    });
}

TEST_CASE("stop goes down through nested groups, once each has had its drain", "[group]") {
    using words = std::string;
    static constexpr auto child = [](words& events) -> coho::task<> {
        co_await coho::sleep_until(coho::never);
        events += "child ";
    };
    static constexpr auto inner = [](words& events) -> coho::task<> {
        coho::task_group group({.drain = 2ms});
        co_await group.spawn(child, std::ref(events));
        co_await coho::sleep_until(coho::never);
        events += "inner ";
        co_await group.join();
        events += "joined ";
    };
    static constexpr auto outer = [](words& events) -> coho::task<> {
        coho::task_group group({.drain = 2ms});
        co_await group.spawn(inner, std::ref(events));
        co_await coho::sleep_until(coho::never);
        events += "outer ";
        co_await group.join();
        events += "joined";
    };
    support::run([]() -> coho::task<> {
        words events;
        auto limited = co_await coho::timeout(1ms, outer(events));
        CHECK_FALSE(limited);
        CHECK(events == "outer inner child joined joined");
    });
}

TEST_CASE("children are told why they stop", "[group]") {
    static constexpr auto child = [](coho::errc& reason) -> coho::task<> {
        auto& own = co_await coho::inherited();
        co_await coho::sleep_until(coho::never);
        reason = own.stop->reason();
    };
    support::run([]() -> coho::task<> {
        auto by_time = coho::errc::none;
        coho::task_group limited;
        co_await limited.spawn(child, std::ref(by_time));
        auto joined = co_await coho::timeout(1ms, limited.join());
        CHECK_FALSE(joined);
        CHECK(by_time == coho::errc::timed_out);

        auto by_request = coho::errc::none;
        coho::task_group asked;
        co_await asked.spawn(child, std::ref(by_request));
        asked.request_stop();
        co_await asked.join();
        CHECK(by_request == coho::errc::cancelled);
    });
}

TEST_CASE("a spawn that waits for room ends when stop is asked", "[group]") {
    static constexpr auto owner = [](std::shared_ptr<tally> seen) -> coho::task<> {
        coho::task_group group({.max_live = 1});
        co_await group.spawn(counted_by_value, seen, 1h);
        const bool second = co_await group.spawn(counted_by_value, seen, 1h);
        CHECK_FALSE(second);
        co_await group.join();
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<tally>();
        auto limited = co_await coho::timeout(1ms, owner(seen));
        CHECK_FALSE(limited);
        CHECK(seen->ended == 1);
    });
}

TEST_CASE("a join under a timeout asks the children to stop", "[group]") {
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<tally>();
        coho::task_group group;
        co_await group.spawn(counted_by_value, seen, 1h);
        auto joined = co_await coho::timeout(1ms, group.join());
        CHECK_FALSE(joined);
        CHECK(seen->stopped == 1);
    });
}

TEST_CASE("H8: what a child throws stops its siblings and comes out of join", "[group][H8]") {
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<tally>();
        coho::task_group group({.drain = 1h});
        co_await group.spawn(counted_by_value, seen, 1h);
        co_await group.spawn(throwing, "first");
        co_await group.spawn(throwing, "second");
        std::string caught;
        try {
            co_await group.join();
        } catch (const std::runtime_error& thrown) {
            caught = thrown.what();
        }
        CHECK(caught == "first");
        CHECK(seen->stopped == 1);
        const bool started = co_await group.spawn(counted_by_value, seen, 1h);
        CHECK_FALSE(started);
    });
}

TEST_CASE("H8: a child that throws at once is heard of by join too, and only once", "[group][H8]") {
    static constexpr auto at_once = []() -> coho::task<> {
        const int code = 7;
        throw code;
        co_return;
    };
    support::run([]() -> coho::task<> {
        int caught = 0;
        coho::task_group group;
        const bool started = co_await group.spawn(at_once);
        CHECK(started);
        CHECK(group.live() == 0);
        try {
            co_await group.join();
        } catch (int thrown) {
            caught = thrown;
        }
        CHECK(caught == 7);
        co_await group.join();
    });
}

TEST_CASE("H8: an exception goes up through nested groups", "[group][H8]") {
    static constexpr auto inner = [](std::shared_ptr<tally> seen) -> coho::task<> {
        coho::task_group group;
        co_await group.spawn(counted_by_value, seen, 1h);
        co_await group.spawn(throwing, "from below");
        co_await group.join();
    };
    support::run([]() -> coho::task<> {
        auto seen = std::make_shared<tally>();
        coho::task_group group;
        co_await group.spawn(counted_by_value, seen, 1h);
        co_await group.spawn(inner, seen);
        std::string caught;
        try {
            co_await group.join();
        } catch (const std::runtime_error& thrown) {
            caught = thrown.what();
        }
        CHECK(caught == "from below");
        CHECK(seen->stopped == 2);
    });
}

TEST_CASE("a child keeps the callable and the arguments that it refers to", "[group]") {
    support::run([]() -> coho::task<> {
        std::string result;
        {
            coho::task_group group;
            const std::string captured(100, 'c');
            auto lambda = [captured, &result](const std::string& argument,
                                              std::unique_ptr<int> owned) -> coho::task<> {
                co_await coho::yield();
                result = captured + argument + std::to_string(*owned);
            };
            co_await group.spawn(std::move(lambda), std::string(100, 'a'),
                                 std::make_unique<int>(7));
            co_await group.join();
        }
        CHECK(result == std::string(100, 'c') + std::string(100, 'a') + "7");
    });
}

TEST_CASE("a named callable is copied: the child outlives it", "[group]") {
    support::run([]() -> coho::task<> {
        std::string result;
        coho::task_group group;
        {
            auto lambda = [captured = std::string(100, 'c'), &result]() -> coho::task<> {
                co_await coho::yield();
                result = captured;
            };
            co_await group.spawn(lambda);
        }
        co_await group.join();
        CHECK(result == std::string(100, 'c'));
    });
}

TEST_CASE("a group that dies before its children ends the program", "[group][death]") {
    static constexpr auto forgetful = []() -> coho::task<> {
        auto seen = std::make_shared<tally>();
        coho::task_group group;
        co_await group.spawn(counted_by_value, seen, 1h);
    };
    const auto end =
        support::run_in_child([] { return coho::run<support::any_kernel>(forgetful); });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("co_await its join()"));
}
