#include "support/child_process.hpp"
#include "support/tasks.hpp"
#include "support/world.hpp"

#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;
using support::number;

namespace {

coho::task<std::unique_ptr<int>> pointer(int value) { co_return std::make_unique<int>(value); }
coho::task<int> throw_now_or_later(bool after_waiting) {
    const int never = 0;
    if (after_waiting) co_await coho::yield();
    throw std::runtime_error("thrown by a task");
    co_return never;
}
coho::task<> mark(bool& ran) {
    ran = true;
    co_return;
}

}  // namespace

TEST_CASE("a task gives its value, at once or after a wait", "[task]") {
    static constexpr auto late = [](int value) -> coho::task<int> {
        co_await coho::yield();
        co_return value;
    };
    support::run([]() -> coho::task<> {
        const int first = co_await number(1);
        const int second = co_await late(2);
        const auto third = co_await pointer(3);
        CHECK(first + second + *third == 6);
    });
}

TEST_CASE("what a task throws comes out of the co_await", "[task]") {
    support::run([]() -> coho::task<> {
        int caught = 0;
        for (const bool after_waiting : {false, true}) {
            try {
                co_await throw_now_or_later(after_waiting);
            } catch (const std::runtime_error& thrown) {
                CHECK(std::string(thrown.what()) == "thrown by a task");
                ++caught;
            }
        }
        CHECK(caught == 2);
    });
}

TEST_CASE("H9: a task runs only when awaited, and leaves nothing where it is not", "[task][H9]") {
    support::run([]() -> coho::task<> {
        bool ran = false;
        {
            auto unstarted = mark(ran);
            co_await coho::yield();
        }
        CHECK_FALSE(ran);
        co_await mark(ran);
        CHECK(ran);
    });
}

TEST_CASE("a task inherits loop, stop and deadline from the one that awaits it", "[task]") {
    static constexpr auto child = [](coho::environment& above) -> coho::task<> {
        auto& own = co_await coho::inherited();
        CHECK(own.loop == above.loop);
        CHECK(own.stop == above.stop);
        CHECK(own.until == above.until);
        CHECK(own.loop == coho::event_loop::current());
    };
    support::run([]() -> coho::task<> {
        auto& own = co_await coho::inherited();
        co_await child(own);
        const bool asked = co_await coho::stop_requested();
        CHECK_FALSE(asked);
    });
}

TEST_CASE("an exception passes through every task on its way", "[task]") {
    static constexpr auto passing = [](bool& destroyed, bool after_waiting) -> coho::task<int> {
        struct guard {
            bool& destroyed;
            ~guard() { destroyed = true; }
        } local{destroyed};
        co_return co_await throw_now_or_later(after_waiting);
    };
    support::run([]() -> coho::task<> {
        for (const bool after_waiting : {false, true}) {
            bool destroyed = false;
            bool caught = false;
            try {
                co_await passing(destroyed, after_waiting);
            } catch (const std::runtime_error&) {
                // What a task owns dies with its body, as in a function.
                caught = destroyed;
            }
            CHECK(caught);
        }
    });
}

TEST_CASE("what the first task throws comes out of the scheduler, which goes on", "[task]") {
    coho::scheduler<support::any_kernel> world;
    CHECK_THROWS_AS(world.run([]() -> coho::task<> { co_await throw_now_or_later(true); }),
                    std::runtime_error);
    CHECK(world.run(number, 3) == 3);
    CHECK(world.frames().live() == 0);
}

TEST_CASE("yield lets others have their turn, each in order", "[task]") {
    static constexpr auto writer = [](std::string& text, char own) -> coho::task<> {
        for (int i = 0; i < 3; ++i) {
            text += own;
            co_await coho::yield();
        }
    };
    support::run([]() -> coho::task<> {
        std::string text;
        auto first = writer(text, 'a');
        auto second = writer(text, 'b');
        co_await coho::when_all(std::move(first), std::move(second));
        CHECK(text == "ababab");
    });
}

TEST_CASE("one that yields in a loop keeps neither timers nor others waiting", "[task]") {
    static constexpr auto busy = [](const bool& over) -> coho::task<> {
        bool ended = over;
        for (; !ended; ended = over) co_await coho::yield();
    };
    static constexpr auto sleeper = [](bool& over) -> coho::task<> {
        co_await coho::sleep(1ms);
        over = true;
    };
    support::run([]() -> coho::task<> {
        bool over = false;
        co_await coho::when_all(busy(over), sleeper(over), busy(over));
    });
}

TEST_CASE("mistakes with tasks end the program with a sentence", "[task][death]") {
    static constexpr auto twice = []() -> coho::task<> {
        auto once = number(1);
        const int first = co_await once;
        const int second = co_await once;
        CHECK(first == second);
    };
    const auto awaited_twice =
        support::run_in_child([] { return coho::run<support::any_kernel>(twice); });
    CHECK(awaited_twice.signal == SIGABRT);
    CHECK(awaited_twice.says("awaited twice"));

    static constexpr auto sleeper = []() -> coho::task<> { co_await coho::sleep(1h); };
    static constexpr auto joiner = []() -> coho::task<> {
        coho::task_group group;
        co_await group.spawn(sleeper);
        co_await group.join();
    };
    static constexpr auto destroyer = [](coho::task<> abandoned) -> coho::task<> {
        coho::stop_source stop;
        coho::environment inherited{coho::event_loop::current(), &stop};
        (void)abandoned.start(inherited, std::noop_coroutine());
        co_return;
    };
    for (coho::task<> (*waiting)() : {+sleeper, +joiner}) {
        const auto destroyed = support::run_in_child(
            [&] { return coho::run<support::any_kernel>(destroyer, waiting()); });
        CHECK(destroyed.signal == SIGABRT);
        CHECK(destroyed.says("destroyed between its start and its end"));
    }
}
