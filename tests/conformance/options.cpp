#include "support/connected.hpp"
#include "support/kernels.hpp"

using namespace std::chrono_literals;
using coho::endpoint;
using coho::errc;
using coho::task;
using support::reason_of;

namespace {

int option_of(coho::handle socket, int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    support::checked(::getsockopt(support::descriptor_of(socket), level, name,
                                  reinterpret_cast<char*>(&value), &size));
    return value;
}

}  // namespace

TEMPLATE_TEST_CASE("options: what was set is what the system has and get tells",
                   "[conformance][options]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto pair = co_await support::connect_pair<TestType>();
        auto& stream = pair.client;
        [[maybe_unused]] const auto handle = stream.native_handle();
        constexpr int factor = support::peer_of<TestType>::buffer_factor;

        CHECK(stream.set(coho::no_delay{false}));
        CHECK_FALSE(stream.template get<coho::no_delay>().value().value);
        CHECK(stream.set(coho::no_delay{true}));
        CHECK(stream.template get<coho::no_delay>().value().value);

        CHECK_FALSE(stream.template get<coho::keep_alive>().value().value);
        CHECK(stream.set(
            coho::keep_alive{.value = true, .idle = 61s, .interval = 11s, .probes = 7}));
        CHECK(stream.template get<coho::keep_alive>().value().value);
#ifndef _WIN32  // which tells nothing of it
        if constexpr (!support::is_simulated<TestType>) {
            CHECK(option_of(handle, IPPROTO_TCP, TCP_KEEPIDLE) == 61);
            CHECK(option_of(handle, IPPROTO_TCP, TCP_KEEPINTVL) == 11);
            CHECK(option_of(handle, IPPROTO_TCP, TCP_KEEPCNT) == 7);
        }
#endif
        CHECK(stream.set(coho::keep_alive{.value = false}));
        CHECK_FALSE(stream.template get<coho::keep_alive>().value().value);

#ifndef _WIN32  // Wine does not know it
        CHECK(stream.set(coho::user_timeout{1234ms}));
        CHECK(stream.template get<coho::user_timeout>().value().value == 1234ms);
#endif

        CHECK(stream.set(coho::linger{.value = true, .time = 3s}));
        CHECK(stream.template get<coho::linger>().value().value);
        CHECK(stream.template get<coho::linger>().value().time == 3s);

        CHECK(stream.set(coho::receive_buffer_size{10'000}));
        CHECK(stream.template get<coho::receive_buffer_size>().value().bytes == factor * 10'000);
        CHECK(stream.set(coho::send_buffer_size{10'000}));
        CHECK(stream.template get<coho::send_buffer_size>().value().bytes == factor * 10'000);

        CHECK(stream.set(coho::hop_limit{7}));
        CHECK(stream.template get<coho::hop_limit>().value().value == 7);
        if constexpr (!support::is_simulated<TestType>) {
            CHECK(option_of(handle, IPPROTO_IP, IP_TTL) == 7);
        }
    });
}

TEMPLATE_TEST_CASE("options: the hop limit of an IPv6 stream", "[conformance][options]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        const endpoint where{coho::ip_address::loopback(coho::address_family::ipv6), 0};
        auto pair = co_await support::connect_pair<TestType>(where);
        CHECK(pair.client.set(coho::hop_limit{9}));
        CHECK(pair.client.template get<coho::hop_limit>().value().value == 9);
        CHECK(option_of(pair.client.native_handle(), IPPROTO_IPV6, IPV6_UNICAST_HOPS) == 9);
    });
}

TEMPLATE_TEST_CASE("options: of a datagram socket", "[conformance][options]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        constexpr int factor = support::peer_of<TestType>::buffer_factor;
        auto socket = coho::basic_udp_socket<TestType>::bind(endpoint::loopback(0)).value();
        CHECK_FALSE(socket.template get<coho::broadcast>().value().value);
        CHECK(socket.set(coho::broadcast{true}));
        CHECK(socket.template get<coho::broadcast>().value().value);
        CHECK(socket.set(coho::receive_buffer_size{10'000}));
        CHECK(socket.template get<coho::receive_buffer_size>().value().bytes == factor * 10'000);
        // TCP's options are not for it.
        const auto refused = reason_of(socket.set(coho::no_delay{}));
        CHECK((refused == errc::not_supported || refused == errc::invalid_argument));
        co_return;
    });
}

TEMPLATE_TEST_CASE("options: linger of zero resets the connection at close",
                   "[conformance][options]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        CHECK(link.stream.set(coho::linger{.value = true, .time = 0s}));
        co_await link.stream.close();
        CHECK(link.peer.is_reset() == link.peer.resets);
    });
}

TEMPLATE_TEST_CASE("options: streams have no_delay set from the start", "[conformance][options]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto pair = co_await support::connect_pair<TestType>();
        CHECK(option_of(pair.client.native_handle(), IPPROTO_TCP, TCP_NODELAY) == 1);
        CHECK(option_of(pair.server.native_handle(), IPPROTO_TCP, TCP_NODELAY) == 1);
    });
}

TEMPLATE_TEST_CASE("H22: every socket is close-on-exec", "[conformance][options][H22]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        auto socket = coho::basic_udp_socket<TestType>::bind(endpoint::loopback(0)).value();
        auto pair = co_await support::connect_pair<TestType>();
        CHECK(!support::is_inherited(listener.native_handle()));
        CHECK(!support::is_inherited(socket.native_handle()));
        CHECK(!support::is_inherited(pair.client.native_handle()));
        CHECK(!support::is_inherited(pair.server.native_handle()));
    });
}
