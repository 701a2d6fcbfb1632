#pragma once

#include <coho.hpp>

#include <array>
#include <cstdint>
#include <string_view>

/// The operations of tasks that are measured, each so many times: by the clock in operations.cpp,
/// by the instruction in repeat.cpp.
namespace operations {

using namespace std::chrono_literals;

inline coho::task<int> one() { co_return 1; }
inline coho::task<> nothing() { co_return; }

inline coho::task<> call(std::uint64_t times) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < times; ++i) sum += static_cast<unsigned>(co_await one());
    coho::check(sum == times, "a task was not called");
}

inline coho::task<> yield(std::uint64_t times) {
    std::uint64_t i = 0;
    for (; i < times; ++i) co_await coho::yield();
}

inline coho::task<> spawn_and_join(std::uint64_t times) {
    coho::task_group group;
    for (std::uint64_t i = 0; i < times; ++i) {
        co_await group.spawn(nothing);
        co_await group.join();
    }
}

/// A hundred children, and one who joins them all.
inline coho::task<> spawn_many(std::uint64_t times) {
    coho::task_group group;
    for (std::uint64_t i = 0; i < times; ++i) {
        co_await group.spawn(nothing);
        if (i % 100 == 99) co_await group.join();
    }
    co_await group.join();
}

inline coho::task<> when_all(std::uint64_t times) {
    std::uint64_t i = 0;
    for (; i < times; ++i) co_await coho::when_all(one(), one());
}

inline coho::task<> race(std::uint64_t times) {
    std::uint64_t i = 0;
    for (; i < times; ++i) co_await coho::race(one(), one());
}

/// As many as an idle timeout on a thousand connections keeps: one is cancelled and armed anew. The
/// clock is read once, for that takes thrice as long as all the rest.
inline coho::task<> timer(std::uint64_t times) {
    struct silent_timer : coho::timer {
        silent_timer() : timer([](coho::timer&) noexcept {}) {}
    };
    constexpr std::size_t armed = 1000;
    static std::array<silent_timer, armed> timers;
    auto& inherited = co_await coho::inherited();
    auto& loop = *inherited.loop;
    const auto begin = loop.now() + 30s;
    for (std::uint64_t i = 0; i < times; ++i) {
        auto& each = timers[i % armed];
        loop.timers().cancel(each);
        loop.timers().arm(each, begin + i * 100ns);
    }
    for (auto& each : timers) loop.timers().cancel(each);
}

/// Around what is ready: all of it is the timeout's.
inline coho::task<> timeout(std::uint64_t times) {
    std::uint64_t i = 0;
    for (; i < times; ++i) (void)co_await coho::timeout(30s, coho::stop_requested());
}

struct named {
    std::string_view name;
    coho::task<> (*repeat)(std::uint64_t times);
};

constexpr named all[] = {
    {"call", call},           {"yield", yield},   {"spawn-and-join", spawn_and_join},
    {"spawn-many", spawn_many}, {"when-all", when_all}, {"race", race},
    {"timer", timer},         {"timeout", timeout},
};

}  // namespace operations
