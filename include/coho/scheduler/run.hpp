#pragma once

#include "scheduler.hpp"

#include "../backend/native.hpp"

#include <array>
#include <cstddef>
#include <exception>
#include <initializer_list>
#include <stdexcept>
#include <utility>

namespace coho {

/// A few signals; `{}` is none.
class signal_set {
public:
    constexpr signal_set() noexcept = default;
    constexpr signal_set(std::initializer_list<int> signals) {
        if (signals.size() > signals_.size()) throw std::length_error("more than eight signals");
        for (const int each : signals) signals_[count_++] = each;
    }
    constexpr const int* begin() const noexcept { return signals_.data(); }
    constexpr const int* end() const noexcept { return signals_.data() + count_; }

private:
    std::array<int, 8> signals_{};
    std::size_t count_ = 0;
};

struct run_options {
    /// How long to look for work without sleeping before the loop sleeps. It takes microseconds off
    /// a round trip, and a core while there is traffic.
    duration spin{};
    /// Of the pool that leases come from, see incoming() of the sockets.
    buffer_pool_options buffers{};
    /// The first of them asks the task to stop, the second ends the process as it would without
    /// coho.
    signal_set signals{SIGINT, SIGTERM};
};

/// Makes a scheduler over the kernel, runs the task that the function returns to its end, and gives
/// the exit status (see scheduler::run). An exception is one line on standard error, and status 1.
template <backend Backend = native, class Function, class... Arguments>
    requires std::invocable<Function, Arguments...>
int run(run_options options, Function&& function, Arguments&&... arguments) {
    struct stopping : interruptible {
        explicit stopping(event_loop& stopped) noexcept
            : interruptible{.interrupt = &stop}, loop(stopped) {}
        static bool stop(interruptible& target) noexcept {
            auto& self = static_cast<stopping&>(target);
            if (self.asked.exchange(true)) return false;
            self.loop.request_stop();
            return true;
        }
        event_loop& loop;
        std::atomic<bool> asked = false;
    };
    try {
        scheduler<Backend> loop;
        loop.spin_for(options.spin);
        loop.use_buffers(options.buffers);
        stopping target(loop);
        const interrupt_handlers handlers(options.signals, target);
        return loop.run(std::forward<Function>(function), std::forward<Arguments>(arguments)...);
    } catch (const std::exception& thrown) {
        std::fprintf(stderr, "%s\n", thrown.what());
    } catch (...) {
        std::fputs("what was thrown is no std::exception and says nothing of itself\n", stderr);
    }
    return 1;
}

template <backend Backend = native, class Function, class... Arguments>
    requires std::invocable<Function, Arguments...>
int run(Function&& function, Arguments&&... arguments) {
    return run<Backend>(run_options{}, std::forward<Function>(function),
                        std::forward<Arguments>(arguments)...);
}

}  // namespace coho
