#include "support/world.hpp"

#include <functional>

using namespace std::chrono_literals;

namespace {

coho::task<coho::result<int>> sleeper(coho::duration span) {
    const bool slept = co_await coho::sleep(span);
    auto& own = co_await coho::inherited();
    if (!slept) co_return own.stop->reason();
    co_return 1;
}
coho::task<coho::result<int>> succeed_in_spite_of_stop() {
    co_await coho::sleep(1h);
    co_return 2;
}
coho::task<> nothing_after(coho::duration span) { co_await coho::sleep(span); }
coho::task<int> plain(coho::duration span) {
    co_await coho::sleep(span);
    co_return 3;
}

}  // namespace

TEST_CASE("sleep lasts at least as long as asked", "[time][H31]") {
    support::run([]() -> coho::task<> {
        for (const auto span : {0us, 1us, 70us, 999us, 3000us}) {
            const auto begin = coho::now();
            const bool slept = co_await coho::sleep(span);
            CHECK(slept);
            CHECK(coho::now() - begin >= span);
        }
        const auto until = coho::now() + 2ms;
        co_await coho::sleep_until(until);
        CHECK(coho::now() >= until);
        co_await coho::sleep(-1h);
    });
}

TEST_CASE("H31: the longest of sleeps and sleep_until(never) end by stop alone", "[time][H31]") {
    support::run([]() -> coho::task<> {
        auto one = co_await coho::race(coho::sleep(5ms), coho::sleep_until(coho::never),
                                       coho::sleep(std::chrono::hours::max()),
                                       coho::sleep(coho::duration::max()));
        CHECK(one.winner == 0);
        CHECK_FALSE(get<1>(one));
        CHECK_FALSE(get<2>(one));
        CHECK_FALSE(get<3>(one));
    });
}

TEST_CASE("a timeout gives timed_out where time passes first", "[time]") {
    support::run([]() -> coho::task<> {
        auto late = co_await coho::timeout(1ms, sleeper(1h));
        REQUIRE_FALSE(late);
        CHECK(late.error() == coho::errc::timed_out);
        auto in_time = co_await coho::timeout(1h, sleeper(1ms));
        REQUIRE(in_time);
        CHECK(*in_time == 1);
    });
}

TEST_CASE("a success is kept although the time had passed", "[time][H2]") {
    support::run([]() -> coho::task<> {
        auto kept = co_await coho::timeout(1ms, succeed_in_spite_of_stop());
        REQUIRE(kept);
        CHECK(*kept == 2);
    });
}

TEST_CASE("a timeout on a plain value gives a result of it", "[time]") {
    support::run([]() -> coho::task<> {
        auto value = co_await coho::timeout(1h, plain(0s));
        REQUIRE(value);
        CHECK(*value == 3);
        auto late = co_await coho::timeout(1ms, plain(1h));
        CHECK((!late && late.error() == coho::errc::timed_out));
        auto nothing = co_await coho::timeout(1h, coho::yield());
        CHECK(nothing);
        auto asleep = co_await coho::timeout(1ms, coho::sleep_until(coho::never));
        CHECK((!asleep && asleep.error() == coho::errc::timed_out));
        auto idle = co_await coho::timeout(1ms, nothing_after(1h));
        CHECK((!idle && idle.error() == coho::errc::timed_out));
    });
}

TEST_CASE("a time that has passed does not keep a task from being started", "[time][H2]") {
    static constexpr auto told = [](bool& asked) -> coho::task<coho::result<int>> {
        asked = co_await coho::stop_requested();
        co_return 4;
    };
    support::run([]() -> coho::task<> {
        bool asked = false;
        auto kept = co_await coho::timeout(0s, told(asked));
        CHECK(asked);
        REQUIRE(kept);
        CHECK(*kept == 4);
    });
}

TEST_CASE("timeouts of any length are understood", "[time][H31]") {
    support::run([]() -> coho::task<> {
        auto never = co_await coho::timeout(std::chrono::hours::max(), sleeper(1ms));
        CHECK(never);
        auto zero = co_await coho::timeout(0s, sleeper(1h));
        CHECK((!zero && zero.error() == coho::errc::timed_out));
        auto negative = co_await coho::timeout(coho::duration::min(), sleeper(1h));
        CHECK((!negative && negative.error() == coho::errc::timed_out));
    });
}

TEST_CASE("the tighter of nested timeouts wins, and its reason reaches the inside", "[time]") {
    support::run([]() -> coho::task<> {
        auto outer = co_await coho::timeout(1ms, coho::timeout(1h, sleeper(1h)));
        CHECK((!outer && outer.error() == coho::errc::timed_out));
        auto inner = co_await coho::timeout(1h, coho::timeout(1ms, sleeper(1h)));
        CHECK((!inner && inner.error() == coho::errc::timed_out));
    });
}

TEST_CASE("a deadline is inherited by everything inside, and the tighter one counts", "[time]") {
    static constexpr auto until = []() -> coho::task<coho::deadline> {
        auto& own = co_await coho::inherited();
        co_return own.until;
    };
    static constexpr auto nested = [](coho::duration span) -> coho::task<coho::deadline> {
        co_return co_await coho::deadline_in(span, until());
    };
    static constexpr auto note_until = [](coho::deadline& inherited) -> coho::task<> {
        inherited = co_await until();
    };
    static constexpr auto note_all = [](coho::deadline& in_group,
                                        coho::deadline& beside) -> coho::task<> {
        coho::task_group group;
        co_await group.spawn(note_until, std::ref(in_group));
        co_await group.join();
        co_await coho::when_all(note_until(beside), coho::yield());
    };
    support::run([]() -> coho::task<> {
        const auto none = co_await until();
        CHECK(none == coho::never);
        const auto begin = coho::now();
        const auto tighter_outside = co_await coho::deadline_in(1h, nested(10h));
        const auto tighter_inside = co_await coho::deadline_in(10h, nested(1h));
        for (const auto tighter : {tighter_outside, tighter_inside}) {
            CHECK(tighter >= begin + 1h);
            CHECK(tighter < begin + 2h);
        }
        coho::deadline in_group{};
        coho::deadline beside{};
        co_await coho::deadline_in(1h, note_all(in_group, beside));
        CHECK(in_group >= begin + 1h);
        CHECK(beside == in_group);
        const auto unlimited = co_await coho::deadline_in(coho::duration::max(), until());
        CHECK(unlimited == coho::never);
        auto passed = co_await coho::deadline_in(1ms, sleeper(1h));
        CHECK((!passed && passed.error() == coho::errc::timed_out));
    });
}
