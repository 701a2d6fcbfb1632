#include "support/world.hpp"

#include <memory>

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
    static constexpr auto nested = []() -> coho::task<coho::deadline> {
        co_return co_await coho::deadline_in(10h, until());
    };
    support::run([]() -> coho::task<> {
        const auto none = co_await until();
        CHECK(none == coho::never);
        const auto begin = coho::now();
        const auto tighter = co_await coho::deadline_in(1h, nested());
        CHECK(tighter >= begin + 1h);
        CHECK(tighter < begin + 2h);
        auto passed = co_await coho::deadline_in(1ms, sleeper(1h));
        CHECK((!passed && passed.error() == coho::errc::timed_out));
    });
}
