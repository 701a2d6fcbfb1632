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

/// Everybody in this process who is told of signals, on as many threads as there are. A handler is
/// given nothing but a number, so this must be global.
class interrupt_targets {
public:
    static constexpr int most_signals = 64;
    using place = std::atomic<interruptible*>;

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

    static place& enter(interruptible& target) noexcept {
        for (auto& each : places) {
            interruptible* free = nullptr;
            if (each.compare_exchange_strong(free, &target)) return each;
        }
        give_up("more than 256 schedulers wait for signals at once");
    }
    /// Waits for handlers on other threads that may still hold the target.
    static void leave(place& its) noexcept {
        its.store(nullptr);
        while (telling.load() != 0) {}
    }
    /// Tells all who want to hear of it. Whether one of them was told before.
    static bool tell(int number) noexcept {
        telling.fetch_add(1);
        bool told_before = false;
        for (auto& each : places) {
            auto* target = each.load();
            if (!target || !(target->signals & bit_of(number))) continue;
            if (!target->interrupt(*target)) told_before = true;
        }
        telling.fetch_sub(1);
        return told_before;
    }
    static bool any() noexcept {
        for (auto& each : places) {
            if (each.load()) return true;
        }
        return false;
    }

private:
    static inline std::array<place, 256> places{};
    static inline std::atomic<int> telling = 0;
};

}  // namespace coho
