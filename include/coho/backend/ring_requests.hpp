#pragma once

#include "datagram_message.hpp"
#include "posix_sockets.hpp"
#include "ring_data.hpp"

#include "../buffer/lease.hpp"
#include "../core/operation.hpp"

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include <liburing.h>
#include <poll.h>

namespace coho {

/// A request that io_uring may have to be asked again for, or whose outcome is not all that came of
/// it.
struct ring_request {
    struct kind {
        /// The submission for what is left, which names this in its completions.
        void (*prepare)(ring_request&, io_uring_sqe&) noexcept;
        /// True where it is over; false where it is to be prepared and submitted again.
        bool (*completed)(ring_request&, int outcome) noexcept;
    };

    operation* waiter = nullptr;
    const kind* of = nullptr;
};

template <class Request>
constexpr bool needs_ring_request = std::derived_from<ring_state<Request>, ring_request>;

inline std::uint64_t ring_data_of(const operation& each, const auto& state) noexcept {
    if constexpr (requires { state.asked->may_linger; }) {
        // The kernel names it once more when the operation is long over.
        if (state.asked->may_linger) return ring_data(state.asked->leased, ring_tag::sent);
    }
    if constexpr (requires { state.tag; }) {
        return ring_data(&state, state.tag);
    } else if constexpr (std::derived_from<std::remove_cvref_t<decltype(state)>, ring_request>) {
        return ring_data(static_cast<const ring_request*>(&state), ring_tag::request);
    } else {
        return ring_data(&each, ring_tag::operation);
    }
}

/// Transfers of a stream that go on until all bytes have moved. MSG_WAITALL lets the kernel see to
/// that, but a signal or a full socket may still cut it short.
template <class Request>
struct whole_transfer : ring_request {
    Request* asked = nullptr;
    std::size_t progress = 0;

    bool advance(int outcome, std::size_t wanted, bool whole) noexcept {
        if (outcome < 0) {
            if (outcome == -EINTR || outcome == -EAGAIN) return false;
            waiter->outcome = outcome;
            return true;
        }
        progress += static_cast<std::size_t>(outcome);
        waiter->outcome = static_cast<std::intptr_t>(progress);
        return !whole || outcome == 0 || progress == wanted;
    }
};

template <>
struct ring_state<request::receive> : whole_transfer<request::receive> {
    void prepare(io_uring_sqe& entry) noexcept {
        const auto rest = asked->buffer.subspan(progress);
        io_uring_prep_recv(&entry, descriptor_of(asked->socket), rest.data(), rest.size(),
                           asked->whole ? MSG_WAITALL : 0);
    }
    bool completed(int outcome) noexcept {
        return advance(outcome, asked->buffer.size(), asked->whole);
    }
};

template <>
struct ring_state<request::send> : whole_transfer<request::send> {
    void prepare(io_uring_sqe& entry) noexcept {
        const auto rest = asked->bytes.subspan(progress);
        io_uring_prep_send(&entry, descriptor_of(asked->socket), rest.data(), rest.size(),
                           MSG_NOSIGNAL | (asked->whole ? MSG_WAITALL : 0));
        if (!asked->may_linger) return;
        entry.opcode = IORING_OP_SEND_ZC;
        asked->leased->sender = static_cast<ring_request*>(this);
    }
    bool completed(int outcome) noexcept {
        // No more memory may be held (RLIMIT_MEMLOCK), or that socket can but copy.
        const bool must_copy = outcome == -ENOMEM || outcome == -EOPNOTSUPP;
        if (must_copy && std::exchange(asked->may_linger, false)) return false;
        return advance(outcome, asked->bytes.size(), asked->whole);
    }
};

/// Vectored transfers need the system's list of pieces for as long as they are pending.
template <class Request>
struct vectored_transfer : whole_transfer<Request> {
    std::optional<memory_pieces> pieces;
    msghdr message{};

    msghdr* remaining() noexcept {
        pieces.emplace(this->asked->pieces, this->asked->count, this->progress);
        message = pieces->message();
        return &message;
    }
};

template <>
struct ring_state<request::receive_vectored> : vectored_transfer<request::receive_vectored> {
    void prepare(io_uring_sqe& entry) noexcept {
        io_uring_prep_recvmsg(&entry, descriptor_of(asked->socket), remaining(), 0);
    }
    bool completed(int outcome) noexcept {
        return advance(outcome, 0, false);
    }
};

template <>
struct ring_state<request::send_vectored> : vectored_transfer<request::send_vectored> {
    void prepare(io_uring_sqe& entry) noexcept {
        io_uring_prep_sendmsg(&entry, descriptor_of(asked->socket), remaining(),
                              MSG_NOSIGNAL | MSG_WAITALL);
    }
    bool completed(int outcome) noexcept {
        const auto wanted = memory_pieces(asked->pieces, asked->count, 0).bytes();
        return advance(outcome, wanted, true);
    }
};

template <class Request>
struct datagram_transfer : ring_request {
    Request* asked = nullptr;
    std::size_t progress = 0;
    datagram_message message;
};

template <>
struct ring_state<request::receive_from> : datagram_transfer<request::receive_from> {
    void prepare(io_uring_sqe& entry) noexcept {
        io_uring_prep_recvmsg(&entry, descriptor_of(asked->socket),
                              message.to_receive(asked->buffer.data(), asked->buffer.size()), 0);
    }
    bool completed(int outcome) noexcept {
        if (outcome == -EINTR) return false;
        if (outcome >= 0) message.received(*asked);
        waiter->outcome = outcome;
        return true;
    }
};

template <>
struct ring_state<request::send_to> : datagram_transfer<request::send_to> {
    void prepare(io_uring_sqe& entry) noexcept {
        io_uring_prep_sendmsg(&entry, descriptor_of(asked->socket),
                              message.to_send(*asked), MSG_NOSIGNAL);
    }
    bool completed(int outcome) noexcept {
        if (outcome == -EINTR) return false;
        waiter->outcome = outcome;
        return true;
    }
};

/// The address of the peer must outlive the submission.
template <>
struct ring_state<request::connect> {
    socket_address peer;
};

inline void prepare_submission(io_uring_sqe& entry, operation& each,
                               ring_state<request::connect>& state,
                               const request::connect& request) noexcept {
    state.peer = socket_address(request.peer);
    io_uring_prep_connect(&entry, descriptor_of(request.socket), state.peer.data(),
                          state.peer.size());
    io_uring_sqe_set_data64(&entry, ring_data_of(each, state));
}
inline void prepare_submission(io_uring_sqe& entry, operation& each,
                               ring_state<request::poll>& state,
                               const request::poll& request) noexcept {
    io_uring_prep_poll_add(&entry, descriptor_of(request.foreign),
                           request.until == direction::receive ? POLLIN : POLLOUT);
    io_uring_sqe_set_data64(&entry, ring_data_of(each, state));
}
template <class Request>
void prepare_rest(io_uring_sqe& entry, ring_state<Request>& state) noexcept {
    state.prepare(entry);
    io_uring_sqe_set_data64(&entry, ring_data_of(*state.waiter, state));
}
template <class Request>
    requires needs_ring_request<Request>
void prepare_submission(io_uring_sqe& entry, operation& each, ring_state<Request>& state,
                        Request& request) noexcept {
    static constexpr ring_request::kind kind{
        [](ring_request& self, io_uring_sqe& next) noexcept {
            prepare_rest(next, static_cast<ring_state<Request>&>(self));
        },
        [](ring_request& self, int outcome) noexcept {
            return static_cast<ring_state<Request>&>(self).completed(outcome);
        }};
    state.waiter = &each;
    state.of = &kind;
    state.asked = &request;
    state.progress = 0;
    prepare_rest(entry, state);
}

}  // namespace coho
