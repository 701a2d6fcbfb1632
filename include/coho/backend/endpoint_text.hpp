#pragma once

#include "endpoint.hpp"

namespace coho {

/// Reads a text from its front; what does not fit is left where it is.
class address_reader {
public:
    constexpr explicit address_reader(std::string_view text) noexcept : rest_(text) {}

    constexpr bool at_end() const noexcept { return rest_.empty(); }

    constexpr bool take(std::string_view expected) noexcept {
        if (!rest_.starts_with(expected)) return false;
        rest_.remove_prefix(expected.size());
        return true;
    }

    /// At least one digit and at most so many, up to the limit.
    constexpr bool take_number(std::uint32_t& taken, std::uint32_t base, std::size_t most_digits,
                               std::uint64_t limit) noexcept {
        std::uint64_t number = 0;
        std::size_t digits = 0;
        while (digits < most_digits && digits < rest_.size()) {
            const auto digit = value_of(rest_[digits]);
            if (digit >= base) break;
            number = number * base + digit;
            ++digits;
        }
        if (digits == 0 || number > limit) return false;
        rest_.remove_prefix(digits);
        taken = static_cast<std::uint32_t>(number);
        return true;
    }

    constexpr bool take_v4(std::array<std::uint8_t, 4>& bytes) noexcept {
        for (std::size_t i = 0; i < 4; ++i) {
            if (i > 0 && !take(".")) return false;
            // A leading zero means octal to some readers and decimal to others, so it means nothing
            // here.
            const bool leading_zero =
                rest_.size() > 1 && rest_[0] == '0' && value_of(rest_[1]) < 10;
            std::uint32_t number = 0;
            if (leading_zero || !take_number(number, 10, 3, 255)) return false;
            bytes[i] = static_cast<std::uint8_t>(number);
        }
        return true;
    }

    constexpr bool take_v6(std::array<std::uint8_t, 16>& bytes) noexcept {
        constexpr std::size_t none = 17;
        std::size_t filled = 0;
        std::size_t gap = none;
        if (take("::")) gap = 0;
        while (filled < 16 && !at_end() && rest_[0] != '%') {
            if (filled > 0 && gap != filled && !take(":")) return false;
            // The last 32 bits may be written as an IPv4 address.
            auto ahead = *this;
            std::array<std::uint8_t, 4> v4{};
            if (filled <= 12 && ahead.take_v4(v4)) {
                *this = ahead;
                for (const auto byte : v4) bytes[filled++] = byte;
                break;
            }
            std::uint32_t group = 0;
            if (!take_number(group, 16, 4, 0xffff)) return false;
            bytes[filled++] = static_cast<std::uint8_t>(group >> 8);
            bytes[filled++] = static_cast<std::uint8_t>(group);
            if (take("::")) {
                if (gap != none) return false;
                gap = filled;
            }
        }
        if (gap == none) return filled == 16;
        if (filled > 14) return false;
        for (auto moved = filled; moved-- > gap;) {
            bytes[moved + 16 - filled] = bytes[moved];
            bytes[moved] = 0;
        }
        return true;
    }

private:
    static constexpr std::uint32_t value_of(char digit) noexcept {
        if (digit >= '0' && digit <= '9') return static_cast<std::uint32_t>(digit - '0');
        if (digit >= 'a' && digit <= 'f') return static_cast<std::uint32_t>(digit - 'a') + 10;
        if (digit >= 'A' && digit <= 'F') return static_cast<std::uint32_t>(digit - 'A') + 10;
        return 16;
    }

    std::string_view rest_;
};

constexpr std::optional<ip_address> ip_address::parse(std::string_view text) noexcept {
    address_reader v4(text);
    std::array<std::uint8_t, 4> v4_bytes{};
    if (v4.take_v4(v4_bytes) && v4.at_end()) return ip_address::v4(v4_bytes);
    address_reader v6(text);
    std::array<std::uint8_t, 16> v6_bytes{};
    std::uint32_t zone = 0;
    const bool read = v6.take_v6(v6_bytes) &&
                      (!v6.take("%") || v6.take_number(zone, 10, 10, 0xffffffff)) && v6.at_end();
    if (!read) return {};
    return ip_address::v6(v6_bytes, zone);
}

/// Why a text is no endpoint, with the text (at most its first hundred characters).
inline error endpoint_not_understood(std::string_view text) noexcept {
    return {errc::address_not_understood,
            {"cannot read \"", text.substr(0, 100),
             "\" as ADDRESS:PORT such as 127.0.0.1:7777 or [::1]:7777"}};
}

constexpr result<endpoint> endpoint::parse(std::string_view text) noexcept {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return endpoint_not_understood(text);
    address_reader number(text.substr(colon + 1));
    std::uint32_t port = 0;
    if (!number.take_number(port, 10, 5, 65535) || !number.at_end()) {
        return endpoint_not_understood(text);
    }
    auto host = text.substr(0, colon);
    const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    const auto address = ip_address::parse(host);
    if (!address || address->is_v6() != bracketed) return endpoint_not_understood(text);
    return endpoint(*address, static_cast<std::uint16_t>(port));
}

/// Hexadecimal groups as in RFC 5952: the longest run of zero groups is left out, the first of
/// equals, if it has two or more.
constexpr void add_groups(address_text& text,
                          const std::array<std::uint16_t, 8>& groups) noexcept {
    std::size_t gap = 8, gap_length = 1;
    for (std::size_t i = 0; i < 8; ++i) {
        std::size_t length = 0;
        while (i + length < 8 && groups[i + length] == 0) ++length;
        if (length > gap_length) gap = i, gap_length = length;
    }
    for (std::size_t i = 0; i < 8; ++i) {
        if (i == gap) {
            text.add("::");
            i += gap_length - 1;
            continue;
        }
        if (i > 0 && i != gap + gap_length) text.add(':');
        text.add_number(groups[i], 16);
    }
}

constexpr address_text print(const ip_address& address) noexcept {
    address_text text;
    const auto& bytes = address.bytes();
    const auto add_v4 = [&](std::size_t first) {
        for (std::size_t i = first; i < first + 4; ++i) {
            if (i > first) text.add('.');
            text.add_number(bytes[i]);
        }
    };
    if (address.family() == address_family::none) text.add("(no address)");
    if (address.is_v4()) add_v4(0);
    if (!address.is_v6()) return text;

    std::array<std::uint16_t, 8> groups{};
    for (std::size_t i = 0; i < 8; ++i) {
        groups[i] = static_cast<std::uint16_t>(bytes[2 * i] << 8 | bytes[2 * i + 1]);
    }
    bool mapped = groups[5] == 0xffff;
    for (std::size_t i = 0; i < 5; ++i) mapped = mapped && groups[i] == 0;
    if (mapped) {
        text.add("::ffff:");
        add_v4(12);
    } else {
        add_groups(text, groups);
    }
    if (address.zone() != 0) {
        text.add('%');
        text.add_number(address.zone());
    }
    return text;
}

constexpr address_text print(const endpoint& where) noexcept {
    address_text text;
    if (where.address().is_v6()) text.add('[');
    text.add(print(where.address()));
    if (where.address().is_v6()) text.add(']');
    text.add(':');
    text.add_number(where.port());
    return text;
}

}  // namespace coho
