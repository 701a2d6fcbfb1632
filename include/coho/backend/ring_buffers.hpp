#pragma once

#include "datagram_message.hpp"
#include "lent_memory.hpp"
#include "posix_sockets.hpp"
#include "ring_data.hpp"

#include "../buffer/buffer_pool.hpp"

#include <bit>
#include <cstdint>
#include <new>

#include <liburing.h>
#include <poll.h>

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
    /// The kernel found none. Whether there are some now.
    bool refill_more() noexcept {
        wanted_ = wanted_ < most_ / 2 ? 2 * wanted_ : most_;
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

/// How a receive goes on that has no buffer of its own.
enum class lease_step : std::uint8_t {
    picks,            ///< the kernel picks a buffer, if bytes are there or come
    picks_when_sure,  ///< the same, but not before bytes are there: there were no buffers
    polls,            ///< until bytes are there
    receives,         ///< into the buffer of the pool that it has, or waits for
    ends,             ///< it has received, and is over once it has a buffer
};

template <class Request>
struct leased_receive : leased_buffer<Request> {
    lease_step step = lease_step::picks;
    operation* waiter = nullptr;
    Request* asked = nullptr;
};

template <>
struct ring_state<request::receive_leased> : leased_receive<request::receive_leased> {
    static constexpr auto tag = ring_tag::leased;

    void prepare_receive(io_uring_sqe& entry) noexcept {
        io_uring_prep_recv(&entry, descriptor_of(asked->socket), room().data(), room().size(), 0);
    }
    void received() noexcept {}
};

template <>
struct ring_state<request::receive_from_leased> : leased_receive<request::receive_from_leased> {
    static constexpr auto tag = ring_tag::leased_datagram;

    void prepare_receive(io_uring_sqe& entry) noexcept {
        io_uring_prep_recvmsg(&entry, descriptor_of(asked->socket), message.to_receive(room()), 0);
    }
    void received() noexcept { message.received(*asked); }

    datagram_message message;
};

template <class Request>
    requires request::is_leased<Request>
void prepare_submission(io_uring_sqe& entry, ring_state<Request>& state) noexcept {
    if (state.step == lease_step::polls) {
        io_uring_prep_poll_add(&entry, descriptor_of(state.asked->socket), POLLIN);
    } else {
        state.prepare_receive(entry);
    }
    if (state.step == lease_step::picks || state.step == lease_step::picks_when_sure) {
        io_uring_sqe_set_flags(&entry, IOSQE_BUFFER_SELECT);
        entry.buf_group = ring_buffers::group;
        if (state.step == lease_step::picks_when_sure) entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
    }
    io_uring_sqe_set_data64(&entry, ring_data(&state, state.tag));
}

}  // namespace coho
