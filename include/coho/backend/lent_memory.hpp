#pragma once

#include "request.hpp"

#include "../buffer/buffer_pool.hpp"
#include "../core/sanitizers.hpp"

#include <concepts>
#include <cstdint>
#include <cstring>

namespace coho {

/// What the state of a request has of a pool: the buffer that bytes are received into, once there
/// are some; mostly nothing.
template <class Request>
struct leased_buffer {};
template <>
struct leased_buffer<request::receive_leased> : buffer_waiter {};

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
