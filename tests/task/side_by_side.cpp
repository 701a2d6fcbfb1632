#include "support/tasks.hpp"
#include "support/world.hpp"

#include <memory>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;
using support::at_once;

namespace {

coho::task<int> after(coho::duration span, int value) {
    const bool slept = co_await coho::sleep(span);
    co_return slept ? value : -value;
}
coho::task<> throw_after(coho::duration span) {
    co_await coho::sleep(span);
    throw std::runtime_error("thrown beside others");
}
coho::task<std::unique_ptr<int>> keep_in_spite_of_stop(int value) {
    co_await coho::sleep(1h);
    co_return std::make_unique<int>(value);
}

}  // namespace

TEST_CASE("when_all gives a tuple of what each gave", "[when_all]") {
    support::run([]() -> coho::task<> {
        auto [first, second, third] =
            co_await coho::when_all(after(2ms, 1), at_once(), coho::sleep(1ms));
        static_assert(std::is_same_v<decltype(second), coho::nothing>);
        CHECK(first == 1);
        CHECK(third);
    });
}

TEST_CASE("what runs side by side has started in order before the first waits", "[when_all]") {
    static constexpr auto child = [](std::string& events, char first, char last,
                                     int turns) -> coho::task<> {
        events += first;
        for (int i = 0; i < turns; ++i) co_await coho::yield();
        events += last;
    };
    support::run([]() -> coho::task<> {
        std::string events;
        co_await coho::when_all(child(events, 'a', 'A', 2), child(events, 'b', 'B', 1));
        events += '.';
        CHECK(events == "abBA.");
    });
}

TEST_CASE("the first exception in when_all stops the others and is rethrown", "[when_all]") {
    support::run([]() -> coho::task<> {
        bool caught = false;
        try {
            co_await coho::when_all(after(1h, 1), throw_after(1ms), throw_after(1h));
        } catch (const std::runtime_error&) {
            caught = true;
        }
        CHECK(caught);
    });
}

TEST_CASE("stop from above reaches all that run side by side", "[when_all]") {
    static constexpr auto both = []() -> coho::task<int> {
        auto [first, second] = co_await coho::when_all(after(1h, 1), after(1h, 2));
        co_return first + second;
    };
    static constexpr auto observed = [](int& sum) -> coho::task<> { sum = co_await both(); };
    support::run([]() -> coho::task<> {
        int sum = 0;
        auto limited = co_await coho::timeout(1ms, observed(sum));
        CHECK_FALSE(limited);
        CHECK(sum == -3);
    });
}

TEST_CASE("a race stops those that did not end first", "[race]") {
    support::run([]() -> coho::task<> {
        auto one = co_await coho::race(after(1h, 1), after(1ms, 2), after(1h, 3));
        CHECK(one.winner == 1);
        CHECK(get<0>(one) == -1);
        CHECK(get<1>(one) == 2);
        CHECK(get<2>(one) == -3);
    });
}

TEST_CASE("H2: a race keeps the success of a loser", "[race][H2]") {
    support::run([]() -> coho::task<> {
        auto one = co_await coho::race(after(1ms, 1), keep_in_spite_of_stop(5));
        CHECK(one.winner == 0);
        REQUIRE(get<1>(one));
        CHECK(*get<1>(one) == 5);
    });
}

TEST_CASE("a race of those that end at once is won by the first", "[race]") {
    support::run([]() -> coho::task<> {
        auto one = co_await coho::race(after(0s, 1), at_once());
        CHECK(one.winner == 1);
        auto both = co_await coho::race(at_once(), at_once());
        CHECK(both.winner == 0);
    });
}

TEST_CASE("an exception of a racer is rethrown once all have ended", "[race]") {
    support::run([]() -> coho::task<> {
        bool caught = false;
        try {
            co_await coho::race(after(1h, 1), throw_after(1ms));
        } catch (const std::runtime_error&) {
            caught = true;
        }
        CHECK(caught);
    });
}
