#pragma once

#include "../core/check.hpp"
#include "../core/event_loop.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace coho {

class buffer_pool;

/// What a pool knows of one of its buffers. From another thread it goes home as posted work.
struct pooled_buffer : event_loop::posted_work {
    buffer_pool* pool = nullptr;
    std::byte* data = nullptr;
};

/// A buffer of a pool, for as long as this lives; then it goes home by itself, from any thread. The
/// pool's scheduler must outlive it. Movable; null once moved from.
class [[nodiscard]] lease {
public:
    lease() noexcept = default;
    lease(pooled_buffer& buffer, std::size_t bytes) noexcept
        : buffer_(&buffer), size_(static_cast<std::uint32_t>(bytes)) {}
    lease(lease&& other) noexcept
        : buffer_(std::exchange(other.buffer_, nullptr)), begin_(other.begin_),
          size_(other.size_) {}
    lease& operator=(lease&& other) noexcept {
        if (this == &other) return *this;
        reset();
        buffer_ = std::exchange(other.buffer_, nullptr);
        begin_ = other.begin_;
        size_ = other.size_;
        return *this;
    }
    ~lease() { reset(); }

    explicit operator bool() const noexcept { return buffer_; }

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
    inline void reset() noexcept;

private:
    pooled_buffer* buffer_ = nullptr;
    std::uint32_t begin_ = 0;
    std::uint32_t size_ = 0;
};

/// Who needs a buffer of a pool, now or when one comes home. It may move while it neither waits nor
/// holds one.
class buffer_waiter {
public:
    using granted_function = void(buffer_waiter&) noexcept;

    /// The function is called on the loop's thread, by whoever gave a buffer back; it resumes
    /// nobody.
    explicit buffer_waiter(granted_function* granted) noexcept : granted_(granted) {}
    buffer_waiter(const buffer_waiter&) = delete;
    buffer_waiter& operator=(const buffer_waiter&) = delete;
    ~buffer_waiter() { give_up(); }

    /// Whether it holds a buffer; if not, it waits for one from here on.
    inline bool obtain(buffer_pool& pool) noexcept;
    bool waits() const noexcept { return awaited_; }
    lease& held() noexcept { return held_; }
    lease take_held() noexcept { return std::move(held_); }
    /// Waits no more, and holds none.
    inline void give_up() noexcept;

    buffer_waiter* next = nullptr;

private:
    friend class buffer_pool;

    void grant(lease granted) noexcept {
        awaited_ = nullptr;
        held_ = std::move(granted);
        granted_(*this);
    }

    granted_function* granted_;
    buffer_pool* awaited_ = nullptr;
    lease held_;
};

}  // namespace coho
