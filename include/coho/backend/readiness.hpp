#pragma once

#include "datagram_message.hpp"
#include "lent_memory.hpp"
#include "posix_sockets.hpp"
#include "without_sigpipe.hpp"

#include "../core/operation.hpp"

#include <concepts>
#include <limits>
#include <type_traits>

#include <poll.h>
#include <sys/sendfile.h>

namespace coho {

/// What is known of a socket between two events of the kernel.
struct socket_readiness {
    bool readable = false;
    bool writable = false;
    /// The peer has ended or broken the stream: reading tells at once, now and for ever.
    bool ended = false;

    bool& of(direction side) noexcept { return side == direction::receive ? readable : writable; }
};

/// Nothing could be done without waiting.
inline constexpr std::intptr_t would_block = (std::numeric_limits<std::intptr_t>::min)();

struct attempt_outcome {
    std::intptr_t value = would_block;
    /// The value is a new connection.
    bool accepted = false;
};

/// A request that waits for readiness, without its type.
struct pending_attempt {
    operation* waiter = nullptr;
    attempt_outcome (*again)(pending_attempt&, socket_readiness&) noexcept = nullptr;
};

/// How a request is done on a socket that does not block: tried, and tried again when it may
/// succeed.
template <class Request>
struct readiness_attempt : pending_attempt, leased_buffer<Request> {
    Request* asked = nullptr;

    void prepare(operation& each, Request& request) noexcept {
        waiter = &each;
        waiter->outcome = 0;
        asked = &request;
        again = [](pending_attempt& self, socket_readiness& readiness) noexcept {
            auto& state = static_cast<readiness_attempt&>(self);
            // Here coho does what elsewhere the system does.
            allow_lent(*state.asked);
            const auto tried = state.attempt(readiness);
            if (tried.value == would_block) forbid_lent(*state.asked);
            return tried;
        };
    }

    direction side() const noexcept {
        if constexpr (std::same_as<Request, request::poll>) return asked->until;
        else return request::side_of<Request>;
    }

    handle socket() const noexcept {
        if (!asked) return handle::none;
        if constexpr (std::same_as<Request, request::accept>) return asked->listener;
        else if constexpr (std::same_as<Request, request::poll>) return asked->foreign;
        else return asked->socket;
    }

    attempt_outcome attempt(socket_readiness& readiness) noexcept;

private:
    /// Bytes moved so far.
    std::size_t progress() const noexcept { return static_cast<std::size_t>(waiter->outcome); }

    /// One system call, again where a signal came between; would_block where nothing is to be had
    /// now.
    template <class Call>
    std::intptr_t call(socket_readiness& readiness, Call&& system_call) noexcept {
        for (;;) {
            const auto returned = system_call(descriptor_of(socket()));
            if (returned >= 0) return returned;
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return -errno;
            readiness.of(side()) = false;
            return would_block;
        }
    }

    /// Moves bytes of a stream, once, or until `wanted` bytes have moved. A call that moves less
    /// than it could has emptied or filled the socket's buffer, so the next edge is waited for
    /// without asking again (epoll(7), question 9), unless the stream has ended, for which there is
    /// no further edge.
    template <class Call>
    attempt_outcome stream(socket_readiness& readiness, std::size_t wanted, bool whole,
                           Call&& system_call) noexcept {
        for (;;) {
            const auto moved = call(readiness, system_call);
            if (moved < 0) return {moved};
            const auto left = wanted - progress();
            waiter->outcome += moved;
            const bool at_end = moved == 0;
            if (static_cast<std::size_t>(moved) < left && !readiness.ended && !at_end) {
                readiness.of(side()) = false;
            }
            if (!whole || at_end || progress() == wanted) return {waiter->outcome};
            if (!readiness.of(side())) return {};
        }
    }

    attempt_outcome datagram(socket_readiness& readiness, std::span<std::byte> room) noexcept {
        datagram_message message;
        const auto received = call(readiness, [&](int descriptor) {
            return ::recvmsg(descriptor, message.to_receive(room.data(), room.size()), 0);
        });
        if (received >= 0) message.received(*asked);
        return {received};
    }

    /// Receives into a buffer of the pool, once there is one; silent sockets hold none.
    template <class Receive>
    attempt_outcome into_buffer(Receive&& receive) noexcept {
        if (!this->obtain(*asked->buffers)) return {};
        const attempt_outcome received = receive(this->room());
        this->settle(received.value, *asked->buffers);
        return received;
    }
};

template <>
inline attempt_outcome readiness_attempt<request::accept>::attempt(
    socket_readiness& readiness) noexcept {
    const auto accepted = call(readiness, [](int listener) {
        return ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    });
    return {accepted, accepted >= 0};
}

template <>
inline attempt_outcome readiness_attempt<request::connect>::attempt(socket_readiness&) noexcept {
    int failed = 0;
    socklen_t size = sizeof failed;
    ::getsockopt(descriptor_of(socket()), SOL_SOCKET, SO_ERROR, &failed, &size);
    return {-failed};
}

template <>
inline attempt_outcome readiness_attempt<request::receive>::attempt(
    socket_readiness& readiness) noexcept {
    return stream(readiness, asked->buffer.size(), asked->whole, [this](int descriptor) {
        const auto rest = asked->buffer.subspan(progress());
        return ::recv(descriptor, rest.data(), rest.size(), 0);
    });
}

template <>
inline attempt_outcome readiness_attempt<request::receive_leased>::attempt(
    socket_readiness& readiness) noexcept {
    return into_buffer([&](std::span<std::byte> room) {
        return stream(readiness, room.size(), false, [&](int descriptor) {
            return ::recv(descriptor, room.data(), room.size(), 0);
        });
    });
}

template <>
inline attempt_outcome readiness_attempt<request::send>::attempt(
    socket_readiness& readiness) noexcept {
    return stream(readiness, asked->bytes.size(), asked->whole, [this](int descriptor) {
        const auto rest = asked->bytes.subspan(progress());
        return ::send(descriptor, rest.data(), rest.size(), MSG_NOSIGNAL);
    });
}

template <>
inline attempt_outcome readiness_attempt<request::receive_vectored>::attempt(
    socket_readiness& readiness) noexcept {
    memory_pieces pieces(asked->pieces, asked->count, 0);
    return stream(readiness, pieces.bytes(), false, [&](int descriptor) {
        auto message = pieces.message();
        return ::recvmsg(descriptor, &message, 0);
    });
}

template <>
inline attempt_outcome readiness_attempt<request::send_vectored>::attempt(
    socket_readiness& readiness) noexcept {
    const auto wanted = memory_pieces(asked->pieces, asked->count, 0).bytes();
    return stream(readiness, wanted, true, [this](int descriptor) {
        memory_pieces rest(asked->pieces, asked->count, progress());
        auto message = rest.message();
        return ::sendmsg(descriptor, &message, MSG_NOSIGNAL);
    });
}

/// Bytes of a file that go out in one turn of the loop, for a peer that reads as fast as they come
/// would have sendfile(2) go on to the end of the file.
inline constexpr std::uint64_t most_of_a_turn = 256 << 10;

// A call that moves less than it could may have met the end of the file, for which there is no
// edge: it is asked again.
template <>
inline attempt_outcome readiness_attempt<request::send_file>::attempt(
    socket_readiness& readiness) noexcept {
    const auto left = asked->count - progress();
    const auto end = progress() + (left < most_of_a_turn ? left : most_of_a_turn);
    for (;;) {
        auto moved = call(readiness, [&](int descriptor) {
            auto place = static_cast<off_t>(asked->offset + progress());
            return without_sigpipe([&] {
                return ::sendfile(descriptor, descriptor_of(asked->file), &place,
                                  static_cast<std::size_t>(end - progress()));
            });
        });
        // Beyond what any file there can have, which others call its end.
        if (moved == -EOVERFLOW) moved = 0;
        if (moved < 0) return {moved};
        waiter->outcome += moved;
        if (moved == 0 || progress() == asked->count) return {waiter->outcome};
        if (progress() == end) return {};
    }
}

template <>
inline attempt_outcome readiness_attempt<request::receive_from>::attempt(
    socket_readiness& readiness) noexcept {
    return datagram(readiness, asked->buffer);
}

template <>
inline attempt_outcome readiness_attempt<request::receive_from_leased>::attempt(
    socket_readiness& readiness) noexcept {
    return into_buffer(
        [&](std::span<std::byte> room) { return datagram(readiness, room); });
}

template <>
inline attempt_outcome readiness_attempt<request::send_to>::attempt(
    socket_readiness& readiness) noexcept {
    datagram_message message;
    return {call(readiness, [&](int descriptor) {
        return ::sendmsg(descriptor, message.to_send(*asked), MSG_NOSIGNAL);
    })};
}

template <>
inline attempt_outcome readiness_attempt<request::poll>::attempt(
    socket_readiness& readiness) noexcept {
    pollfd asked_for{descriptor_of(asked->foreign),
                     static_cast<short>(side() == direction::receive ? POLLIN : POLLOUT), 0};
    const auto ready = call(readiness, [&](int) { return ::poll(&asked_for, 1, 0); });
    if (ready != 0) return {ready > 0 ? 0 : ready};
    readiness.of(side()) = false;
    return {};
}

}  // namespace coho
