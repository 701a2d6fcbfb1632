#pragma once

#include "endpoint.hpp"
#include "simulated_options.hpp"

#include "../core/check.hpp"
#include "../core/clock.hpp"
#include "../core/growing_array.hpp"

namespace coho {

/// An IPv4 address in the IPv6 form as what it is, RFC 4291.
constexpr ip_address without_mapping(const ip_address& address) noexcept {
    const auto& bytes = address.bytes();
    bool mapped = address.is_v6() && bytes[10] == 0xff && bytes[11] == 0xff;
    for (std::size_t i = 0; i < 10; ++i) mapped = mapped && bytes[i] == 0;
    return mapped ? ip_address::v4({bytes[12], bytes[13], bytes[14], bytes[15]}) : address;
}
constexpr endpoint without_mapping(const endpoint& where) noexcept {
    return {without_mapping(where.address()), where.port()};
}
/// As a socket of that family sees it.
constexpr endpoint as_seen_by(address_family family, const endpoint& where) noexcept {
    if (family != address_family::ipv6 || !where.address().is_v4()) return where;
    const auto& v4 = where.address().bytes();
    return {ip_address::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]}),
            where.port()};
}

/// Hosts, and the ways between them. An address is a host; all loopback addresses are one, which is
/// also that of sockets that were bound to no address or to any.
class simulated_hosts {
public:
    static constexpr ip_address host_of(const ip_address& address) noexcept {
        const auto plain = without_mapping(address);
        return plain.is_loopback() || plain.is_any() ? ip_address() : plain;
    }

    struct link {
        ip_address left;
        ip_address right;
        link_conditions conditions;
        bool cut = false;
        time_point busy_until{};
    };

    /// The link made for that way, or null.
    link* find(const ip_address& from, const ip_address& to) noexcept {
        const auto left = host_of(from), right = host_of(to);
        for (std::size_t i = 0; i < link_count_; ++i) {
            auto& each = links_[i];
            if ((each.left == left && each.right == right) ||
                (each.left == right && each.right == left)) {
                return &each;
            }
        }
        return nullptr;
    }
    link& make(const ip_address& from, const ip_address& to,
               const link_conditions& conditions) noexcept {
        check(links_.grow(link_count_ + 1), "there is no memory for a simulated world");
        auto& made = links_[link_count_++];
        made = {host_of(from), host_of(to), conditions, false, {}};
        return made;
    }
    bool is_down(const ip_address& address) noexcept {
        for (std::size_t i = 0; i < down_count_; ++i) {
            if (down_[i] == host_of(address)) return true;
        }
        return false;
    }
    void set_down(const ip_address& address, bool down) noexcept {
        if (down == is_down(address)) return;
        if (down) {
            check(down_.grow(down_count_ + 1), "there is no memory for a simulated world");
            down_[down_count_++] = host_of(address);
            return;
        }
        for (std::size_t i = 0; i < down_count_; ++i) {
            if (down_[i] == host_of(address)) down_[i] = down_[--down_count_];
        }
    }

private:
    growing_array<link> links_;
    std::size_t link_count_ = 0;
    growing_array<ip_address> down_;
    std::size_t down_count_ = 0;
};

}  // namespace coho
