#pragma once

#include "interrupt.hpp"

#include <cerrno>

#include <pthread.h>
#include <signal.h>

namespace coho {

/// While it lives, the first of the signals interrupts its target; the second has its default
/// effect, so that a program which does not stop can still be ended. Several may live at once, on
/// as many threads: each target is told of its own signals, and the last that wants a signal puts
/// back what was there before the first. sigaction(2).
class interrupt_handlers {
public:
    template <class Signals>
    interrupt_handlers(const Signals& signals, interruptible& target) noexcept
        : signals_(interrupt_targets::bits_of(signals)) {
        if (!signals_) return;
        target.signals = signals_;
        const lock alone;
        place_ = &interrupt_targets::all.enter(target);
        for_each_signal([](int number, handled_signal& its) {
            if (its.targets++ == 0) handle(number, its);
        });
    }
    interrupt_handlers(const interrupt_handlers&) = delete;
    interrupt_handlers& operator=(const interrupt_handlers&) = delete;
    ~interrupt_handlers() {
        if (!signals_) return;
        const lock alone;
        for_each_signal([](int number, handled_signal& its) {
            if (--its.targets == 0) ::sigaction(number, &its.before, nullptr);
        });
        interrupt_targets::all.leave(*place_);
    }

private:
    /// The header <mutex> would cost whoever includes coho a tenth more time.
    struct lock {
        lock() noexcept { ::pthread_mutex_lock(&changing); }
        lock(const lock&) = delete;
        lock& operator=(const lock&) = delete;
        ~lock() { ::pthread_mutex_unlock(&changing); }
    };
    struct handled_signal {
        int targets;
        struct sigaction before;
    };

    template <class Function>
    void for_each_signal(Function function) noexcept {
        for (int number = 1; number <= interrupt_targets::most_signals; ++number) {
            if (!(signals_ & interrupt_targets::bit_of(number))) continue;
            function(number, handled_signals[static_cast<std::size_t>(number - 1)]);
        }
    }
    static void handle(int number, handled_signal& its) noexcept {
        struct sigaction action {};
        action.sa_handler = &arrived;
        action.sa_flags = SA_RESTART;
        sigemptyset(&action.sa_mask);
        ::sigaction(number, &action, &its.before);
    }
    static void arrived(int number) noexcept {
        const int kept = errno;
        if (interrupt_targets::all.tell(interrupt_targets::bit_of(number))) {
            struct sigaction plain {};
            plain.sa_handler = SIG_DFL;
            sigemptyset(&plain.sa_mask);
            ::sigaction(number, &plain, nullptr);
            // Blocked while its handler runs, it takes effect on return.
            ::raise(number);
        }
        errno = kept;
    }

    // Not the handler's: what those who come and go on different threads share.
    static inline ::pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
    static inline std::array<handled_signal, interrupt_targets::most_signals> handled_signals{};

    std::uint64_t signals_;
    interrupt_targets::table::place* place_ = nullptr;
};

}  // namespace coho
