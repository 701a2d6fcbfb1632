#pragma once

#include <coho.hpp>

#include <vector>

/// Pools of few buffers, and a look at how often a loop asks its kernel meanwhile.
namespace support {

template <class Backend>
coho::buffer_pool& pool_of(std::size_t count, std::size_t size = 16'384) {
    auto& on = coho::scheduler<Backend>::current();
    on.use_buffers({.count = count, .size = size});
    return on.buffers();
}

/// All buffers of a pool but so many, which are left for others. Of a pool of sixteen a kernel may
/// hold some of those; of a single one none does.
inline std::vector<coho::lease> take_all_but(std::size_t left, coho::buffer_pool& pool) {
    std::vector<coho::lease> taken;
    while (pool.idle() > left) taken.push_back(pool.try_take());
    return taken;
}

/// How often the loop asks its kernel.
template <class Backend>
struct counting : Backend {
    using Backend::Backend;
    void wait(coho::deadline until, coho::operation_queue& completed) noexcept {
        ++waits;
        Backend::wait(until, completed);
    }
    int waits = 0;
};

}  // namespace support
