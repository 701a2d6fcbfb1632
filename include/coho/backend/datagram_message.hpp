#pragma once

#include "request.hpp"
#include "socket_address.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace coho {

// UDP_SEGMENT and UDP_GRO, which older headers lack.
inline constexpr int udp_divided = 103;
inline constexpr int udp_joined = 104;

/// What recvmsg and sendmsg need to be told of a datagram, or of several in one call: recvmsg(2),
/// udp(7). It stays where it is until the call is over.
class datagram_message {
public:
    datagram_message() noexcept = default;
    datagram_message(const datagram_message&) = delete;
    datagram_message& operator=(const datagram_message&) = delete;

    /// So many bytes; no address is for a kernel that picks a buffer.
    msghdr* to_receive(std::byte* place, std::size_t size) noexcept {
        address_ = socket_address();
        describe(place, size);
        header_.msg_control = control_.data();
        header_.msg_controllen = control_.size();
        return &header_;
    }
    /// Takes over what was received besides the bytes.
    template <class Request>
    void received(Request& asked) noexcept {
        asked.from = address_.where();
        asked.truncated = header_.msg_flags & MSG_TRUNC;
        if constexpr (requires { asked.size; }) asked.size = size_of_joined();
    }

    msghdr* to_send(const request::send_to& asked) noexcept {
        address_ = socket_address(asked.to);
        describe(const_cast<std::byte*>(asked.bytes.data()), asked.bytes.size());
        if (asked.size == 0) return &header_;
        const auto size = static_cast<std::uint16_t>(asked.size);
        header_.msg_control = control_.data();
        header_.msg_controllen = CMSG_SPACE(sizeof size);
        auto* const part = CMSG_FIRSTHDR(&header_);
        part->cmsg_level = IPPROTO_UDP;
        part->cmsg_type = udp_divided;
        part->cmsg_len = CMSG_LEN(sizeof size);
        std::memcpy(CMSG_DATA(part), &size, sizeof size);
        return &header_;
    }

private:
    /// 0 where it is but one.
    std::size_t size_of_joined() noexcept {
        for (auto* part = CMSG_FIRSTHDR(&header_); part; part = CMSG_NXTHDR(&header_, part)) {
            if (part->cmsg_level != IPPROTO_UDP || part->cmsg_type != udp_joined) continue;
            int size;
            std::memcpy(&size, CMSG_DATA(part), sizeof size);
            return static_cast<std::size_t>(size);
        }
        return 0;
    }
    void describe(void* data, std::size_t size) noexcept {
        piece_ = {data, size};
        header_ = {};
        header_.msg_iov = &piece_;
        header_.msg_iovlen = 1;
        header_.msg_name = address_.data();
        header_.msg_namelen = address_.size();
    }

    socket_address address_;
    iovec piece_{};
    msghdr header_{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control_{};
};

}  // namespace coho
