#pragma once

#include "endpoint.hpp"
#include "socket_headers.hpp"

#include <cstring>

namespace coho {

/// An endpoint as the system calls want it, and back.
class socket_address {
public:
    socket_address() noexcept : size_(sizeof v6_), v6_{} {}
    explicit socket_address(const endpoint& where) noexcept : socket_address() {
        const auto& bytes = where.address().bytes();
        if (where.address().is_v6()) {
            v6_.sin6_family = AF_INET6;
            v6_.sin6_port = htons(where.port());
            std::memcpy(&v6_.sin6_addr, bytes.data(), 16);
            v6_.sin6_scope_id = where.address().zone();
        } else {
            v4_.sin_family = where.address().is_v4() ? AF_INET : AF_UNSPEC;
            v4_.sin_port = htons(where.port());
            std::memcpy(&v4_.sin_addr, bytes.data(), 4);
            size_ = sizeof v4_;
        }
    }

    endpoint where() const noexcept {
        if (any_.sa_family == AF_INET6) {
            std::array<std::uint8_t, 16> bytes;
            std::memcpy(bytes.data(), &v6_.sin6_addr, 16);
            return {ip_address::v6(bytes, v6_.sin6_scope_id), ntohs(v6_.sin6_port)};
        }
        if (any_.sa_family == AF_INET) {
            std::array<std::uint8_t, 4> bytes;
            std::memcpy(bytes.data(), &v4_.sin_addr, 4);
            return {ip_address::v4(bytes), ntohs(v4_.sin_port)};
        }
        return {};
    }

    sockaddr* data() noexcept { return &any_; }
    const sockaddr* data() const noexcept { return &any_; }
    socklen_t& size() noexcept { return size_; }
    socklen_t size() const noexcept { return size_; }

private:
    socklen_t size_;
    union {
        sockaddr any_;
        sockaddr_in v4_;
        sockaddr_in6 v6_;
    };
};

}  // namespace coho
