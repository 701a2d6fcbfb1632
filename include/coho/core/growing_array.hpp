#pragma once

#include "allocation_guard.hpp"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

namespace coho {

/// An array that grows without exceptions, for what a kernel keeps; what is new in it is zero.
/// std::vector would do, but its failures must be caught, and it is a tenth of what a translation
/// unit that includes coho costs.
template <class T>
    requires std::is_trivially_copyable_v<T>
class growing_array {
public:
    growing_array() noexcept = default;
    growing_array(const growing_array&) = delete;
    growing_array& operator=(const growing_array&) = delete;
    ~growing_array() { std::free(elements_); }

    std::size_t size() const noexcept { return size_; }
    T& operator[](std::size_t index) noexcept { return elements_[index]; }

    /// Makes room for that many; false where there is no memory, and nothing changed. It moves the
    /// elements.
    bool grow(std::size_t size) noexcept {
        if (size <= size_) return true;
        if (size < 2 * size_) size = 2 * size_;
        allocation_guard::note("a kernel's list", size * sizeof(T));
        void* larger = std::realloc(static_cast<void*>(elements_), size * sizeof(T));
        if (!larger) return false;
        elements_ = static_cast<T*>(larger);
        std::memset(static_cast<void*>(elements_ + size_), 0, (size - size_) * sizeof(T));
        size_ = size;
        return true;
    }

private:
    T* elements_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace coho
