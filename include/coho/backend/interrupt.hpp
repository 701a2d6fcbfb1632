#pragma once

#include "../core/check.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>

#include <signal.h>

namespace coho {

/// Who is told of a signal, on whichever thread it arrives; only what signal-safety(7) allows may
/// be done. False where it was told before.
struct interruptible {
    bool (*interrupt)(interruptible&) noexcept;
};

/// While it lives, the first of the signals interrupts its target; the second has the effect that
/// it would have without coho, so that a program which does not stop can still be ended. The
/// handlers from before are put back at the end. Several may live at once, on as many threads; each
/// target is told.
class interrupt_handlers {
public:
    template <class Signals>
    interrupt_handlers(const Signals& signals, interruptible& target) noexcept {
        for (const int number : signals) {
            check(count_ < most_signals, "more than eight signals were given to run()");
            signals_[count_++] = number;
        }
        if (count_ == 0) return;
        place_ = enter(target);
        struct sigaction action {};
        action.sa_handler = &arrived;
        action.sa_flags = SA_RESTART;
        sigemptyset(&action.sa_mask);
        for (std::size_t i = 0; i < count_; ++i) {
            ::sigaction(signals_[i], &action, &before_[i]);
        }
    }
    interrupt_handlers(const interrupt_handlers&) = delete;
    interrupt_handlers& operator=(const interrupt_handlers&) = delete;
    ~interrupt_handlers() {
        if (count_ == 0) return;
        for (std::size_t i = 0; i < count_; ++i) ::sigaction(signals_[i], &before_[i], nullptr);
        place_->store(nullptr);
        // A handler on another thread may hold the target still.
        while (handling.load() != 0) {}
    }

private:
    static constexpr std::size_t most_signals = 8;
    static constexpr std::size_t most_targets = 256;
    using target_place = std::atomic<interruptible*>;

    static target_place* enter(interruptible& target) noexcept {
        for (auto& place : targets) {
            interruptible* free = nullptr;
            if (place.compare_exchange_strong(free, &target)) return &place;
        }
        give_up("more than 256 schedulers wait for signals at once");
    }

    static void arrived(int number) noexcept {
        const int kept = errno;
        handling.fetch_add(1);
        bool told_before = false;
        for (auto& place : targets) {
            auto* target = place.load();
            if (target && !target->interrupt(*target)) told_before = true;
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

    std::size_t count_ = 0;
    std::array<int, most_signals> signals_{};
    std::array<struct sigaction, most_signals> before_{};
    target_place* place_ = nullptr;
};

}  // namespace coho
