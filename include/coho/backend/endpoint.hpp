#pragma once

#include "../core/result.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace coho {

/// The text of an address or endpoint, in place.
class address_text {
public:
    constexpr operator std::string_view() const noexcept { return {characters_.data(), size_}; }
    constexpr void add(char character) noexcept { characters_[size_++] = character; }
    constexpr void add(std::string_view text) noexcept {
        for (char character : text) add(character);
    }
    constexpr void add_number(std::uint32_t number, std::uint32_t base = 10) noexcept {
        if (number >= base) add_number(number / base, base);
        add("0123456789abcdef"[number % base]);
    }

private:
    // The longest: "[" 39 hexadecimal digits and colons "%4294967295" "]:65535".
    std::array<char, 64> characters_{};
    std::uint8_t size_ = 0;
};

enum class address_family : std::uint8_t { none, ipv4, ipv6 };

/// An IPv4 or IPv6 address, with the zone index of a link-local one.
class ip_address {
public:
    constexpr ip_address() noexcept = default;

    static constexpr ip_address v4(std::array<std::uint8_t, 4> bytes) noexcept {
        ip_address address;
        address.family_ = address_family::ipv4;
        for (std::size_t i = 0; i < 4; ++i) address.bytes_[i] = bytes[i];
        return address;
    }
    static constexpr ip_address v6(std::array<std::uint8_t, 16> bytes,
                                   std::uint32_t zone = 0) noexcept {
        ip_address address;
        address.family_ = address_family::ipv6;
        address.bytes_ = bytes;
        address.zone_ = zone;
        return address;
    }

    /// 127.0.0.1 or ::1: this very machine.
    static constexpr ip_address loopback(address_family family = address_family::ipv4) noexcept {
        return family == address_family::ipv6
                   ? v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
                   : v4({127, 0, 0, 1});
    }
    /// 0.0.0.0 or ::, every interface of this machine. A listener on :: takes IPv4 clients too.
    static constexpr ip_address any(address_family family = address_family::ipv4) noexcept {
        return family == address_family::ipv6 ? v6({}) : v4({});
    }

    /// Dotted decimal (four numbers, no leading zeros) or RFC 4291 text with an optional numeric
    /// zone ("fe80::1%2"). Nothing where the text is not an address.
    static constexpr std::optional<ip_address> parse(std::string_view text) noexcept;

    constexpr address_family family() const noexcept { return family_; }
    constexpr bool is_v4() const noexcept { return family_ == address_family::ipv4; }
    constexpr bool is_v6() const noexcept { return family_ == address_family::ipv6; }
    /// Network byte order; the first four where the address is IPv4.
    constexpr const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
    constexpr std::uint32_t zone() const noexcept { return zone_; }
    constexpr bool is_loopback() const noexcept {
        return is_v4() ? bytes_[0] == 127 : *this == loopback(address_family::ipv6);
    }
    constexpr bool is_any() const noexcept { return *this == any(family_); }

    friend constexpr bool operator==(const ip_address&, const ip_address&) = default;
    friend constexpr auto operator<=>(const ip_address&, const ip_address&) = default;

private:
    address_family family_ = address_family::none;
    std::array<std::uint8_t, 16> bytes_{};
    std::uint32_t zone_ = 0;
};

/// An address and a port. Port 0, for a listener, is any free port of the system's choice.
class endpoint {
public:
    constexpr endpoint() noexcept = default;
    constexpr endpoint(ip_address address, std::uint16_t port) noexcept
        : address_(address), port_(port) {}

    /// 127.0.0.1, which only programs on this machine reach.
    static constexpr endpoint loopback(std::uint16_t port) noexcept {
        return {ip_address::loopback(), port};
    }
    /// Every address of this machine, IPv6 and IPv4.
    static constexpr endpoint any(std::uint16_t port) noexcept {
        return {ip_address::any(address_family::ipv6), port};
    }
    /// "127.0.0.1:80" or "[::1]:80".
    static constexpr result<endpoint> parse(std::string_view text) noexcept;

    constexpr const ip_address& address() const noexcept { return address_; }
    constexpr std::uint16_t port() const noexcept { return port_; }

    friend constexpr bool operator==(const endpoint&, const endpoint&) = default;
    friend constexpr auto operator<=>(const endpoint&, const endpoint&) = default;

private:
    ip_address address_;
    std::uint16_t port_ = 0;
};

/// The text of an address, as RFC 5952 wants it.
constexpr address_text print(const ip_address& address) noexcept;
/// "127.0.0.1:80" or "[::1]:80".
constexpr address_text print(const endpoint& where) noexcept;

inline std::string to_string(const ip_address& address) {
    return std::string(std::string_view(print(address)));
}
inline std::string to_string(const endpoint& where) {
    return std::string(std::string_view(print(where)));
}

}  // namespace coho

#include "endpoint_text.hpp"
