#pragma once

#include "../core/check.hpp"
#include "../core/event_loop.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace coho {

class buffer_pool;

/// What a pool knows of one of its buffers. From another thread it goes home as posted work.
struct pooled_buffer : event_loop::posted_work {
    buffer_pool* pool = nullptr;
    void (*go_home)(pooled_buffer&) noexcept = nullptr;
    std::span<std::byte> memory;
    /// The lease, and each send for which a kernel may still read it.
    unsigned users = 1;
    /// The kernel's: whom the send serves that it does from here.
    void* sender = nullptr;
};

/// Who has one of these has the buffer; then it goes home, from any thread.
struct goes_home {
    void operator()(pooled_buffer* buffer) const noexcept { buffer->go_home(*buffer); }
};
using owned_buffer = std::unique_ptr<pooled_buffer, goes_home>;

/// A buffer of a pool, for as long as this lives; then it goes home by itself, from any thread. The
/// pool's scheduler must outlive it. Movable; null once moved from.
class [[nodiscard]] lease {
public:
    lease() noexcept = default;
    lease(pooled_buffer& buffer, std::size_t bytes) noexcept
        : buffer_(&buffer), size_(static_cast<std::uint32_t>(bytes)) {}

    explicit operator bool() const noexcept { return bool(buffer_); }

    /// What was received, or written here.
    std::span<std::byte> bytes() const noexcept { return room().subspan(begin_, size_); }
    /// The whole buffer, for who fills it.
    std::span<std::byte> room() const noexcept {
        check(bool(buffer_), "a lease was used that is null or was moved from");
        return buffer_->memory;
    }

    /// From here on bytes() are the first so many of room().
    void fill(std::size_t count) noexcept {
        check(count <= room().size(), "a lease was filled with more than its room");
        begin_ = 0;
        size_ = static_cast<std::uint32_t>(count);
    }
    /// Takes so many away at the front of bytes().
    void remove_prefix(std::size_t count) noexcept {
        check(count <= size_, "more was removed from a lease than its bytes");
        begin_ += static_cast<std::uint32_t>(count);
        size_ -= static_cast<std::uint32_t>(count);
    }

    /// The buffer goes home now.
    void reset() noexcept { buffer_.reset(); }
    /// The buffer without the count of its bytes; the lease is null from here on.
    owned_buffer release() noexcept { return std::move(buffer_); }

private:
    owned_buffer buffer_;
    std::uint32_t begin_ = 0;
    std::uint32_t size_ = 0;
};

}  // namespace coho
