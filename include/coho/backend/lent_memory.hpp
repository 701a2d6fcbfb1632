#pragma once

#include "request.hpp"

#include "../buffer/buffer_pool.hpp"
#include "../core/sanitizers.hpp"

#include <concepts>
#include <cstdint>
#include <cstring>

namespace coho {

/// What the state of a request has of a pool: the buffer that is received into, once something is
/// there; mostly nothing.
template <class Request>
struct leased_buffer {};
template <class Request>
    requires request::is_leased<Request>
struct leased_buffer<Request> : buffer_waiter {
    /// Whether that outcome has brought something: an empty datagram is one, the end of a stream is
    /// not.
    static bool brings(std::intptr_t outcome) noexcept {
        constexpr bool of_datagrams = requires(Request& asked) { asked.from; };
        return outcome > 0 || (of_datagrams && outcome == 0);
    }
    /// All of the buffer that it holds; no bytes where it holds none.
    std::span<std::byte> room() noexcept {
        return held() ? held().room() : std::span<std::byte>();
    }
    /// A receive into that buffer has ended: what it brought stays there, else the buffer goes.
    void settle(std::intptr_t outcome, buffer_pool& pool) noexcept {
        if (brings(outcome)) held().fill(static_cast<std::size_t>(outcome));
        else give_up(pool);
    }
};

/// Those who waited for a buffer and got one, until their kernel goes on with them.
class granted_receives {
public:
    template <class Request>
        requires request::is_leased<Request>
    intrusive_queue<buffer_waiter>& of() noexcept {
        return std::same_as<Request, request::receive_leased> ? streams_ : datagrams_;
    }
    bool empty() const noexcept { return streams_.empty() && datagrams_.empty(); }
    /// Takes each of them out, also who comes meanwhile, and calls go_on(state).
    template <class Kernel, class Function>
    void take_each(Function&& go_on) noexcept {
        while (!empty()) {
            take_from<typename Kernel::template state<request::receive_leased>>(streams_, go_on);
            take_from<typename Kernel::template state<request::receive_from_leased>>(datagrams_,
                                                                                     go_on);
        }
    }

private:
    template <class State, class Function>
    static void take_from(intrusive_queue<buffer_waiter>& granted, Function& go_on) noexcept {
        while (!granted.empty()) go_on(buffer_waiter::next_of<State>(granted));
    }

    intrusive_queue<buffer_waiter> streams_;
    intrusive_queue<buffer_waiter> datagrams_;
};

/// Calls take(data, size) for each piece of memory that the request lends to the kernel until it is
/// over.
template <class Request, class Take>
void for_each_lent(Request& asked, Take&& take) noexcept {
    if constexpr (requires { asked.pieces; }) {
        request::for_each_piece(asked.pieces, asked.count, 0, take);
    } else if constexpr (requires { asked.buffer; }) {
        take(asked.buffer.data(), asked.buffer.size());
    } else if constexpr (requires { asked.bytes; }) {
        take(const_cast<std::byte*>(asked.bytes.data()), asked.bytes.size());
    }
}

/// The kernel fills what it is lent; else it reads, as others may meanwhile.
template <class Request>
constexpr bool fills_memory = requires(Request& asked) { asked.buffer; } ||
                              std::same_as<Request, request::receive_vectored>;

/// Forbids the memory that the kernel is to fill, and allows it; see forbid().
template <class Request>
void forbid_lent([[maybe_unused]] Request& asked) noexcept {
    if constexpr (has_address_sanitizer && fills_memory<Request>) for_each_lent(asked, forbid);
}
template <class Request>
void allow_lent([[maybe_unused]] Request& asked) noexcept {
    if constexpr (has_address_sanitizer && fills_memory<Request>) for_each_lent(asked, allow);
}

/// A number that changes with the bytes (FNV-1a over words; Fowler, Noll and Vo, 1991).
inline std::uint64_t digest_of(const std::byte* data, std::size_t size) noexcept {
    std::uint64_t digest = 0xcbf29ce484222325 ^ size;
    for (; size >= 8; data += 8, size -= 8) {
        std::uint64_t word;
        std::memcpy(&word, data, 8);
        digest = (digest ^ word) * 0x100000001b3;
        digest ^= digest >> 29;
    }
    for (; size > 0; ++data, --size) {
        digest = (digest ^ static_cast<std::uint64_t>(*data)) * 0x100000001b3;
    }
    return digest;
}

}  // namespace coho
