// Texts as addresses and endpoints, read as inet_pton(3) reads them; bytes as addresses, printed as
// inet_ntop(3) prints them and read again.

#include "fuzz.hpp"

#include <coho/backend/endpoint.hpp>

#include <algorithm>
#include <optional>

#include <arpa/inet.h>

namespace {

using coho::endpoint;
using coho::ip_address;
using fuzz::require;

/// A number of so many digits at most, in decimal and nothing else.
std::optional<std::uint64_t> number_of(std::string_view digits, std::size_t most,
                                       std::uint64_t limit) {
    if (digits.empty() || digits.size() > most) return {};
    if (digits.find_first_not_of("0123456789") != digits.npos) return {};
    const std::uint64_t number = std::strtoull(std::string(digits).c_str(), nullptr, 10);
    if (number > limit) return {};
    return number;
}

/// What the system makes of the text, which knows no numeric zones by themselves.
std::optional<ip_address> as_the_system_reads(std::string_view text) {
    if (text.find('\0') != text.npos) return {};
    std::array<std::uint8_t, 4> v4{};
    if (::inet_pton(AF_INET, std::string(text).c_str(), v4.data()) == 1) return ip_address::v4(v4);
    std::uint64_t zone = 0;
    if (const auto percent = text.find('%'); percent != text.npos) {
        const auto read = number_of(text.substr(percent + 1), 10, 0xffffffff);
        if (!read) return {};
        zone = *read;
        text = text.substr(0, percent);
    }
    std::array<std::uint8_t, 16> v6{};
    if (::inet_pton(AF_INET6, std::string(text).c_str(), v6.data()) != 1) return {};
    return ip_address::v6(v6, static_cast<std::uint32_t>(zone));
}

std::optional<endpoint> as_the_system_reads_endpoint(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == text.npos) return {};
    const auto port = number_of(text.substr(colon + 1), 5, 65535);
    if (!port) return {};
    auto host = text.substr(0, colon);
    const bool in_brackets = host.starts_with('[') && host.ends_with(']');
    if (in_brackets) host = host.substr(1, host.size() - 2);
    const auto address = as_the_system_reads(host);
    if (!address || address->is_v6() != in_brackets) return {};
    return endpoint(*address, static_cast<std::uint16_t>(*port));
}

std::string as_the_system_prints(const ip_address& address) {
    char text[INET6_ADDRSTRLEN];
    const int family = address.is_v6() ? AF_INET6 : AF_INET;
    std::string printed = ::inet_ntop(family, address.bytes().data(), text, sizeof text);
    if (address.zone() != 0) printed += '%' + std::to_string(address.zone());
    return printed;
}

/// ::1.2.3.4, which RFC 4291 gave up; systems print it so, and RFC 5952 does not ask for it.
bool is_compatible(const ip_address& address) {
    const auto& bytes = address.bytes();
    return address.is_v6() &&
           std::all_of(bytes.begin(), bytes.begin() + 12, [](auto byte) { return byte == 0; });
}

void check_printed(const endpoint& where) {
    const auto& address = where.address();
    const auto text = to_string(address);
    require(ip_address::parse(text) == address, "what is printed is read as the same address",
            text);
    require(is_compatible(address) || text == as_the_system_prints(address),
            "an address is printed as the system prints it", text);
    const auto whole = to_string(where);
    const auto again = endpoint::parse(whole);
    require(again && *again == where, "what is printed is read as the same endpoint", whole);
    require(whole.ends_with(':' + std::to_string(where.port())), "an endpoint ends in its port",
            whole);
}

bool is_control(char letter) {
    return (letter >= 0 && letter < 32) || letter == 127;
}

void check_text(std::string_view text) {
    const auto address = ip_address::parse(text);
    require(address == as_the_system_reads(text), "an address is read as the system reads it",
            text);
    const auto where = endpoint::parse(text);
    const auto expected = as_the_system_reads_endpoint(text);
    require(where.has_value() == expected.has_value() && (!where || *where == *expected),
            "an endpoint is read as the system reads its parts", text);
    if (address) check_printed({*address, 0});
    if (where) check_printed(*where);
    if (where) return;
    std::string quoted(text.substr(0, 100));
    std::replace_if(quoted.begin(), quoted.end(), is_control, '?');
    const auto message = where.error().message();
    require(message.starts_with("cannot read \"" + quoted + "\" as ") && message.size() < 300,
            "the error quotes the beginning of the text", text);
}

void check_bytes(std::span<const std::uint8_t> input) {
    fuzz::number_reader numbers(input);
    std::array<std::uint8_t, 16> v6{};
    for (auto& each : v6) each = numbers.next();
    const std::uint8_t v4[] = {v6[0], v6[1], v6[2], v6[3]};
    const auto port = static_cast<std::uint16_t>(numbers.next() << 8 | numbers.next());
    std::uint32_t zone = 0;
    for (int i = 0; i < 4; ++i) zone = zone << 8 | numbers.next();
    check_printed({ip_address::v6(v6, zone), port});
    check_printed({ip_address::v4(std::to_array(v4)), port});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    check_text({reinterpret_cast<const char*>(bytes), size});
    check_bytes({bytes, size});
    return 0;
}
