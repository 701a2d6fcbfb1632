#include "catch.hpp"

#include <coho/core/clock.hpp>

#include <limits>

using namespace std::chrono_literals;

TEST_CASE("durations beyond the clock's range become its ends", "[clock][H31]") {
    CHECK(coho::saturate(std::chrono::hours::max()) == coho::duration::max());
    CHECK(coho::saturate(std::chrono::hours::min()) == coho::duration::min());
    CHECK(coho::saturate(std::chrono::duration<double>(1e300)) == coho::duration::max());
    CHECK(coho::saturate(std::chrono::duration<double>(-1e300)) == coho::duration::min());
    CHECK(coho::saturate(std::chrono::duration<double>(
              std::numeric_limits<double>::quiet_NaN())) == coho::duration::max());
    CHECK(coho::saturate(1.5s) == 1'500'000'000ns);
    CHECK(coho::saturate(-3min) == -180s);
    CHECK(coho::saturate(coho::duration::max()) == coho::duration::max());
}

TEST_CASE("a deadline is never before now, and never overflows", "[clock][H31]") {
    const coho::time_point now{5h};
    CHECK(coho::deadline_after(now, 1s) == now + 1s);
    CHECK(coho::deadline_after(now, -1s) == now);
    CHECK(coho::deadline_after(now, coho::duration::min()) == now);
    CHECK(coho::deadline_after(now, coho::duration::max()) == coho::never);
    CHECK(coho::deadline_after(coho::never - 1ns, 2ns) == coho::never);
}

TEST_CASE("the clock's last instant is kept apart from never", "[clock][H31]") {
    const coho::time_point now{5h};
    const auto left = coho::never - now;
    CHECK(coho::deadline_after(now, left - 1ns) == coho::never - 1ns);
    CHECK(coho::deadline_after(now, left) == coho::never);
    CHECK(coho::deadline_after(now, left + 1ns) == coho::never);
    CHECK(coho::deadline_after(now, 0ns) == now);
    CHECK(coho::deadline_after(coho::never, coho::duration::max()) == coho::never);
}

// In the caller's type, the next number is beyond the clock's end.
TEST_CASE("H31: a span of floating point below the clock's end stays a long one",
          "[clock][H31]") {
    CHECK(coho::saturate(std::chrono::duration<float>(9223371776.f)) > 0ns);
    CHECK(coho::saturate(std::chrono::duration<double, std::milli>(9223372036854.7753906)) > 0ns);
}
