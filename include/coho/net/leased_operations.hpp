#pragma once

#include "../buffer/buffer_pool.hpp"
#include "../core/awaitable.hpp"
#include "../core/result.hpp"

#include <array>
#include <cstddef>
#include <utility>

namespace coho {

/// What comes to a socket, as leases of the scheduler's buffers, one after another. None belongs to
/// a socket that is silent. The socket must outlive it, and stay where it is. Receiving is the
/// operation that brings the next.
template <class Socket, class Receiving>
class basic_incoming {
public:
    explicit basic_incoming(Socket& socket) : socket_(&socket) {
        // What may fail, does so here.
        socket.on().buffers();
    }

    /// Of a stream the next bytes, as many as are there and a buffer holds; errc::end_of_stream
    /// once the peer has ended its side. Else the next datagram. While every buffer is out, those
    /// who have something to receive wait for one, in the order they came; leases that end let them
    /// go on.
    [[nodiscard]] Receiving next() noexcept {
        return Receiving(*socket_, {socket_->native_handle(), &socket_->on().buffers()});
    }

private:
    Socket* socket_;
};

/// An operation that sends what lies in buffers of a pool, and holds these until it is over.
template <class Sending, std::size_t count>
class [[nodiscard]] sending_leases : public await_in_task<sending_leases<Sending, count>> {
public:
    sending_leases(Sending&& unstarted, std::array<owned_buffer, count> held) noexcept
        : sending_(std::move(unstarted)), held_(std::move(held)) {}

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        return sending_.start(inherited, waiter);
    }
    result<void> finish() noexcept {
        auto finished = sending_.finish();
        for (auto& each : held_) each.reset();
        return finished;
    }

private:
    Sending sending_;
    std::array<owned_buffer, count> held_;
};

}  // namespace coho
