#pragma once

#include "posix_sockets.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <netdb.h>

namespace coho {

/// The addresses of a name by the system's own resolver, in the order in which they should be tried (RFC
/// 6724). Blocks, maybe for many seconds. getaddrinfo(3).
inline result<std::vector<endpoint>> look_up(const std::string& host, std::uint16_t port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    const int failed = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
    if (failed == EAI_NONAME) return errc::name_not_found;
#ifdef EAI_NODATA
    if (failed == EAI_NODATA || failed == EAI_ADDRFAMILY) return errc::name_not_found;
#endif
    if (failed == EAI_MEMORY) return errc::not_enough_memory;
    if (failed == EAI_SYSTEM) return describe_posix(errno);
    if (failed) return errc::name_lookup_failed;
    struct list_owner {
        addrinfo* list;
        ~list_owner() { ::freeaddrinfo(list); }
    } owner{found};
    std::vector<endpoint> endpoints;
    for (const auto* each = found; each; each = each->ai_next) {
        if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
        socket_address address;
        std::memcpy(address.data(), each->ai_addr, each->ai_addrlen);
        endpoints.emplace_back(address.where().address(), port);
    }
    if (endpoints.empty()) return errc::name_not_found;
    return endpoints;
}

}  // namespace coho
