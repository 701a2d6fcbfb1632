#pragma once

#include <chrono>
#include <ratio>

namespace coho {

using duration = std::chrono::nanoseconds;
using time_point = std::chrono::steady_clock::time_point;

/// A point in time after which to give up.
using deadline = time_point;
// Names in parentheses, here and elsewhere, are safe from the macros of <windows.h>.
inline constexpr deadline never = (time_point::max)();
/// Has always passed.
inline constexpr deadline long_ago = (time_point::min)();

/// Any duration in nanoseconds; what does not fit becomes the largest or the smallest (about 292
/// years).
template <class Rep, class Period>
constexpr duration saturate(std::chrono::duration<Rep, Period> span) noexcept {
    constexpr auto longest = (duration::max)(), shortest = (duration::min)();
    const auto approximate = std::chrono::duration<long double, std::nano>(span).count();
    if (!(approximate < static_cast<long double>(longest.count()))) return longest;
    if (approximate <= static_cast<long double>(shortest.count())) return shortest;
    constexpr bool exact = std::ratio_divide<Period, std::nano>::den == 1 &&
                           !std::chrono::treat_as_floating_point_v<Rep>;
    if constexpr (exact) return std::chrono::duration_cast<duration>(span);
    else return duration(static_cast<duration::rep>(approximate));
}
constexpr duration saturate(duration span) noexcept { return span; }

/// now + span; a span below zero means now, and what lies beyond the clock's end means never.
constexpr deadline deadline_after(time_point now, duration span) noexcept {
    if (span <= duration::zero()) return now;
    if (span > never - now) return never;
    return now + span;
}

}  // namespace coho
