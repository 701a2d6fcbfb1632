#pragma once

#include "native.hpp"
#include "socket_address.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>

namespace coho {

/// The addresses of a name, best first; never more than sixteen, for a name server could send any
/// number.
class endpoint_list {
public:
    endpoint_list() noexcept = default;
    explicit endpoint_list(const endpoint& only) noexcept { add(only); }

    void add(const endpoint& next) noexcept {
        if (size_ < endpoints_.size()) endpoints_[size_++] = next;
    }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const endpoint& operator[](std::size_t index) const noexcept { return endpoints_[index]; }
    const endpoint* begin() const noexcept { return endpoints_.data(); }
    const endpoint* end() const noexcept { return endpoints_.data() + size_; }

private:
    std::array<endpoint, 16> endpoints_{};
    std::size_t size_ = 0;
};

/// The addresses of a name by the system's own resolver, in the order in which they should be tried
/// (RFC 6724). Blocks, maybe for many seconds. getaddrinfo(3).
inline result<endpoint_list> look_up(const std::string& host, std::uint16_t port) noexcept {
    // The system would look up what comes before a zero.
    if (host.find('\0') != host.npos) return errc::name_not_found;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    const int failed = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
    if (failed == EAI_NONAME) return errc::name_not_found;
    if (failed == EAI_MEMORY) return errc::not_enough_memory;
    // What only some systems know.
#ifdef EAI_ADDRFAMILY
    if (failed == EAI_ADDRFAMILY) return errc::name_not_found;
#endif
#ifdef EAI_NODATA
    if (failed == EAI_NODATA) return errc::name_not_found;
#endif
#ifdef EAI_SYSTEM
    if (failed == EAI_SYSTEM) return native::describe(errno);
#endif
    if (failed) return errc::name_lookup_failed;
    endpoint_list endpoints;
    for (const auto* each = found; each; each = each->ai_next) {
        if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
        socket_address address;
        std::memcpy(address.data(), each->ai_addr, each->ai_addrlen);
        endpoints.add({address.where().address(), port});
    }
    ::freeaddrinfo(found);
    if (endpoints.empty()) return errc::name_not_found;
    return endpoints;
}

}  // namespace coho
