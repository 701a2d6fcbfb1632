#pragma once

#include <atomic>

namespace coho {

/// A wake that was called for and not yet used up, where no kernel keeps it.
///
/// Atomic is std::atomic, but where tests/model runs all this in every order there is.
template <template <class> class Atomic = std::atomic>
class wake_flag {
public:
    // By exchange, both: a store would hide the wake before it, and with it what that one came for.

    /// Any thread, also within a signal handler.
    void set() noexcept { woken_.exchange(true, std::memory_order_release); }
    /// Whether it was set since; what was done before each such wake is then seen.
    bool take() noexcept { return woken_.exchange(false, std::memory_order_acquire); }

private:
    Atomic<bool> woken_ = false;
};

}  // namespace coho
