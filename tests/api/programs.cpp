#include "support/child_process.hpp"
#include "support/connected.hpp"
#include "support/world.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

using namespace std::chrono_literals;

// What the documentation promises, word for word: the names and the forms below may not change.
namespace {

coho::task<> echo(coho::tcp_stream stream) {
    std::array<std::byte, 16384> buffer;
    while (auto received = co_await coho::timeout(30s, stream.read_some(buffer))) {
        auto bytes = std::span(buffer).first(*received);
        auto sent = co_await coho::timeout(30s, stream.write_all(bytes));
        if (!sent) break;
    }
}

coho::task<> serve(coho::endpoint where) {
    auto listener = coho::tcp_listener::bind(where).value();
    coho::task_group connections({.max_live = 10'000, .drain = 5s});
    std::printf("listening on %s\n", to_string(listener.local_endpoint()).c_str());
    while (auto accepted = co_await listener.accept())
        co_await connections.spawn(echo, std::move(*accepted));
    co_await listener.close();
    co_await connections.join();
}

coho::task<int> ask(std::string host) {
    std::array<std::byte, 512> reply;
    auto stream = co_await coho::timeout(3s, coho::connect(host, 7777));
    if (!stream) { std::fprintf(stderr, "%s\n", stream.error().message().c_str()); co_return 1; }
    auto sent = co_await stream->write_all(coho::as_bytes("hello\n"));
    auto count = co_await stream->read_some(reply);
    co_return sent && count ? 0 : 1;
}

coho::task<> echo_on_loan(coho::tcp_stream stream) {
    auto incoming = stream.incoming();
    while (auto lease = co_await incoming.next()) {
        auto sent = co_await stream.write_all(std::move(*lease));
        if (!sent) break;
    }
}

coho::task<> udp_echo(coho::endpoint where) {
    std::array<std::byte, 65536> buffer;
    auto socket = coho::udp_socket::bind(where).value();
    while (auto datagram = co_await socket.receive_from(buffer)) {
        auto sent = co_await socket.send_to(datagram->bytes, datagram->from);
        if (!sent) break;
    }
}

template <class Backend>
coho::task<> serve_on(coho::endpoint where) {
    auto listener = coho::basic_tcp_listener<Backend>::bind(where).value();
    while (auto accepted = co_await listener.accept()) {}
}

coho::task<int> first() { co_return 1; }
coho::task<int> second() {
    co_await coho::yield();
    co_return 2;
}
coho::task<> handle(int request) {
    const auto& own = co_await coho::inherited();
    CHECK(own.until < coho::now() + 1h);
    CHECK(request == 7);
}

// Addresses of the loopback network that nobody else uses, for the programs fix their port.
constexpr auto stream_address = coho::endpoint(coho::ip_address::v4({127, 77, 7, 1}), 7777);
constexpr auto datagram_address = coho::endpoint(coho::ip_address::v4({127, 77, 7, 2}), 7777);

}  // namespace

TEST_CASE("the server of fifteen lines answers the client", "[api]") {
    support::run_on<coho::native>([]() -> coho::task<> {
        coho::task_group servers;
        co_await servers.spawn(serve, stream_address);
        CHECK(co_await ask("127.77.7.1") == 0);
        servers.request_stop();
        co_await servers.join();
    });
}

TEST_CASE("bytes on loan come back", "[api]") {
    support::run_on<coho::native>([]() -> coho::task<> {
        auto pair = co_await support::connect_pair<coho::native>();
        coho::task_group servers;
        co_await servers.spawn(echo_on_loan, std::move(pair.server));
        auto sent = co_await pair.client.write_all(coho::as_bytes("hello"));
        CHECK(sent);
        std::array<std::byte, 5> reply;
        auto received = co_await pair.client.read_exactly(reply);
        CHECK(received);
        CHECK(coho::as_text(reply) == "hello");
        co_await pair.client.close();
        co_await servers.join();
    });
}

TEST_CASE("the client says in a line whom it could not reach", "[api]") {
    const auto end = support::run_in_child(
        [] { return coho::run({.signals = {}}, ask, std::string("127.77.7.3")); });
    CHECK(end.status == 1);
    CHECK(end.says("cannot connect to 127.77.7.3:7777: the connection was refused"));
    CHECK(std::count(end.errors.begin(), end.errors.end(), '\n') == 1);
}

TEST_CASE("the datagram server sends back what it gets", "[api]") {
    support::run_on<coho::native>([]() -> coho::task<> {
        coho::task_group servers;
        co_await servers.spawn(udp_echo, datagram_address);
        auto socket = coho::udp_socket::bind(coho::endpoint::loopback(0)).value();
        (co_await socket.send_to(coho::as_bytes("hello"), datagram_address)).value();
        std::array<std::byte, 512> buffer;
        auto reply = co_await coho::timeout(30s, socket.receive_from(buffer));
        REQUIRE(reply);
        CHECK(reply->from.port() == datagram_address.port());
        CHECK(reply->bytes.size() == 5);
        servers.request_stop();
        co_await servers.join();
    });
}

TEST_CASE("the kernel is a template parameter, and options come first", "[api]") {
    // An address of the documentation (RFC 5737), which no machine here has: each ends at once.
    const auto where = coho::endpoint::parse("192.0.2.1:7777").value();
    const auto is_refused = [](auto run) {
        const auto end = support::run_in_child(run);
        CHECK(end.status == 1);
        CHECK(end.says("192.0.2.1:7777"));
    };
#ifdef _WIN32
    is_refused([=] { return coho::run<coho::iocp>(serve_on<coho::iocp>, where); });
#else
    is_refused([=] { return coho::run<coho::epoll>(serve_on<coho::epoll>, where); });
#endif
    is_refused([=] { return coho::run(serve, where); });
    is_refused([=] { return coho::run({.spin = 50us, .signals = {}}, serve, where); });

    coho::scheduler<coho::native> world;
    CHECK_THROWS_AS(world.run(serve_on<coho::native>, where), coho::failure);
}

TEST_CASE("time, and many things at once", "[api]") {
    support::run([]() -> coho::task<> {
        const int request = 7;
        co_await coho::sleep(10ms);
        co_await coho::yield();
        auto both = co_await coho::when_all(first(), second());
        auto one = co_await coho::race(first(), second());
        co_await coho::deadline_in(2s, handle(request));
        CHECK(both == std::tuple(1, 2));
        CHECK(one.winner == 0);
        CHECK(get<1>(one) == 2);
    });
}
