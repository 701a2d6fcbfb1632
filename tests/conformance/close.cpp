#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <array>
#include <vector>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::endpoint;
using coho::errc;
using coho::task;
using support::reason_of;

namespace {

/// Closes it once others have begun to wait on it; when close() is over, they have ended.
template <class Socket>
task<> close_soon(Socket& socket) {
    for (int turns = 0; turns < 3; ++turns) co_await coho::yield();
    co_await socket.close();
    CHECK(!socket.is_open());
    CHECK(socket.native_handle() == coho::handle::none);
}

/// A listener whose queue is full, so that connecting to it goes on until given up.
template <class Backend>
class unwilling_listener {
public:
    unwilling_listener() {
        // A backlog of 0 has room for one.
        filler_.connect(where());
    }
    endpoint where() const { return listener_.local_endpoint(); }

private:
    using peer = support::peer_of<Backend>;

    peer listener_ = peer::listening(0);
    peer filler_{coho::socket_kind::stream};
};

}  // namespace

// That one of them is over at once, and another had to wait, matters to kernels that keep something
// of accepting with the listener; AddressSanitizer sees where they look at what is gone.
TEMPLATE_TEST_CASE("H1: a listener that goes has forgotten the accepts that are over",
                   "[conformance][close][H1]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener =
            coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        const auto where = listener.local_endpoint();
        auto [waited, first] =
            co_await coho::when_all(listener.accept(), coho::connect<TestType>(where));
        auto second = co_await coho::connect<TestType>(where);
        auto at_once = co_await listener.accept();
        CHECK(waited);
        CHECK(at_once);
        CHECK(first);
        CHECK(second);
        co_await listener.close();
    });
}

TEMPLATE_TEST_CASE("H4: close cancels a read that waits, and the peer sees the end",
                   "[conformance][close][H4]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 16> buffer{};
        auto [received, nothing] = co_await coho::when_all(link.stream.read_some(buffer),
                                                           close_soon(link.stream));
        CHECK(reason_of(received) == errc::cancelled);
        CHECK(link.peer.is_over());
    });
}

TEMPLATE_TEST_CASE("H4: close cancels read_exactly in the middle of its bytes",
                   "[conformance][close][H4]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 16> buffer{};
        link.peer.send("some");
        auto [received, nothing] = co_await coho::when_all(link.stream.read_exactly(buffer),
                                                           close_soon(link.stream));
        CHECK(reason_of(received) == errc::cancelled);
        CHECK(link.peer.is_over());
    });
}

TEMPLATE_TEST_CASE("H4: close cancels writes that wait, whole or in pieces",
                   "[conformance][close][H4]", COHO_TEST_KERNELS) {
    const auto bytes = support::counting_bytes(32 << 20);
    support::run_on<TestType>([&]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        auto [sent, nothing] = co_await coho::when_all(link.stream.write_all(as_bytes(bytes)),
                                                       close_soon(link.stream));
        CHECK(reason_of(sent) == errc::cancelled);
        const auto received = link.peer.receive_to_end();
        CHECK(received.size() < bytes.size());
        CHECK((received == bytes.substr(0, received.size())));
    });
    support::run_on<TestType>([&]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        auto [sent, nothing] = co_await coho::when_all(
            link.stream.write_all(as_bytes(bytes), as_bytes(bytes)), close_soon(link.stream));
        CHECK(reason_of(sent) == errc::cancelled);
        CHECK(link.peer.receive_to_end().size() < bytes.size());
    });
}

TEMPLATE_TEST_CASE("H4: close cancels both directions and waits for both",
                   "[conformance][close][H4]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 16> buffer{};
        const auto bytes = support::counting_bytes(32 << 20);
        auto [received, sent, nothing] = co_await coho::when_all(
            link.stream.read_some(buffer), link.stream.write_all(as_bytes(bytes)),
            close_soon(link.stream));
        CHECK(reason_of(received) == errc::cancelled);
        CHECK(reason_of(sent) == errc::cancelled);
        CHECK(link.peer.receive_to_end().size() < bytes.size());
    });
}

TEMPLATE_TEST_CASE("H4: close cancels an accept that waits", "[conformance][close][H4]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener =
            coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        const auto where = listener.local_endpoint();
        auto [accepted, nothing] =
            co_await coho::when_all(listener.accept(), close_soon(listener));
        CHECK(reason_of(accepted) == errc::cancelled);
        auto connected = co_await coho::connect<TestType>(where);
        CHECK(reason_of(connected) == errc::connection_refused);
        // The address is free again.
        CHECK(coho::basic_tcp_listener<TestType>::bind(where));
    });
}

TEMPLATE_TEST_CASE("H3: connections that nobody accepted end with their listener",
                   "[conformance][close][H3]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener =
            coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        std::vector<support::peer_of<TestType>> clients;
        // Of more, io_uring would leave those in the backlog that nobody asks for.
        for (int i = 0; i < 50; ++i) {
            clients.push_back(
                support::peer_of<TestType>::connected_to(listener.local_endpoint()));
        }
        auto first = co_await listener.accept();
        REQUIRE(first);
        // Where accepting goes on by itself, it has gone on by now.
        for (int turns = 0; turns < 10; ++turns) co_await coho::sleep(1ms);
        co_await listener.close();
        for (std::size_t i = 1; i < clients.size(); ++i) CHECK(clients[i].is_over());
    });
}

TEMPLATE_TEST_CASE("H4: close cancels a connect that waits", "[conformance][close][H4]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        const unwilling_listener<TestType> listener;
        auto& on = coho::scheduler<TestType>::current();
        const auto opened =
            on.kernel().open(coho::address_family::ipv4, coho::socket_kind::stream);
        coho::basic_socket<TestType> socket(on, static_cast<coho::handle>(opened));
        auto connecting = coho::connecting<TestType>(
            socket, {socket.native_handle(), listener.where()});
        auto [connected, nothing] =
            co_await coho::when_all(std::move(connecting), close_soon(socket));
        CHECK(reason_of(connected) == errc::cancelled);
    });
}

TEMPLATE_TEST_CASE("H4: a connect that waits is cancelled by its time and leaves no descriptor",
                   "[conformance][close][H4]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        const unwilling_listener<TestType> listener;
        auto connected =
            co_await coho::timeout(20ms, coho::connect<TestType>(listener.where()));
        CHECK(reason_of(connected) == errc::timed_out);
        const auto where = to_string(listener.where());
        CHECK(support::message_of(connected).find(where) != std::string::npos);
    });
}

TEMPLATE_TEST_CASE("H4: close cancels a datagram's receive that waits",
                   "[conformance][close][H4]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto socket = coho::basic_udp_socket<TestType>::bind(endpoint::loopback(0)).value();
        std::array<std::byte, 16> buffer{};
        auto [received, nothing] =
            co_await coho::when_all(socket.receive_from(buffer), close_soon(socket));
        CHECK(reason_of(received) == errc::cancelled);
    });
}

TEMPLATE_TEST_CASE("close: awaited by two, both find the handle free", "[conformance][close]",
                   COHO_TEST_KERNELS) {
    static constexpr auto close_and_look = [](coho::basic_tcp_stream<TestType>& stream) -> task<> {
        const auto open = stream.native_handle();
        co_await stream.close();
        CHECK(open != coho::handle::none);
        CHECK(stream.native_handle() == coho::handle::none);
    };
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 16> buffer{};
        auto [received, first, second] =
            co_await coho::when_all(link.stream.read_some(buffer), close_and_look(link.stream),
                                    close_and_look(link.stream));
        CHECK(reason_of(received) == errc::cancelled);
        CHECK(link.peer.is_over());
    });
}

TEMPLATE_TEST_CASE("close: of a stream that nobody uses, twice, and what follows is closed",
                   "[conformance][close]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 16> buffer{};
        std::string text;
        co_await link.stream.close();
        CHECK(link.peer.is_over());
        co_await link.stream.close();
        auto read = co_await link.stream.read_some(buffer);
        CHECK(reason_of(read) == errc::closed);
        auto read_exactly = co_await link.stream.read_exactly(buffer);
        CHECK(reason_of(read_exactly) == errc::closed);
        auto read_until = co_await link.stream.read_until(text, "\n", 10);
        CHECK(reason_of(read_until) == errc::closed);
        auto written = co_await link.stream.write_some(buffer);
        CHECK(reason_of(written) == errc::closed);
        auto written_all = co_await link.stream.write_all(buffer);
        CHECK(reason_of(written_all) == errc::closed);
        auto written_pieces = co_await link.stream.write_all(buffer, buffer);
        CHECK(reason_of(written_pieces) == errc::closed);
        CHECK(reason_of(link.stream.shutdown_send()) == errc::closed);
        CHECK(reason_of(link.stream.set(coho::no_delay{})) == errc::closed);
        CHECK(reason_of(link.stream.template get<coho::no_delay>()) == errc::closed);
        CHECK(link.stream.local_endpoint() == endpoint());
        CHECK(link.stream.remote_endpoint() == endpoint());
    });
}

TEMPLATE_TEST_CASE("close: what was moved from is closed, and what it was moved to works",
                   "[conformance][close]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 16> buffer{};
        auto moved = std::move(link.stream);
        auto read = co_await link.stream.read_some(buffer);
        CHECK(reason_of(read) == errc::closed);
        link.peer.send("for the new one");
        const auto text = co_await support::receive_text(moved, 15);
        CHECK(text == "for the new one");
        // Assigning closes what was there.
        auto other = co_await support::accept_peer<TestType>();
        moved = std::move(other.stream);
        CHECK(link.peer.is_over());
        CHECK(moved.is_open());
    });
}

TEMPLATE_TEST_CASE("close: listeners and datagram sockets say closed afterwards",
                   "[conformance][close]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener =
            coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        auto socket = coho::basic_udp_socket<TestType>::bind(endpoint::loopback(0)).value();
        std::array<std::byte, 16> buffer{};
        co_await listener.close();
        co_await socket.close();
        auto accepted = co_await listener.accept();
        CHECK(reason_of(accepted) == errc::closed);
        CHECK(listener.local_endpoint() == endpoint());
        auto received = co_await socket.receive_from(buffer);
        CHECK(reason_of(received) == errc::closed);
        auto sent = co_await socket.send_to(buffer, endpoint::loopback(9));
        CHECK(reason_of(sent) == errc::closed);
        CHECK(socket.local_endpoint() == endpoint());
    });
}
