#pragma once

#include "request.hpp"
#include "socket_address.hpp"
#include "winsock_errors.hpp"

#include "../core/operation.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <span>

namespace coho {

/// What lies under every operation at a completion port: the system knows it by the address of its
/// OVERLAPPED, which comes first.
template <class Calls>
struct port_operation {
    typename Calls::overlapped overlapped{};
    /// Takes what the port handed back.
    void (*arrived)(void* kernel, port_operation&) noexcept = nullptr;
    handle socket = handle::none;
    /// In the queue of those that a cancel did not find.
    port_operation* next = nullptr;
};

/// An operation with the request that it belongs to. It is issued, and issued again until the
/// request is done.
template <class Calls, class Request>
struct port_request_base : port_operation<Calls> {
    operation* waiter = nullptr;
    Request* asked = nullptr;
    std::size_t progress = 0;

    /// A stream's bytes have moved; whether that was all.
    bool advance(int number, std::size_t moved, std::size_t wanted, bool whole) noexcept {
        if (number) return finish(-number);
        progress += moved;
        waiter->outcome = static_cast<std::intptr_t>(progress);
        return !whole || moved == 0 || progress == wanted;
    }
    bool finish(std::intptr_t outcome) noexcept {
        waiter->outcome = outcome;
        return true;
    }
};

/// How a request is issued, and when it is over:
///   int issue(Calls&, std::size_t& moved)      0, io_pending or the number of a failure
///   bool is_over(Calls&, int number, std::size_t moved)      sets the outcome where true
template <class Calls, class Request>
struct port_request;

template <class Calls>
struct port_request<Calls, request::receive> : port_request_base<Calls, request::receive> {
    int issue(Calls& calls, std::size_t& moved) noexcept {
        const auto rest = this->asked->buffer.subspan(this->progress);
        std::array room{Calls::make_buffer(rest.data(), rest.size())};
        return calls.receive(this->socket, room, moved, this->overlapped);
    }
    bool is_over(Calls&, int number, std::size_t moved) noexcept {
        return this->advance(number, moved, this->asked->buffer.size(), this->asked->whole);
    }
};

template <class Calls>
struct port_request<Calls, request::send> : port_request_base<Calls, request::send> {
    // A send is over once all of it was taken, so one that may be short is made short.
    static constexpr std::size_t most_of_some = 64 << 10;

    int issue(Calls& calls, std::size_t& moved) noexcept {
        const auto rest = this->asked->bytes.subspan(this->progress);
        const bool short_one = !this->asked->whole && rest.size() > most_of_some;
        std::array bytes{Calls::make_buffer(const_cast<std::byte*>(rest.data()),
                                            short_one ? most_of_some : rest.size())};
        return calls.send(this->socket, bytes, moved, this->overlapped);
    }
    bool is_over(Calls&, int number, std::size_t moved) noexcept {
        return this->advance(number, moved, this->asked->bytes.size(), this->asked->whole);
    }
};

/// The system's list of pieces, which it reads before the call returns.
template <class Calls, class Request>
struct port_pieces {
    port_pieces(const Request& asked, std::size_t skipped) noexcept {
        request::for_each_piece(asked.pieces, asked.count, skipped,
                                [this](std::byte* data, std::size_t size) {
                                    pieces[count++] = Calls::make_buffer(data, size);
                                    bytes += size;
                                });
    }
    std::span<typename Calls::buffer> list() noexcept { return std::span(pieces).first(count); }

    std::array<typename Calls::buffer, request::most_pieces> pieces;
    std::size_t count = 0;
    std::size_t bytes = 0;
};

template <class Calls>
struct port_request<Calls, request::receive_vectored>
    : port_request_base<Calls, request::receive_vectored> {
    int issue(Calls& calls, std::size_t& moved) noexcept {
        port_pieces<Calls, request::receive_vectored> room(*this->asked, 0);
        return calls.receive(this->socket, room.list(), moved, this->overlapped);
    }
    bool is_over(Calls&, int number, std::size_t moved) noexcept {
        return this->advance(number, moved, 0, false);
    }
};

template <class Calls>
struct port_request<Calls, request::send_vectored>
    : port_request_base<Calls, request::send_vectored> {
    int issue(Calls& calls, std::size_t& moved) noexcept {
        port_pieces<Calls, request::send_vectored> rest(*this->asked, this->progress);
        return calls.send(this->socket, rest.list(), moved, this->overlapped);
    }
    bool is_over(Calls&, int number, std::size_t moved) noexcept {
        const port_pieces<Calls, request::send_vectored> all(*this->asked, 0);
        return this->advance(number, moved, all.bytes, true);
    }
};

/// The system reads the file. What it does where the file ends before the count is not documented,
/// so it is asked for no more than there is.
template <class Calls>
struct port_request<Calls, request::send_file> : port_request_base<Calls, request::send_file> {
    // TransmitFile takes two bytes less than 2 GiB.
    static constexpr std::uint64_t most = 0x7ffffffe;

    int issue(Calls& calls, std::size_t& moved) noexcept {
        const auto& asked = *this->asked;
        const auto offset = asked.offset + this->progress;
        const auto size = calls.file_size(asked.file);
        if (size < 0) return static_cast<int>(-size);
        const auto end = static_cast<std::uint64_t>(size);
        auto count = asked.count - this->progress;
        if (count > most) count = most;
        if (offset >= end || count == 0) return windows_error::handle_eof;
        if (count > end - offset) count = end - offset;
        return calls.send_file(this->socket, asked.file, offset, static_cast<std::uint32_t>(count),
                               moved, this->overlapped);
    }
    bool is_over(Calls&, int number, std::size_t moved) noexcept {
        if (number == windows_error::handle_eof) {
            return this->finish(static_cast<std::intptr_t>(this->progress + moved));
        }
        return this->advance(number, moved, this->asked->count, true);
    }
};

/// The datagram is longer than the room for it.
inline bool is_cut(int number) noexcept {
    return number == windows_error::message_size || number == windows_error::more_data;
}

template <class Calls, class Request>
struct port_datagram : port_request_base<Calls, Request> {
    socket_address from;
    unsigned long flags = 0;

    /// Who only looks leaves the datagram where it is.
    int receive_into(std::span<std::byte> room, bool looks, Calls& calls,
                     std::size_t& moved) noexcept {
        from = socket_address();
        flags = looks ? MSG_PEEK : 0;
        return calls.receive_from(this->socket, Calls::make_buffer(room.data(), room.size()), moved,
                                  flags, from, this->overlapped);
    }
    std::intptr_t outcome_of(int number, std::size_t moved,
                             std::span<std::byte> room) noexcept {
        if (number && !is_cut(number)) return -number;
        this->asked->from = from.where();
        this->asked->truncated = is_cut(number);
        return static_cast<std::intptr_t>(is_cut(number) ? room.size() : moved);
    }
};

template <class Calls>
struct port_request<Calls, request::receive_from> : port_datagram<Calls, request::receive_from> {
    int issue(Calls& calls, std::size_t& moved) noexcept {
        return this->receive_into(this->asked->buffer, false, calls, moved);
    }
    bool is_over(Calls&, int number, std::size_t moved) noexcept {
        return this->finish(this->outcome_of(number, moved, this->asked->buffer));
    }
};

template <class Calls>
struct port_request<Calls, request::send_to> : port_request_base<Calls, request::send_to> {
    socket_address to;

    int issue(Calls& calls, std::size_t& moved) noexcept {
        if (this->asked->size > 0) return windows_error::operation_not_supported;
        to = socket_address(this->asked->to);
        auto* data = const_cast<std::byte*>(this->asked->bytes.data());
        return calls.send_to(this->socket, Calls::make_buffer(data, this->asked->bytes.size()),
                             moved, to, this->overlapped);
    }
    bool is_over(Calls&, int number, std::size_t moved) noexcept {
        return this->finish(number ? -number : static_cast<std::intptr_t>(moved));
    }
};

template <class Calls>
struct port_request<Calls, request::connect> : port_request_base<Calls, request::connect> {
    socket_address peer;

    int issue(Calls& calls, std::size_t&) noexcept {
        // ConnectEx wants a socket that is bound.
        if (calls.local_endpoint(this->socket) == endpoint()) {
            const auto family = this->asked->peer.address().family();
            const endpoint any(ip_address::any(family), 0);
            if (const int failed = calls.bind(this->socket, any)) return failed;
        }
        peer = socket_address(this->asked->peer);
        return calls.connect(this->socket, peer, this->overlapped);
    }
    bool is_over(Calls& calls, int number, std::size_t) noexcept {
        if (!number && calls.update_connected(this->socket)) {
            number = windows_error::wsa_connection_aborted;
        }
        return this->finish(-number);
    }
};

/// Readable is known by a receive without room, which takes nothing away. Windows knows none such
/// for writing.
template <class Calls>
struct port_request<Calls, request::poll> : port_request_base<Calls, request::poll> {
    int issue(Calls& calls, std::size_t& moved) noexcept {
        if (this->asked->until == direction::send) return windows_error::operation_not_supported;
        std::array room{Calls::make_buffer(nullptr, 0)};
        return calls.receive(this->socket, room, moved, this->overlapped);
    }
    bool is_over(Calls&, int number, std::size_t) noexcept {
        return this->finish(is_cut(number) ? 0 : -number);
    }
};

template <class Request>
handle socket_of(const Request& asked) noexcept {
    if constexpr (std::same_as<Request, request::poll>) return asked.foreign;
    else return asked.socket;
}

}  // namespace coho
