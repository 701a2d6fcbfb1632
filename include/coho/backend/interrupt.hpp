#pragma once

#include "../core/check.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace coho {

/// Who is told of a signal, on whichever thread it arrives; only what signal-safety(7) allows may
/// be done. False where it was told before.
struct interruptible {
    bool (*interrupt)(interruptible&) noexcept;
    /// The signals it wants to hear of, number 1 as the lowest bit.
    std::uint64_t signals = 0;
};

/// Who is told of signals, at most so many, who come and go on as many threads as there are.
///
/// Atomic is std::atomic, but where tests/model runs all this in every order there is.
template <class Target, std::size_t most, template <class> class Atomic = std::atomic>
class interrupt_table {
public:
    using place = Atomic<Target*>;

    place& enter(Target& target) noexcept {
        for (auto& each : places_) {
            Target* free = nullptr;
            if (each.compare_exchange_strong(free, &target, std::memory_order_release,
                                             std::memory_order_relaxed)) {
                return each;
            }
        }
        give_up("more than 256 schedulers wait for signals at once");
    }
    /// Waits for those on other threads that may still hold the target.
    // Who leaves wipes the place and then looks at the count, who tells counts and then looks at
    // the place: without one order of all four both could miss the other.
    void leave(place& its) noexcept {
        its.store(nullptr, std::memory_order_seq_cst);
        while (telling_.load(std::memory_order_seq_cst) != 0) {}
    }
    /// Tells all who want to hear of it. Whether one of them was told before.
    bool tell(std::uint64_t signal) noexcept {
        telling_.fetch_add(1, std::memory_order_seq_cst);
        bool told_before = false;
        for (auto& each : places_) {
            Target* target = each.load(std::memory_order_seq_cst);
            if (!target || !(target->signals & signal)) continue;
            if (!target->interrupt(*target)) told_before = true;
        }
        telling_.fetch_sub(1, std::memory_order_release);
        return told_before;
    }
    bool any() const noexcept {
        for (const auto& each : places_) {
            if (each.load(std::memory_order_relaxed)) return true;
        }
        return false;
    }

private:
    std::array<place, most> places_{};
    Atomic<int> telling_ = 0;
};

/// Everybody in this process who is told of signals. A handler is given nothing but a number, so
/// this must be global.
class interrupt_targets {
public:
    static constexpr int most_signals = 64;
    using table = interrupt_table<interruptible, 256>;

    static inline table all;

    static constexpr std::uint64_t bit_of(int number) noexcept {
        return std::uint64_t(1) << (number - 1);
    }
    /// Any collection of numbers as bits.
    template <class Signals>
    static std::uint64_t bits_of(const Signals& signals) noexcept {
        std::uint64_t bits = 0;
        for (const int number : signals) {
            check(number > 0 && number <= most_signals, "run() was given a number that is no "
                                                        "signal's");
            bits |= bit_of(number);
        }
        return bits;
    }
};

}  // namespace coho
