#include "support/connected.hpp"
#include "support/kernels.hpp"

using coho::address_family;
using coho::endpoint;
using coho::errc;
using coho::ip_address;
using coho::task;
using support::reason_of;

namespace {

constexpr endpoint loopback_v6(std::uint16_t port) {
    return {ip_address::loopback(address_family::ipv6), port};
}

/// 127.0.0.1 as an IPv6 socket sees it, RFC 4291.
constexpr auto mapped_loopback =
    ip_address::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1});

}  // namespace

TEMPLATE_TEST_CASE("endpoints: each end tells its own address and the other's",
                   "[conformance][endpoints]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        for (const auto where : {endpoint::loopback(0), loopback_v6(0)}) {
            auto pair = co_await support::connect_pair<TestType>(where);
            CHECK(pair.client.remote_endpoint() == pair.server.local_endpoint());
            CHECK(pair.server.remote_endpoint() == pair.client.local_endpoint());
            CHECK(pair.client.local_endpoint().address() == where.address());
            CHECK(pair.server.local_endpoint().address() == where.address());
            CHECK(pair.client.local_endpoint().port() != 0);
            CHECK(pair.server.local_endpoint().port() != pair.client.local_endpoint().port());
        }
    });
}

TEMPLATE_TEST_CASE("endpoints: a listener tells the port that the system chose",
                   "[conformance][endpoints]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        auto other = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        CHECK(listener.local_endpoint().address() == ip_address::loopback());
        CHECK(listener.local_endpoint().port() != 0);
        CHECK(listener.local_endpoint() != other.local_endpoint());
        co_return;
    });
}

TEMPLATE_TEST_CASE("endpoints: a listener on any address takes IPv6 and IPv4 clients",
                   "[conformance][endpoints]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::any(0)).value();
        const auto port = listener.local_endpoint().port();
        auto v4 = co_await coho::connect<TestType>(endpoint::loopback(port));
        REQUIRE(v4);
        auto accepted_v4 = co_await listener.accept();
        REQUIRE(accepted_v4);
        CHECK(accepted_v4->remote_endpoint() ==
              endpoint(mapped_loopback, v4->local_endpoint().port()));
        auto v6 = co_await coho::connect<TestType>(loopback_v6(port));
        REQUIRE(v6);
        auto accepted_v6 = co_await listener.accept();
        REQUIRE(accepted_v6);
        CHECK(accepted_v6->remote_endpoint() == v6->local_endpoint());
    });
}

TEMPLATE_TEST_CASE("endpoints: a listener with v6_only refuses IPv4 clients",
                   "[conformance][endpoints]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        const coho::listen_options options{.v6_only = true};
        auto listener =
            coho::basic_tcp_listener<TestType>::bind(endpoint::any(0), options).value();
        const auto port = listener.local_endpoint().port();
        auto v4 = co_await coho::connect<TestType>(endpoint::loopback(port));
        CHECK(reason_of(v4) == errc::connection_refused);
        auto v6 = co_await coho::connect<TestType>(loopback_v6(port));
        CHECK(reason_of(v6) == errc::none);
    });
}

TEMPLATE_TEST_CASE("endpoints: a client connects from the address it asks for",
                   "[conformance][endpoints]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        const coho::connect_options options{.local = {ip_address::v4({127, 0, 0, 2}), 0}};
        auto client = co_await coho::connect<TestType>(listener.local_endpoint(), options);
        REQUIRE(client);
        auto server = co_await listener.accept();
        REQUIRE(server);
        CHECK(server->remote_endpoint().address() == options.local.address());
        CHECK(client->local_endpoint() == server->remote_endpoint());
    });
}

TEMPLATE_TEST_CASE("endpoints: the peer's address is known as long as the connection is",
                   "[conformance][endpoints]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        CHECK(link.stream.remote_endpoint() == link.peer.local_endpoint());
        link.peer.reset();
        CHECK(link.stream.remote_endpoint() == endpoint());
        CHECK(link.stream.local_endpoint() != endpoint());
        co_return;
    });
}
