#include "catch.hpp"

#include <coho/backend/endpoint.hpp>
#include <coho/backend/socket_headers.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#ifndef _WIN32
#include <arpa/inet.h>
#endif

using coho::endpoint;
using coho::ip_address;

// Parsing and printing are done by the compiler where it can.
static_assert(ip_address::parse("127.0.0.1") == ip_address::loopback());
static_assert(ip_address::parse("::1") == ip_address::loopback(coho::address_family::ipv6));
static_assert(std::string_view(print(ip_address::any())) == "0.0.0.0");
static_assert(*endpoint::parse("[::]:80") == endpoint::any(80));
static_assert(std::string_view(print(endpoint::loopback(7777))) == "127.0.0.1:7777");

TEST_CASE("addresses print as RFC 5952 wants them", "[endpoint]") {
    const std::pair<const char*, const char*> cases[] = {
        {"0:0:0:0:0:0:0:0", "::"},
        {"0:0:0:0:0:0:0:1", "::1"},
        {"1:0:0:0:0:0:0:0", "1::"},
        {"2001:0DB8:0000:0000:0000:0000:0002:0001", "2001:db8::2:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"::FFFF:c000:0201", "::ffff:192.0.2.1"},
        {"::ffff:192.0.2.1%7", "::ffff:192.0.2.1%7"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
        {"fe80::1%2", "fe80::1%2"},
        {"fe80::1%4294967295", "fe80::1%4294967295"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
    };
    for (const auto& [text, printed] : cases) {
        CAPTURE(text);
        const auto address = ip_address::parse(text);
        REQUIRE(address);
        CHECK(to_string(*address) == printed);
        CHECK(ip_address::parse(printed) == address);
    }
}

TEST_CASE("what is not an address is not taken for one", "[endpoint]") {
    for (const auto* text :
         {"", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4",
          "1..2.3", "1.2.3.-4", "1.2.3.4/8", "0x7f.0.0.1", "localhost", ":", ":::", "1:2",
          "1::2::3", "12345::", "g::", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:", ":1::",
          "1:2:3:4:5:6:7", "::1.2.3", "::1.2.3.4.5", "1:2:3:4:5:6:7:1.2.3.4", "fe80::1%",
          "fe80::1%eth0", "fe80::1%4294967296", "1.2.3.4%1", "::1%1x", "[::1]"}) {
        CAPTURE(text);
        CHECK_FALSE(ip_address::parse(text));
    }
    CHECK_FALSE(ip_address::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST_CASE("endpoints are read with their port", "[endpoint]") {
    CHECK(endpoint::parse("1.2.3.4:0")->port() == 0);
    CHECK(endpoint::parse("1.2.3.4:65535")->port() == 65535);
    CHECK(endpoint::parse("[fe80::1%3]:80")->address().zone() == 3);
    for (const auto* text : {"", "1.2.3.4", "1.2.3.4:", ":80", "1.2.3.4:65536", "1.2.3.4:-1",
                             "1.2.3.4:80x", "1.2.3.4:000080", "::1:80", "[1.2.3.4]:80", "[::1]80",
                             "[::1:80", "localhost:80", "1.2.3.4: 80"}) {
        CAPTURE(text);
        const auto read = endpoint::parse(text);
        REQUIRE_FALSE(read);
        CHECK(read.error() == coho::errc::address_not_understood);
        CHECK_THAT(read.error().message(), support::contains("\"" + std::string(text) + "\""));
    }
}

TEST_CASE("any address survives being printed and read", "[endpoint]") {
    std::mt19937 random(7);
    for (int i = 0; i < 20'000; ++i) {
        std::array<std::uint8_t, 16> bytes{};
        // Many zeros, so that runs of them of every length occur.
        for (auto& each : bytes) each = random() % 3 ? 0 : static_cast<std::uint8_t>(random());
        const auto port = static_cast<std::uint16_t>(random());
        const endpoint v6(ip_address::v6(bytes, random() % 4 ? 0 : random() % 1000), port);
        const endpoint v4(ip_address::v4({bytes[0], bytes[1], bytes[2], bytes[3]}), port);
        for (const auto& each : {v4, v6}) {
            const auto back = endpoint::parse(to_string(each));
            REQUIRE(back);
            REQUIRE(*back == each);
        }
    }
}

// Wine takes more than Windows and POSIX do, such as 1.2.3.01.
#ifndef _WIN32
TEST_CASE("addresses are read as the system itself reads them", "[endpoint]") {
    std::mt19937 random(46);
    constexpr std::string_view v6_characters = "0123456789abcdefABCDEF::::::::..g%";
    constexpr std::string_view v4_characters = "0123456789....x";
    const std::string_view beginnings[] = {"", "::", "1:2:3:4:5:6:", "::ffff:1.2.3.", "1.2.3."};
    int taken = 0;
    for (int i = 0; i < 100'000; ++i) {
        const auto characters = random() % 3 ? v6_characters : v4_characters;
        std::string text(beginnings[random() % std::size(beginnings)]);
        for (auto more = random() % 12; more > 0; --more) {
            text += characters[random() % characters.size()];
        }
        if (text.find('%') != text.npos) continue;  // The system knows zones elsewhere.
        std::array<std::uint8_t, 16> v4{}, v6{};
        const bool is_v4 = ::inet_pton(AF_INET, text.c_str(), v4.data()) == 1;
        const bool is_v6 = ::inet_pton(AF_INET6, text.c_str(), v6.data()) == 1;
        const auto address = ip_address::parse(text);
        CAPTURE(text);
        REQUIRE(address.has_value() == (is_v4 || is_v6));
        if (!address) continue;
        ++taken;
        REQUIRE(address->is_v4() == is_v4);
        REQUIRE(address->bytes() == (is_v4 ? v4 : v6));
        REQUIRE(ip_address::parse(to_string(*address)) == address);
    }
    CHECK(taken > 2'000);
}
#endif

TEST_CASE("an address knows whether it is this machine, or any", "[endpoint]") {
    CHECK(ip_address::parse("127.255.0.9")->is_loopback());
    CHECK(ip_address::parse("::1")->is_loopback());
    CHECK_FALSE(ip_address::parse("128.0.0.1")->is_loopback());
    CHECK_FALSE(ip_address::parse("::2")->is_loopback());
    CHECK(ip_address::parse("0.0.0.0")->is_any());
    CHECK(ip_address::parse("::")->is_any());
    CHECK_FALSE(ip_address::parse("::1")->is_any());
    CHECK_FALSE(ip_address::loopback().is_v6());
    CHECK(endpoint::any(1).address().is_v6());
    CHECK(endpoint().address().family() == coho::address_family::none);
    CHECK(to_string(endpoint()) == "(no address):0");
}

TEST_CASE("endpoints are ordered by family, address, zone and port", "[endpoint]") {
    const char* ordered[] = {"0.0.0.0:9", "9.0.0.0:1",     "10.0.0.0:1",    "10.0.0.0:2",
                             "[::]:1",    "[fe80::1]:9",   "[fe80::1%1]:1", "[fe80::1%2]:1",
                             "[fe80::2]:1"};
    std::vector<endpoint> endpoints;
    for (const auto* each : ordered) endpoints.push_back(endpoint::parse(each).value());
    CHECK(std::is_sorted(endpoints.begin(), endpoints.end()));
    CHECK(std::adjacent_find(endpoints.begin(), endpoints.end()) == endpoints.end());
    CHECK(endpoint::parse("[0::0]:1").value() == endpoint::parse("[::]:1").value());
}

TEST_CASE("an error about a text that is no endpoint quotes no more than its beginning",
          "[endpoint]") {
    const auto read = endpoint::parse(std::string(100'000, 'x'));
    REQUIRE_FALSE(read);
    CHECK_THAT(read.error().message(), support::contains("\"" + std::string(100, 'x') + "\""));
    CHECK(read.error().message().size() < 300);
}

TEST_CASE("every port is read and printed, and none beyond", "[endpoint]") {
    int wrong = 0;
    for (int port = 0; port < 100'000; ++port) {
        const auto text = "[::1]:" + std::to_string(port);
        const auto read = endpoint::parse(text);
        if (read.has_value() != (port <= 65535)) ++wrong;
        else if (read && (read->port() != port || to_string(*read) != text)) ++wrong;
    }
    CHECK(wrong == 0);
}
