#pragma once

#include "interrupt.hpp"
#include "socket_headers.hpp"

#include <csignal>

namespace coho {

/// While it lives, the first Ctrl-C (as SIGINT), Ctrl-Break or closing of the console (both as
/// SIGTERM) interrupts its target; the second ends the process as it would without coho. Several
/// may live at once, on as many threads. SetConsoleCtrlHandler in Microsoft's documentation.
class interrupt_handlers {
public:
    template <class Signals>
    interrupt_handlers(const Signals& signals, interruptible& target) noexcept {
        target.signals = interrupt_targets::bits_of(signals);
        if (!target.signals) return;
        place_ = &interrupt_targets::all.enter(target);
        ::SetConsoleCtrlHandler(&arrived, TRUE);
    }
    interrupt_handlers(const interrupt_handlers&) = delete;
    interrupt_handlers& operator=(const interrupt_handlers&) = delete;
    ~interrupt_handlers() {
        if (!place_) return;
        // The system counts: one was added for each.
        ::SetConsoleCtrlHandler(&arrived, FALSE);
        interrupt_targets::all.leave(*place_);
    }

private:
    /// Runs on a thread of its own that the system makes.
    static BOOL WINAPI arrived(DWORD event) noexcept {
        if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT && event != CTRL_CLOSE_EVENT) {
            return FALSE;
        }
        const auto signal =
            interrupt_targets::bit_of(event == CTRL_C_EVENT ? SIGINT : SIGTERM);
        if (interrupt_targets::all.tell(signal)) return FALSE;
        // The process ends when this returns, so it is kept until all have drained; the system
        // itself waits no longer than some seconds.
        while (event == CTRL_CLOSE_EVENT && interrupt_targets::all.any()) ::Sleep(10);
        return TRUE;
    }

    interrupt_targets::table::place* place_ = nullptr;
};

}  // namespace coho
