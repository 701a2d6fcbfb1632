#pragma once

#include "endpoint.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace coho {

class buffer_pool;
struct pooled_buffer;

/// What the system calls an open socket or file: a file descriptor, a SOCKET or a HANDLE.
enum class handle : std::intptr_t { none = -1 };

enum class socket_kind : std::uint8_t { stream, datagram };
enum class direction : std::uint8_t { receive, send };

/// What a listener does after an accept that failed.
enum class accept_advice : std::uint8_t {
    go_on,     ///< that one connection was broken before it was taken
    back_off,  ///< descriptors or memory lack; the next may succeed later
    give_up,
};

/// What can be asked of a kernel. A request, and the memory it points to, stays where it is until
/// its operation is handed back. Outcomes below zero are negated error numbers of the system.
namespace request {

/// The next connection of a listening socket. Outcome: the new handle.
///
/// Its state belongs to the listener and outlives each accept on it, for a kernel may go on
/// accepting.
struct accept {
    handle listener = handle::none;
};

/// Connects an open socket. Outcome: 0.
struct connect {
    handle socket = handle::none;
    endpoint peer;
};

/// Outcome: the bytes received, 0 at the end of the stream. With `whole` it is pending until the
/// buffer is full, and smaller only where the stream ended first.
struct receive {
    handle socket = handle::none;
    std::span<std::byte> buffer;
    bool whole = false;
};

/// The next bytes of a stream, in a buffer that is taken from the pool once they are there. While
/// the pool is empty it is pending. Outcome: the bytes received, 0 at the end of the stream; the
/// state gives the lease, take_held().
struct receive_leased {
    handle socket = handle::none;
    buffer_pool* buffers = nullptr;
};

/// Outcome: the bytes sent. With `whole` that is all of them.
struct send {
    handle socket = handle::none;
    std::span<const std::byte> bytes;
    bool whole = false;
    /// A kernel may go on reading them, until the buffer that they are leased in goes home, which
    /// it does on the loop's thread.
    bool may_linger = false;
    /// That buffer, if there is one.
    pooled_buffer* leased = nullptr;
};

/// Pieces of memory that go out, or are filled, one after another.
inline constexpr std::size_t most_pieces = 16;

/// Calls take(data, size) for each piece that has bytes left once the first `skipped` are gone.
template <class Bytes, class Take>
void for_each_piece(const std::array<std::span<Bytes>, most_pieces>& pieces, std::size_t count,
                    std::size_t skipped, Take&& take) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        const auto cut = skipped < pieces[i].size() ? skipped : pieces[i].size();
        skipped -= cut;
        if (cut == pieces[i].size()) continue;
        const auto rest = pieces[i].subspan(cut);
        take(const_cast<std::byte*>(rest.data()), rest.size());
    }
}

struct receive_vectored {
    handle socket = handle::none;
    std::array<std::span<std::byte>, most_pieces> pieces{};
    std::size_t count = 0;
};

/// Always whole. Outcome: the bytes sent.
struct send_vectored {
    handle socket = handle::none;
    std::array<std::span<const std::byte>, most_pieces> pieces{};
    std::size_t count = 0;
};

/// Bytes of a regular file. Outcome: the bytes sent, which is all of them, or fewer where the file
/// ended first.
struct send_file {
    handle socket = handle::none;
    handle file = handle::none;
    std::uint64_t offset = 0;
    std::uint64_t count = 0;
    /// For a kernel that must read them into memory first.
    buffer_pool* buffers = nullptr;
};

/// One datagram, or several of one sender. Outcome: the bytes received; what did not fit is lost,
/// and `truncated` says so.
struct receive_from {
    handle socket = handle::none;
    std::span<std::byte> buffer;
    endpoint from;
    bool truncated = false;
    /// Of each datagram but the last, which may be shorter; 0 where it is but one. Several come
    /// only where batch_datagrams() asked for it.
    std::size_t size = 0;
};

/// One datagram, in a buffer that is taken from the pool once it is there. While the pool is empty
/// it is pending. Outcome: the bytes received, also 0; the state gives the lease, take_held(). Only
/// where batch_datagrams() asked for no batches.
struct receive_from_leased {
    handle socket = handle::none;
    buffer_pool* buffers = nullptr;
    endpoint from{};
    bool truncated = false;
};

/// What one call may send as several datagrams: so many, and so many bytes. A packet of 65,535
/// bytes, less the headers of IPv6 and UDP, holds them all.
inline constexpr std::size_t most_datagrams = 64;
inline constexpr std::size_t most_datagram_bytes = 65'535 - 40 - 8;

/// One datagram, or several. Outcome: the bytes sent, which is all of them.
struct send_to {
    handle socket = handle::none;
    std::span<const std::byte> bytes;
    endpoint to;
    /// Of each datagram but the last, which may be shorter; 0 where it is but one. Several go only
    /// where batch_datagrams() gave 0, and even there a route may refuse it.
    std::size_t size = 0;
};

/// Until a foreign handle can be read or written. Outcome: 0.
struct poll {
    handle foreign = handle::none;
    direction until = direction::receive;
};

/// Whether what a request of that type brings lies in a buffer of a pool.
template <class Request>
constexpr bool is_leased =
    std::same_as<Request, receive_leased> || std::same_as<Request, receive_from_leased>;

/// Whether a request of that type waits for what comes in, or for what can go out; a poll says it
/// itself.
template <class Request>
constexpr direction side_of =
    std::same_as<Request, connect> || std::same_as<Request, send> ||
            std::same_as<Request, send_vectored> || std::same_as<Request, send_file> ||
            std::same_as<Request, send_to>
        ? direction::send
        : direction::receive;

}  // namespace request
}  // namespace coho
