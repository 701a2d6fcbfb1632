#pragma once

#include "../core/check.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include <signal.h>

namespace coho {

/// Who is told of a signal, on whichever thread it arrives; only what signal-safety(7) allows may
/// be done. False where it was told before.
struct interruptible {
    bool (*interrupt)(interruptible&) noexcept;
    /// The signals it wants to hear of, number 1 as the lowest bit.
    std::uint64_t signals = 0;
};

/// While it lives, the first of the signals interrupts its target; the second has its default
/// effect, so that a program which does not stop can still be ended. Several may live at once, on
/// as many threads: each target is told of its own signals, and the last that wants a signal puts
/// back what was there before the first.
class interrupt_handlers {
public:
    template <class Signals>
    interrupt_handlers(const Signals& signals, interruptible& target) noexcept {
        for (const int number : signals) {
            check(number > 0 && number <= most_signals, "run() was given a number that is no "
                                                        "signal's");
            target.signals |= bit_of(number);
        }
        if (target.signals == 0) return;
        const std::lock_guard alone(changing);
        place_ = enter(target);
        for (int number = 1; number <= most_signals; ++number) {
            if (target.signals & bit_of(number)) handle(number);
        }
    }
    interrupt_handlers(const interrupt_handlers&) = delete;
    interrupt_handlers& operator=(const interrupt_handlers&) = delete;
    ~interrupt_handlers() {
        if (!place_) return;
        const std::lock_guard alone(changing);
        const auto signals = place_->exchange(nullptr)->signals;
        for (int number = 1; number <= most_signals; ++number) {
            if (signals & bit_of(number)) put_back(number);
        }
        // A handler on another thread may hold the target still.
        while (handling.load() != 0) {}
    }

private:
    static constexpr int most_signals = 64;
    static constexpr std::size_t most_targets = 256;
    using target_place = std::atomic<interruptible*>;

    struct handled_signal {
        int targets;
        struct sigaction before;
    };

    static std::uint64_t bit_of(int number) noexcept { return std::uint64_t(1) << (number - 1); }

    static target_place* enter(interruptible& target) noexcept {
        for (auto& place : targets) {
            interruptible* free = nullptr;
            if (place.compare_exchange_strong(free, &target)) return &place;
        }
        give_up("more than 256 schedulers wait for signals at once");
    }
    static void handle(int number) noexcept {
        auto& handled = handled_signals[static_cast<std::size_t>(number - 1)];
        if (++handled.targets > 1) return;
        struct sigaction action {};
        action.sa_handler = &arrived;
        action.sa_flags = SA_RESTART;
        sigemptyset(&action.sa_mask);
        ::sigaction(number, &action, &handled.before);
    }
    static void put_back(int number) noexcept {
        auto& handled = handled_signals[static_cast<std::size_t>(number - 1)];
        if (--handled.targets == 0) ::sigaction(number, &handled.before, nullptr);
    }

    static void arrived(int number) noexcept {
        const int kept = errno;
        handling.fetch_add(1);
        bool told_before = false;
        for (auto& place : targets) {
            auto* target = place.load();
            if (!target || !(target->signals & bit_of(number))) continue;
            if (!target->interrupt(*target)) told_before = true;
        }
        handling.fetch_sub(1);
        if (told_before) {
            struct sigaction plain {};
            plain.sa_handler = SIG_DFL;
            sigemptyset(&plain.sa_mask);
            ::sigaction(number, &plain, nullptr);
            // Blocked while its handler runs, it takes effect on return.
            ::raise(number);
        }
        errno = kept;
    }

    // A signal handler is given nothing but its number, so what it needs must be global.
    static inline std::array<target_place, most_targets> targets{};
    static inline std::atomic<int> handling = 0;
    // Not the handler's: what those who come and go on different threads share.
    static inline std::mutex changing;
    static inline std::array<handled_signal, most_signals> handled_signals{};

    target_place* place_ = nullptr;
};

}  // namespace coho
