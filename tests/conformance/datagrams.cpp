#include "support/connected.hpp"
#include "support/datagram_race.hpp"
#include "support/kernels.hpp"

#include <array>
#include <vector>

using coho::as_bytes;
using coho::endpoint;
using coho::errc;
using coho::task;
using support::message_of;
using support::reason_of;

namespace {

template <class Backend>
auto bind(endpoint where = endpoint::loopback(0)) {
    return coho::basic_udp_socket<Backend>::bind(where).value();
}

}  // namespace

TEMPLATE_TEST_CASE("datagrams: come whole, one by one, and tell who sent them",
                   "[conformance][datagrams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        const endpoint any_v6{coho::ip_address::loopback(coho::address_family::ipv6), 0};
        for (const auto where : {endpoint::loopback(0), any_v6}) {
            auto here = bind<TestType>(where), there = bind<TestType>(where);
            std::array<std::byte, 100> buffer;
            auto first_sent = co_await here.send_to(as_bytes("one"), there.local_endpoint());
            CHECK(first_sent);
            auto next_sent = co_await here.send_to(as_bytes("second"), there.local_endpoint());
            CHECK(next_sent);
            auto first = co_await there.receive_from(buffer);
            REQUIRE(first);
            CHECK(coho::as_text(first->bytes) == "one");
            CHECK(first->from == here.local_endpoint());
            CHECK_FALSE(first->truncated);
            auto second = co_await there.receive_from(buffer);
            REQUIRE(second);
            CHECK(coho::as_text(second->bytes) == "second");
        }
    });
}

TEMPLATE_TEST_CASE("datagrams: one that does not fit is flagged, and the next is whole",
                   "[conformance][datagrams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto here = bind<TestType>(), there = bind<TestType>();
        std::array<std::byte, 4> buffer;
        for (const auto* text : {"longer", "fits"}) {
            auto sent = co_await here.send_to(as_bytes(text), there.local_endpoint());
            CHECK(sent);
        }
        auto cut = co_await there.receive_from(buffer);
        REQUIRE(cut);
        CHECK(cut->truncated);
        CHECK(coho::as_text(cut->bytes) == "long");
        CHECK(cut->from == here.local_endpoint());
        auto whole = co_await there.receive_from(buffer);
        REQUIRE(whole);
        CHECK_FALSE(whole->truncated);
        CHECK(coho::as_text(whole->bytes) == "fits");
    });
}

TEMPLATE_TEST_CASE("datagrams: an empty one is a datagram too", "[conformance][datagrams]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto here = bind<TestType>(), there = bind<TestType>();
        std::array<std::byte, 4> buffer;
        // The receive waits already, or the datagram does.
        auto [received, sent] = co_await coho::when_all(
            there.receive_from(buffer), here.send_to({}, there.local_endpoint()));
        CHECK(sent);
        REQUIRE(received);
        CHECK(received->bytes.empty());
        CHECK(received->from == here.local_endpoint());
        auto again = co_await here.send_to({}, there.local_endpoint());
        CHECK(again);
        auto waiting = co_await there.receive_from(buffer);
        REQUIRE(waiting);
        CHECK(waiting->bytes.empty());
    });
}

TEMPLATE_TEST_CASE("datagrams: 65,507 bytes go out and one more is message_too_large",
                   "[conformance][datagrams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto here = bind<TestType>(), there = bind<TestType>();
        const auto bytes = support::counting_bytes(65'508);
        auto sent = co_await here.send_to(as_bytes(bytes).first(65'507), there.local_endpoint());
        CHECK(reason_of(sent) == errc::none);
        std::vector<std::byte> buffer(65'536);
        auto received = co_await there.receive_from(buffer);
        REQUIRE(received);
        CHECK((coho::as_text(received->bytes) == bytes.substr(0, 65'507)));
        auto too_large = co_await here.send_to(as_bytes(bytes), there.local_endpoint());
        CHECK(reason_of(too_large) == errc::message_too_large);
        const auto where = to_string(there.local_endpoint());
        CHECK(message_of(too_large).find("cannot send a datagram to " + where) == 0);
    });
}

TEMPLATE_TEST_CASE("datagrams: many clients each get their own answer",
                   "[conformance][datagrams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        constexpr std::size_t clients = 100;
        auto server = bind<TestType>();
        auto serve = [&]() -> task<> {
            std::array<std::byte, 100> buffer;
            for (std::size_t i = 0; i < 3 * clients; ++i) {
                auto asked = co_await server.receive_from(buffer);
                REQUIRE(asked);
                auto answered = co_await server.send_to(asked->bytes, asked->from);
                CHECK(answered);
            }
        };
        auto ask = [where = server.local_endpoint()](int number) -> task<> {
            auto socket = bind<TestType>();
            std::array<std::byte, 100> buffer;
            for (int round = 0; round < 3; ++round) {
                const auto question = std::to_string(number) + ':' + std::to_string(round);
                auto sent = co_await socket.send_to(as_bytes(question), where);
                CHECK(sent);
                auto answer = co_await socket.receive_from(buffer);
                REQUIRE(answer);
                CHECK(coho::as_text(answer->bytes) == question);
                CHECK(answer->from == where);
            }
        };
        coho::task_group group;
        co_await group.spawn(serve);
        for (std::size_t i = 0; i < clients; ++i) co_await group.spawn(ask, int(i));
        co_await group.join();
    });
}

TEMPLATE_TEST_CASE("H2: a receive that is stopped as datagrams come loses none",
                   "[conformance][datagrams][H2]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto socket = bind<TestType>();
        auto peer = support::peer_of<TestType>::bound(coho::socket_kind::datagram);
        peer.connect(socket.local_endpoint());
        auto receive = [&]() -> task<bool> {
            std::array<std::byte, 8> buffer;
            auto datagram = co_await socket.receive_from(buffer);
            co_return bool(datagram);
        };
        co_await support::race_datagrams_with_stops(1'000, peer, receive);
    });
}
