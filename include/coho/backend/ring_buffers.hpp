#pragma once

#include "../buffer/buffer_pool.hpp"

#include <bit>
#include <cstdint>
#include <new>

#include <liburing.h>

namespace coho {

/// Buffers of one pool that io_uring holds, and of which it picks one when bytes have come, so that
/// a receive needs none before. io_uring_register_buf_ring(3), Linux 5.19. They are few, and so
/// stay warm, until they prove too few; at most three quarters of the pool's, for the others may be
/// wanted by name.
class ring_buffers {
public:
    static constexpr unsigned short group = 0;

    ring_buffers() = default;
    ring_buffers(const ring_buffers&) = delete;
    ring_buffers& operator=(const ring_buffers&) = delete;
    ~ring_buffers() { ::operator delete(ring_, std::align_val_t(page)); }

    /// Tries it once. Where it cannot be done, serves() says so.
    void set_up(::io_uring& kernel, buffer_pool& pool) noexcept {
        if (std::exchange(tried_, true) || pool.count() < fewest) return;
        most_ = static_cast<unsigned>(pool.count() - pool.count() / 4);
        if (most_ > most_entries) most_ = most_entries;
        if (wanted_ > most_) wanted_ = most_;
        entries_ = std::bit_ceil(most_);
        ring_ = static_cast<io_uring_buf_ring*>(::operator new(
            entries_ * sizeof(io_uring_buf), std::align_val_t(page), std::nothrow));
        if (!ring_) return;
        io_uring_buf_ring_init(ring_);
        io_uring_buf_reg wanted{};
        wanted.ring_addr = reinterpret_cast<std::uintptr_t>(ring_);
        wanted.ring_entries = entries_;
        wanted.bgid = group;
        if (io_uring_register_buf_ring(&kernel, &wanted, 0) < 0) return;
        pool_ = &pool;
        refill();
    }
    bool serves(const buffer_pool& pool) const noexcept { return pool_ == &pool; }

    /// Hands over what the pool can spare.
    void refill() noexcept {
        if (!pool_) return;
        int added = 0;
        while (pool_->lent() < wanted_) {
            auto* const buffer = pool_->lend();
            if (!buffer) break;
            io_uring_buf_ring_add(ring_, buffer->memory.data(),
                                  static_cast<unsigned>(buffer->memory.size()),
                                  static_cast<unsigned short>(pool_->index_of(*buffer)),
                                  io_uring_buf_ring_mask(entries_), added++);
        }
        if (added > 0) io_uring_buf_ring_advance(ring_, added);
    }
    /// The kernel found none. Whether there are some now. Many may tell of the same lack.
    bool refill_more() noexcept {
        if (pool_->lent() == 0) wanted_ = wanted_ < most_ / 2 ? 2 * wanted_ : most_;
        refill();
        return pool_->lent() > 0;
    }
    /// The buffer that a completion tells of.
    lease take(unsigned flags, int bytes) noexcept {
        return pool_->return_filled(flags >> IORING_CQE_BUFFER_SHIFT,
                                    bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    }

private:
    static constexpr std::size_t page = 4096;
    // Of a small pool each buffer is wanted by name.
    static constexpr std::size_t fewest = 8;
    static constexpr unsigned most_entries = 4096;

    io_uring_buf_ring* ring_ = nullptr;
    buffer_pool* pool_ = nullptr;
    unsigned entries_ = 0;
    unsigned most_ = 0;
    unsigned wanted_ = 16;
    bool tried_ = false;
};

}  // namespace coho
