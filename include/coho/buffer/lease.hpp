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
    std::byte* data = nullptr;
};

/// Who has one of these has the buffer; then it goes home, from any thread.
struct goes_home {
    inline void operator()(pooled_buffer* buffer) const noexcept;
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
    inline std::span<std::byte> room() const noexcept;

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

/// Who needs a buffer of a pool, now or when one comes home. It may move while it neither waits nor
/// holds one.
class buffer_waiter {
public:
    /// Who waited and got one is put in that queue, by whoever gave the buffer back.
    void grant_by(intrusive_queue<buffer_waiter>& granted) noexcept { granted_ = &granted; }

    /// Whether it holds a buffer; if not, it waits for one from here on.
    inline bool obtain(buffer_pool& pool) noexcept;
    bool waits() const noexcept { return place_ == place::with_pool; }
    /// It waited, and is in the queue of those who got one.
    bool is_granted() const noexcept { return place_ == place::granted; }
    /// The next of those in the queue, which it leaves.
    template <class Waiter>
    static Waiter& next_of(intrusive_queue<buffer_waiter>& granted) noexcept {
        auto& first = granted.pop();
        first.place_ = place::nowhere;
        return static_cast<Waiter&>(first);
    }
    lease& held() noexcept { return held_; }
    lease take_held() noexcept { return std::move(held_); }
    /// Waits no more, and holds none.
    inline void give_up(buffer_pool& pool) noexcept;

    buffer_waiter* next = nullptr;

private:
    friend class buffer_pool;

    enum class place : unsigned char { nowhere, with_pool, granted };

    void grant(lease granted) noexcept {
        place_ = place::granted;
        held_ = std::move(granted);
        granted_->push(*this);
    }
    void leave_granted() noexcept {
        if (place_ == place::granted) granted_->remove(*this);
        place_ = place::nowhere;
    }

    intrusive_queue<buffer_waiter>* granted_ = nullptr;
    lease held_;
    place place_ = place::nowhere;
};

}  // namespace coho
