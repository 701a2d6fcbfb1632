#include "support/tasks.hpp"
#include "support/world.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

using namespace std::chrono_literals;
using support::at_once;
using support::number;

namespace {

coho::task<std::pair<int, int>> pair() { co_return std::pair(1, 2); }
coho::task<std::unique_ptr<int>> late_pointer(int value) {
    co_await coho::yield();
    co_return std::make_unique<int>(value);
}
coho::task<coho::errc> reason_of_stop() {
    co_await coho::sleep_until(coho::never);
    auto& own = co_await coho::inherited();
    co_return own.stop->reason();
}
coho::task<> throw_after_turns(int turns, std::string words) {
    for (int i = 0; i < turns; ++i) co_await coho::yield();
    throw std::runtime_error(words);
}
/// Sees to its own affairs after stop was asked, and marks when it is through.
coho::task<> slow_to_stop(bool& ended) {
    co_await coho::sleep_until(coho::never);
    for (int i = 0; i < 20; ++i) co_await coho::yield();
    ended = true;
}
coho::task<coho::result<int>> when_stopped() {
    co_await coho::sleep_until(coho::never);
    auto& own = co_await coho::inherited();
    co_return own.stop->reason();
}
template <class Awaitable>
coho::task<std::string> words_thrown_by(Awaitable operation) {
    std::string words;
    try {
        (void)co_await std::move(operation);
    } catch (const std::runtime_error& thrown) {
        words = thrown.what();
    }
    co_return words;
}

}  // namespace

TEST_CASE("when_all takes none, and what can only be moved", "[when_all]") {
    support::run([]() -> coho::task<> {
        auto none = co_await coho::when_all();
        static_assert(std::is_same_v<decltype(none), std::tuple<>>);
        auto [first, second] = co_await coho::when_all(late_pointer(1), late_pointer(2));
        CHECK(*first + *second == 3);
    });
}

// A deduced std::tuple would take the pair apart.
TEST_CASE("when_all of one gives a tuple of one, of a pair too", "[when_all]") {
    support::run([]() -> coho::task<> {
        auto one = co_await coho::when_all(pair());
        CHECK(std::is_same_v<decltype(one), std::tuple<std::pair<int, int>>>);
        auto raced = co_await coho::race(pair());
        CHECK(std::is_same_v<decltype(raced.values), std::tuple<std::pair<int, int>>>);
    });
}

TEST_CASE("the exception that came first is rethrown, and only once all have ended",
          "[when_all][race]") {
    support::run([]() -> coho::task<> {
        bool ended = false;
        const auto all = co_await words_thrown_by(
            coho::when_all(throw_after_turns(5, "later"), throw_after_turns(2, "sooner"),
                           slow_to_stop(ended)));
        CHECK(all == "sooner");
        CHECK(ended);
        ended = false;
        const auto one = co_await words_thrown_by(
            coho::race(slow_to_stop(ended), throw_after_turns(1, "raced")));
        CHECK(one == "raced");
        CHECK(ended);
    });
}

TEST_CASE("an exception at once, before the others began, still stops and awaits them",
          "[when_all][race]") {
    support::run([]() -> coho::task<> {
        bool ended = false;
        const auto all = co_await words_thrown_by(
            coho::when_all(throw_after_turns(0, "at once"), slow_to_stop(ended)));
        CHECK(all == "at once");
        CHECK(ended);
    });
}

TEST_CASE("a loser's exception comes out of a race that another has won", "[race]") {
    static constexpr auto throw_when_stopped = []() -> coho::task<> {
        co_await coho::sleep_until(coho::never);
        throw std::runtime_error("thrown by the loser");
    };
    support::run([]() -> coho::task<> {
        const auto words = co_await words_thrown_by(coho::race(number(1), throw_when_stopped()));
        CHECK(words == "thrown by the loser");
    });
}

TEST_CASE("a race awaits its losers to their end", "[race]") {
    support::run([]() -> coho::task<> {
        bool ended = false;
        auto one = co_await coho::race(slow_to_stop(ended), at_once());
        CHECK(one.winner == 1);
        CHECK(ended);
    });
}

TEST_CASE("losers are cancelled, unless it was the time above that passed", "[race]") {
    static constexpr auto wait_for_both = []() -> coho::task<coho::errc> {
        auto one = co_await coho::race(reason_of_stop(), reason_of_stop());
        co_return get<0>(one) == get<1>(one) ? get<0>(one) : coho::errc::none;
    };
    support::run([]() -> coho::task<> {
        auto one = co_await coho::race(reason_of_stop(), at_once());
        CHECK(get<0>(one) == coho::errc::cancelled);
        const auto above = co_await coho::deadline_in(1ms, wait_for_both());
        CHECK(above == coho::errc::timed_out);
    });
}

TEST_CASE("races, when_all and timeouts go into one another", "[race][when_all][time]") {
    support::run([]() -> coho::task<> {
        auto raced = coho::race(reason_of_stop(), coho::sleep_until(coho::never));
        auto sleeping = coho::timeout(1h, std::move(raced));
        auto both = coho::when_all(number(1), coho::timeout(1h, number(2)));
        auto one = co_await coho::race(std::move(sleeping), std::move(both));
        CHECK(one.winner == 1);
        auto& [first, second] = get<1>(one);
        CHECK(first == 1);
        REQUIRE(second);
        CHECK(*second == 2);
        REQUIRE(get<0>(one));
        CHECK(get<0>(get<0>(one).value()) == coho::errc::cancelled);
    });
}

TEST_CASE("stop from above is not taken for the timeout's own", "[time]") {
    static constexpr auto limited = [](coho::errc& seen) -> coho::task<> {
        auto stopped = co_await coho::timeout(1h, when_stopped());
        seen = stopped ? coho::errc::none : stopped.error().reason();
    };
    static constexpr auto plain = [](bool& gave_a_value) -> coho::task<> {
        auto stopped = co_await coho::timeout(1h, coho::sleep_until(coho::never));
        gave_a_value = stopped && !*stopped;
    };
    support::run([]() -> coho::task<> {
        auto seen = coho::errc::none;
        co_await coho::race(limited(seen), at_once());
        CHECK(seen == coho::errc::cancelled);
        bool gave_a_value = false;
        co_await coho::race(plain(gave_a_value), at_once());
        CHECK(gave_a_value);
    });
}

TEST_CASE("a timeout on what throws lets it through", "[time]") {
    support::run([]() -> coho::task<> {
        const auto early =
            co_await words_thrown_by(coho::timeout(1h, throw_after_turns(2, "in time")));
        CHECK(early == "in time");
        const auto late = co_await words_thrown_by(coho::timeout(0s, throw_after_turns(2, "late")));
        CHECK(late == "late");
    });
}

TEST_CASE("what ended leaves no timer behind, however long it was given", "[time]") {
    support::run([]() -> coho::task<> {
        auto& timers = (co_await coho::inherited()).loop->timers();
        auto value = co_await coho::timeout(1h, number(1));
        CHECK((value && *value == 1));
        co_await coho::deadline_in(1h, at_once());
        co_await coho::race(coho::sleep(1h), coho::timeout(1h, coho::sleep(2h)), coho::yield());
        co_await words_thrown_by(coho::timeout(1h, throw_after_turns(0, "thrown")));
        CHECK(timers.empty());
    });
}

TEST_CASE("sleep gives false where stop was asked, before or meanwhile", "[time]") {
    static constexpr auto sleep_twice = [](bool& first, bool& second) -> coho::task<> {
        first = co_await coho::sleep(1h);
        second = co_await coho::sleep(0s);
    };
    support::run([]() -> coho::task<> {
        bool first = true, second = true;
        auto limited = co_await coho::timeout(1ms, sleep_twice(first, second));
        CHECK_FALSE(limited);
        CHECK_FALSE(first);
        CHECK_FALSE(second);
    });
}

TEST_CASE("a sleep of nothing lets others have their turn", "[time]") {
    static constexpr auto writer = [](std::string& text, char own) -> coho::task<> {
        for (int i = 0; i < 3; ++i) {
            text += own;
            co_await coho::sleep_until(coho::now() - 1h);
            co_await coho::sleep(coho::duration::min());
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

TEST_CASE("a task sees that stop was asked, and yield goes on all the same", "[time]") {
    static constexpr auto compute = [](int& turns_after) -> coho::task<> {
        for (;;) {
            const bool stop = co_await coho::stop_requested();
            co_await coho::yield();
            if (stop && ++turns_after == 3) break;
        }
    };
    support::run([]() -> coho::task<> {
        int turns_after = 0;
        auto limited = co_await coho::timeout(1ms, compute(turns_after));
        CHECK_FALSE(limited);
        CHECK(turns_after == 3);
    });
}

TEST_CASE("what runs side by side inherits loop and deadline, each under its own stop",
          "[when_all][race]") {
    static constexpr auto look = [](coho::environment& above) -> coho::task<bool> {
        auto& own = co_await coho::inherited();
        co_return own.loop == above.loop && own.until == above.until && own.stop != above.stop;
    };
    static constexpr auto owner = []() -> coho::task<> {
        auto& own = co_await coho::inherited();
        CHECK(own.until != coho::never);
        auto [first, second] = co_await coho::when_all(look(own), look(own));
        CHECK((first && second));
        auto one = co_await coho::race(look(own), look(own));
        CHECK((get<0>(one) && get<1>(one)));
    };
    support::run([]() -> coho::task<> { co_await coho::deadline_in(1h, owner()); });
}
