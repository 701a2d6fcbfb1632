#pragma once

#include <cstdint>

namespace coho {

/// What a submission carries and a completion brings back: an address, and in its low bits what
/// lies there.
enum class ring_tag : std::uintptr_t {
    operation,        ///< an operation whose outcome is the completion's
    request,          ///< a ring_request, which looks at the completion first
    acceptor,
    leased,           ///< a receive of a stream into a buffer of a pool
    leased_datagram,  ///< the same of a datagram
    sent,             ///< a pooled_buffer that is sent without a copy
    file,             ///< a file that goes out by way of one
    wake,
};
inline constexpr std::uintptr_t ring_tag_mask = 7;

/// Where the answer is of no interest: to a cancel.
inline constexpr std::uint64_t no_ring_data = 0;

inline std::uint64_t ring_data(const void* address, ring_tag tag) noexcept {
    return reinterpret_cast<std::uintptr_t>(address) | static_cast<std::uintptr_t>(tag);
}

/// What io_uring keeps for a request: nothing, where the kernel takes all it needs from the
/// submission.
template <class Request>
struct ring_state {};

}  // namespace coho
