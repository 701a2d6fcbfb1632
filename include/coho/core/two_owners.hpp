#pragma once

#include <atomic>

namespace coho {

/// Two threads own something together, and the one that leaves last frees it.
///
/// Atomic is std::atomic, but where tests/model runs all this in every order there is.
template <template <class> class Atomic = std::atomic>
class two_owners {
public:
    /// Each owner, once. Whether the other has left before: then all it did is seen, and what they
    /// owned is the caller's alone.
    bool leave() noexcept { return one_left_.exchange(true, std::memory_order_acq_rel); }

private:
    Atomic<bool> one_left_ = false;
};

}  // namespace coho
