#pragma once

#include "request.hpp"

#include <concepts>
#include <cstdint>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif

namespace coho {

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

/// Under AddressSanitizer, who touches memory that the kernel is to fill is reported from here on.
inline void forbid([[maybe_unused]] void* data, [[maybe_unused]] std::size_t size) noexcept {
#if defined(ASAN_POISON_MEMORY_REGION)
    ASAN_POISON_MEMORY_REGION(data, size);
#endif
}
inline void allow([[maybe_unused]] void* data, [[maybe_unused]] std::size_t size) noexcept {
#if defined(ASAN_UNPOISON_MEMORY_REGION)
    ASAN_UNPOISON_MEMORY_REGION(data, size);
#endif
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
