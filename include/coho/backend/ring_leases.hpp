#pragma once

#include "datagram_message.hpp"
#include "lent_memory.hpp"
#include "posix_sockets.hpp"
#include "ring_buffers.hpp"
#include "ring_data.hpp"

#include <cstdint>

#include <liburing.h>
#include <poll.h>

namespace coho {

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

    bool has_received() const noexcept { return step == lease_step::ends; }

protected:
    /// Also for a buffer that is yet to be picked: until Linux 6.0 who names no size is given no
    /// bytes, which is the end of a stream, and a datagram lost.
    std::size_t most() const noexcept { return asked->buffers->buffer_size(); }
};

template <>
struct ring_state<request::receive_leased> : leased_receive<request::receive_leased> {
    static constexpr auto tag = ring_tag::leased;

    void prepare_receive(io_uring_sqe& entry) noexcept {
        io_uring_prep_recv(&entry, descriptor_of(asked->socket), room().data(), most(), 0);
    }
    void received() noexcept {}
};

template <>
struct ring_state<request::receive_from_leased> : leased_receive<request::receive_from_leased> {
    static constexpr auto tag = ring_tag::leased_datagram;

    void prepare_receive(io_uring_sqe& entry) noexcept {
        io_uring_prep_recvmsg(&entry, descriptor_of(asked->socket),
                              message.to_receive(room().data(), most()), 0);
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
