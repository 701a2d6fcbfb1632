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

TEST_CASE("H31: clocks that jump from a nanosecond to three centuries", "[timer][H31]") {
    std::mt19937_64 random(311);
    const auto span_of_any_size = [&] { return coho::duration(random() >> (1 + random() % 63)); };
    std::vector<std::unique_ptr<recorded_timer>> timers;
    for (int i = 0; i < 500; ++i) timers.push_back(std::make_unique<recorded_timer>());
    std::vector<coho::time_point> due(timers.size());
    int early = 0, late = 0, twice = 0;
    for (int round = 0; round < 300; ++round) {
        coho::time_point now{span_of_any_size()};
        coho::timer_queue queue(now);
        for (std::size_t i = 0; i < timers.size(); ++i) {
            timers[i]->fired = 0;
            due[i] = coho::deadline_after(now, span_of_any_size());
            queue.arm(*timers[i], due[i]);
        }
        while (now < coho::never) {
            now = coho::deadline_after(now, span_of_any_size());
            queue.advance(now);
            for (std::size_t i = 0; i < timers.size(); ++i) {
                if (timers[i]->fired > 1) ++twice;
                if (timers[i]->fired && due[i] > now) ++early;
                if (!timers[i]->fired && due[i] < now - tick) ++late;
            }
        }
        for (auto& each : timers) queue.cancel(*each);
    }
    CHECK(early == 0);
    CHECK(late == 0);
    CHECK(twice == 0);
}

TEST_CASE("a loop that sleeps until next() has woken eight times at most when a timer fires",
          "[timer][H31]") {
    std::mt19937_64 random(8);
    for (int round = 0; round < 10'000; ++round) {
        coho::time_point now{coho::duration(random() >> 2)};
        coho::timer_queue queue(now);
        recorded_timer timer;
        const auto until = now + coho::duration(random() >> (2 + random() % 62));
        queue.arm(timer, until);
        int wakes = 0;
        while (!timer.fired && wakes < 9) {
            const auto next = queue.next();
            REQUIRE(next > now);
            REQUIRE(next <= until + tick);
            now = next;
            queue.advance(now);
            ++wakes;
        }
        REQUIRE(timer.fired == 1);
        REQUIRE(now >= until);
        REQUIRE(wakes <= 8);
    }
}

// The tick after it lies beyond the clock's end; taken for the past, it would keep a loop awake.
TEST_CASE("H31: a deadline within the clock's last tick is still to come",
          "[timer][H31]") {
    coho::timer_queue queue(start);
    recorded_timer timer;
    queue.arm(timer, coho::never - 1ns);
    CHECK(queue.next() > start);
    queue.cancel(timer);
}

TEST_CASE("H31: timers that arm and cancel one another as they fire keep their deadlines",
          "[timer][H31]") {
    struct restless;
    struct neighbourhood {
        std::mt19937_64 random{77};
        coho::time_point now = start;
        coho::timer_queue queue{start};
        std::vector<std::unique_ptr<restless>> timers;
        int fired = 0, early = 0;
    };
    struct restless : coho::timer {
        explicit restless(neighbourhood& all) : coho::timer(&restless::fire), world(all) {}
        void arm(coho::time_point until) {
            due = until;
            expected = true;
            world.queue.arm(*this, until);
        }
        void cancel() {
            expected = false;
            world.queue.cancel(*this);
        }
        static void fire(coho::timer& expired) noexcept {
            auto& self = static_cast<restless&>(expired);
            auto& world = self.world;
            ++world.fired;
            if (!self.expected || self.due > world.now) ++world.early;
            self.expected = false;
            world.timers[world.random() % world.timers.size()]->cancel();
            // A tick at least lies between, and often the new deadline has come as well.
            for (auto* each : {&self, world.timers[world.random() % world.timers.size()].get()}) {
                const coho::duration span(world.random() >> (24 + world.random() % 40));
                each->cancel();
                each->arm(self.due + tick + span);
            }
        }
        neighbourhood& world;
        coho::time_point due{};
        bool expected = false;
    };
    neighbourhood all;
    for (int i = 0; i < 200; ++i) all.timers.push_back(std::make_unique<restless>(all));
    for (auto& each : all.timers) each->arm(start + coho::duration(all.random() >> 34));
    int late = 0, disagreeing = 0;
    while (all.fired < 50'000) {
        all.now += coho::duration(all.random() >> (30 + all.random() % 34));
        all.queue.advance(all.now);
        for (auto& each : all.timers) {
            if (each->armed() != each->expected) ++disagreeing;
            if (each->expected && each->due + tick <= all.now) ++late;
        }
    }
    CHECK(all.early == 0);
    CHECK(late == 0);
    CHECK(disagreeing == 0);
    for (auto& each : all.timers) each->cancel();
    CHECK(all.queue.empty());
}

TEST_CASE("H31: a timer that arms itself for the past, always, does not hold up the loop",
          "[timer][H31]") {
    coho::timer_queue queue(start);
    recorded_timer timer;
    timer.queue = &queue;
    timer.then = [](recorded_timer& self) {
        if (self.fired < 1000) self.queue->arm(self, start - 1h);
    };
    queue.arm(timer, start - 1h);
    for (int ticks = 1; ticks <= 3; ++ticks) {
        queue.advance(start + ticks * tick);
        CHECK(timer.fired == ticks);
    }
    queue.cancel(timer);
}

TEST_CASE("cancelling a timer that is not armed leaves the others alone", "[timer]") {
    coho::timer_queue queue(start);
    recorded_timer timers[64], never_armed;
    for (int i = 0; i < 64; ++i) queue.arm(timers[i], start + (i + 1) * tick);
    queue.cancel(never_armed);
    queue.advance(start + 65 * tick);
    for (const auto& each : timers) CHECK(each.fired == 1);
    CHECK(queue.empty());
}

TEST_CASE("after a long time without timers, the first does not wake the loop in vain",
          "[timer]") {
    coho::timer_queue queue(start);
    const auto now = start + 1000h;
    queue.advance(now);
    recorded_timer timer;
    queue.arm(timer, now + 10ms);
    CHECK(queue.next() > now);
    queue.cancel(timer);
}
