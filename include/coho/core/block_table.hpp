#pragma once

#include "allocation_guard.hpp"
#include "growing_array.hpp"

#include <array>
#include <cstddef>
#include <new>

namespace coho {

/// Elements by small numbers, such as descriptors, made in blocks when the first of a block is
/// needed. They never move.
template <class T>
class block_table {
public:
    block_table() noexcept = default;
    block_table(const block_table&) = delete;
    block_table& operator=(const block_table&) = delete;
    ~block_table() {
        for (std::size_t i = 0; i < blocks_.size(); ++i) delete blocks_[i];
    }

    /// Makes the element where it is not there yet; null where there is no memory.
    T* make(std::size_t number) noexcept {
        const auto index = number / block_size;
        if (!blocks_.grow(index + 1)) return nullptr;
        if (!blocks_[index]) {
            allocation_guard::note("a kernel's table of sockets", sizeof(block));
            blocks_[index] = new (std::nothrow) block();
        }
        return find(number);
    }
    /// Null where it was not made.
    T* find(std::size_t number) noexcept {
        const auto index = number / block_size;
        if (index >= blocks_.size() || !blocks_[index]) return nullptr;
        return &(*blocks_[index])[number % block_size];
    }

private:
    static constexpr std::size_t block_size = 64;
    using block = std::array<T, block_size>;

    growing_array<block*> blocks_;
};

}  // namespace coho
