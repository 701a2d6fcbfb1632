#include "catch.hpp"

#include <coho/core/timer.hpp>

#include <map>
#include <memory>
#include <random>
#include <vector>

using namespace std::chrono_literals;

namespace {

struct recorded_timer : coho::timer {
    recorded_timer() : coho::timer(&recorded_timer::fire) {}
    static void fire(coho::timer& expired) noexcept {
        auto& self = static_cast<recorded_timer&>(expired);
        ++self.fired;
        if (self.then) self.then(self);
    }
    int fired = 0;
    void (*then)(recorded_timer&) = nullptr;
    coho::timer_queue* queue = nullptr;
    recorded_timer* other = nullptr;
};

constexpr coho::time_point start{1000h};
/// The queue knows time in ticks: what is due is due at the tick that follows.
constexpr auto tick = coho::timer_queue::tick;

}  // namespace

TEST_CASE("a timer fires once, not before its deadline and at most a tick later", "[timer][H31]") {
    for (const auto span : {1ns, 999ns, 65535ns, 65536ns, 65537ns, 1'000'000ns, 123'456'789ns}) {
        coho::timer_queue queue(start);
        recorded_timer timer;
        queue.arm(timer, start + span);
        queue.advance(start + span - 1ns);
        CHECK(timer.fired == 0);
        CHECK(timer.armed());
        queue.advance(start + span + tick);
        CHECK(timer.fired == 1);
        CHECK_FALSE(timer.armed());
        queue.advance(start + 1h);
        CHECK(timer.fired == 1);
    }
}

TEST_CASE("a deadline that has passed fires at the next tick", "[timer][H31]") {
    coho::timer_queue queue(start);
    recorded_timer timer;
    queue.arm(timer, start - 5h);
    CHECK(queue.next() <= start + tick);
    queue.advance(start + tick);
    CHECK(timer.fired == 1);
}

TEST_CASE("never is never: the timer is not armed", "[timer][H31]") {
    coho::timer_queue queue(start);
    recorded_timer timer;
    queue.arm(timer, coho::never);
    CHECK_FALSE(timer.armed());
    CHECK(queue.empty());
    CHECK(queue.next() == coho::never);
    queue.advance(coho::never);
    CHECK(timer.fired == 0);
}

TEST_CASE("a cancelled timer does not fire, and may be armed again", "[timer]") {
    coho::timer_queue queue(start);
    recorded_timer timer;
    queue.arm(timer, start + 1s);
    queue.cancel(timer);
    queue.cancel(timer);
    CHECK(queue.empty());
    queue.advance(start + 2s);
    CHECK(timer.fired == 0);
    queue.arm(timer, start + 3s);
    queue.advance(start + 4s);
    CHECK(timer.fired == 1);
}

TEST_CASE("a callback may arm itself again and cancel others that are due", "[timer]") {
    coho::timer_queue queue(start);
    recorded_timer first, second;
    first.queue = second.queue = &queue;
    first.other = &second;
    second.other = &first;
    const auto cancel_other_and_go_on = [](recorded_timer& self) {
        self.queue->cancel(*self.other);
        if (self.fired < 3) self.queue->arm(self, start + self.fired * 10s);
    };
    first.then = second.then = cancel_other_and_go_on;
    queue.arm(first, start + 1s);
    queue.arm(second, start + 1s);
    queue.advance(start + 5s);
    CHECK(first.fired + second.fired == 1);
    queue.advance(start + 1h);
    CHECK(first.fired + second.fired == 3);
    CHECK(queue.empty());
}

TEST_CASE("H31: a million random timers agree with an ordered list of deadlines", "[timer][H31]") {
    std::mt19937_64 random(20261123);
    coho::timer_queue queue(start);
    auto now = start;
    std::vector<std::unique_ptr<recorded_timer>> timers;
    for (int i = 0; i < 2000; ++i) timers.push_back(std::make_unique<recorded_timer>());
    std::multimap<coho::time_point, recorded_timer*> oracle;
    const auto forget = [&](recorded_timer& timer) {
        for (auto each = oracle.begin(); each != oracle.end(); ++each) {
            if (each->second != &timer) continue;
            oracle.erase(each);
            return;
        }
    };
    // Spans of every size: up to 2^k nanoseconds for a random k, 300 years at most.
    const auto span_up_to = [&](int bits) {
        return coho::duration(random() >> (63 - random() % static_cast<unsigned>(bits)));
    };
    int armed = 0;
    while (armed < 1'000'000) {
        for (int i = 0; i < 500; ++i) {
            auto& timer = *timers[random() % timers.size()];
            if (timer.armed()) {
                // Most live on; looking one up in the oracle takes long.
                if (random() % 64 != 0) continue;
                queue.cancel(timer);
                forget(timer);
            }
            const auto until = coho::deadline_after(now, span_up_to(armed % 64 < 60 ? 30 : 62));
            timer.fired = 0;
            queue.arm(timer, until);
            if (until != coho::never) oracle.emplace(until, &timer);
            ++armed;
        }
        if (!oracle.empty()) REQUIRE(queue.next() <= oracle.begin()->first + tick);
        const auto step = span_up_to(armed % 10'000 < 9'900 ? 31 : 50);
        if (coho::deadline_after(now, step) > coho::never - 24h * 365 * 100) break;
        now += step;
        queue.advance(now);
        while (!oracle.empty() && oracle.begin()->first + tick <= now) {
            REQUIRE(oracle.begin()->second->fired == 1);
            oracle.erase(oracle.begin());
        }
        // Within the last tick a timer may have fired or not; never one whose time is to come.
        for (auto each = oracle.begin(); each != oracle.end();) {
            REQUIRE((each->first <= now || each->second->fired == 0));
            each = each->second->fired ? oracle.erase(each) : std::next(each);
        }
    }
    CHECK(armed >= 1'000'000);
    for (auto& each : timers) queue.cancel(*each);
    CHECK(queue.empty());
}
