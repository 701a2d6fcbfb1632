#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <array>

using coho::as_bytes;
using coho::endpoint;
using coho::errc;
using coho::ip_address;
using coho::task;
using support::message_of;
using support::reason_of;

namespace {

/// Documentation only (RFC 5737): no machine has it.
constexpr auto nobodys = ip_address::v4({192, 0, 2, 1});

/// A port where nobody listens.
template <class Backend>
endpoint deserted() {
    return support::peer_of<Backend>::bound(coho::socket_kind::stream).local_endpoint();
}

}  // namespace

TEMPLATE_TEST_CASE("errors: a refused connection names the address", "[conformance][errors]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        const auto where = deserted<TestType>();
        auto stream = co_await coho::connect<TestType>(where);
        CHECK(reason_of(stream) == errc::connection_refused);
        CHECK(message_of(stream) == "cannot connect to " + to_string(where) +
                                        ": the connection was refused; is the server running "
                                        "there?");
    });
}

TEMPLATE_TEST_CASE("errors: a reset ends a read that waits and those that follow",
                   "[conformance][errors]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 16> buffer;
        auto reset = [&]() -> task<> {
            for (int turns = 0; turns < 3; ++turns) co_await coho::yield();
            link.peer.reset();
        };
        auto [received, nothing] =
            co_await coho::when_all(link.stream.read_some(buffer), reset());
        CHECK(reason_of(received) == errc::connection_reset);
        auto next = co_await link.stream.read_some(buffer);
        CHECK(reason_of(next) == errc::end_of_stream);
    });
}

TEMPLATE_TEST_CASE("errors: a reset ends read_exactly", "[conformance][errors]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 16> buffer;
        link.peer.reset();
        auto received = co_await link.stream.read_exactly(buffer);
        CHECK(reason_of(received) ==
              (link.peer.resets ? errc::connection_reset : errc::end_of_stream));
    });
}

TEMPLATE_TEST_CASE("errors: a reset ends a write that waits", "[conformance][errors]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        const auto bytes = support::counting_bytes(32 << 20);
        auto reset = [&]() -> task<> {
            for (int turns = 0; turns < 3; ++turns) co_await coho::yield();
            link.peer.reset();
        };
        auto [sent, nothing] =
            co_await coho::when_all(link.stream.write_all(as_bytes(bytes)), reset());
        CHECK(reason_of(sent) == errc::connection_reset);
    });
}

TEMPLATE_TEST_CASE("H19: writing to a peer that is gone is connection_reset and no signal",
                   "[conformance][errors][H19]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        link.peer.reset();
        for (int round = 0; round < 3; ++round) {
            auto some = co_await link.stream.write_some(as_bytes("x"));
            CHECK(reason_of(some) == errc::connection_reset);
            auto all = co_await link.stream.write_all(as_bytes("x"));
            CHECK(reason_of(all) == errc::connection_reset);
            auto pieces = co_await link.stream.write_all(as_bytes("x"), as_bytes("y"));
            CHECK(reason_of(pieces) == errc::connection_reset);
        }
    });
}

TEMPLATE_TEST_CASE("errors: an address in use is named", "[conformance][errors]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto first = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        const auto where = first.local_endpoint();
        auto second = coho::basic_tcp_listener<TestType>::bind(where);
        CHECK(reason_of(second) == errc::address_in_use);
        CHECK(message_of(second).find("cannot listen on " + to_string(where)) == 0);
        auto socket = coho::basic_udp_socket<TestType>::bind(endpoint::loopback(0)).value();
        auto other = coho::basic_udp_socket<TestType>::bind(socket.local_endpoint());
        CHECK(reason_of(other) == errc::address_in_use);
        CHECK(message_of(other).find(to_string(socket.local_endpoint())) != std::string::npos);
        co_return;
    });
}

TEMPLATE_TEST_CASE("errors: an address of nobody here is named", "[conformance][errors]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener = coho::basic_tcp_listener<TestType>::bind({nobodys, 1234});
        CHECK(reason_of(listener) == errc::address_not_available);
        CHECK(message_of(listener).find("cannot listen on 192.0.2.1:1234: ") == 0);
#ifndef _WIN32  // Wine takes any address for datagrams
        auto socket = coho::basic_udp_socket<TestType>::bind({nobodys, 1234});
        CHECK(reason_of(socket) == errc::address_not_available);
#endif
        coho::connect_options from_nobody{.local = {nobodys, 0}};
        auto stream = co_await coho::connect<TestType>(endpoint::loopback(1), from_nobody);
        CHECK(reason_of(stream) == errc::address_not_available);
        CHECK(message_of(stream).find("cannot connect from 192.0.2.1:0: ") == 0);
    });
}

TEMPLATE_TEST_CASE("errors: a read into an empty buffer is invalid_argument and takes nothing",
                   "[conformance][errors]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        link.peer.send("x");
        auto nowhere = co_await link.stream.read_some(std::span<std::byte>());
        CHECK(reason_of(nowhere) == errc::invalid_argument);
        const auto text = co_await support::receive_text(link.stream, 1);
        CHECK(text == "x");
    });
}

TEMPLATE_TEST_CASE("errors: a read into an empty buffer does not wait for bytes",
                   "[conformance][errors]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        // Nobody sends: one that waited would wait until run_on() has enough of it.
        auto nowhere = co_await link.stream.read_some(std::span<std::byte>());
        CHECK(reason_of(nowhere) == errc::invalid_argument);
        auto nothing = co_await link.stream.read_exactly(std::span<std::byte>());
        CHECK(reason_of(nothing) == errc::none);
    });
}

TEMPLATE_TEST_CASE("errors: a write without bytes succeeds", "[conformance][errors]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        auto all = co_await link.stream.write_all(as_bytes(""));
        CHECK(reason_of(all) == errc::none);
    });
}

TEMPLATE_TEST_CASE("H26: connections that broke before they were accepted do no harm",
                   "[conformance][errors][H26]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        std::array<std::byte, 16> buffer;
        for (int i = 0; i < 50; ++i) {
            support::peer_of<TestType>::connected_to(listener.local_endpoint()).reset();
        }
        auto good = support::peer_of<TestType>::connected_to(listener.local_endpoint());
        good.send("good");
        for (;;) {
            auto accepted = co_await listener.accept();
            REQUIRE(accepted);
            auto received = co_await accepted->read_some(buffer);
            if (received) break;
            CHECK(reason_of(received) == errc::connection_reset);
        }
    });
}
