// Peers that are too many, break at once, are too slow, never read or never rest: the others are
// served, within bounds that count messages and descriptors rather than time.

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

template <class Backend>
task<> echo(coho::basic_tcp_stream<Backend> stream, std::size_t* echoed) {
    std::array<std::byte, 4096> buffer;
    while (auto received = co_await stream.read_some(buffer)) {
        auto sent = co_await stream.write_all(std::span(buffer).first(*received));
        if (!sent) break;
        *echoed += *received;
    }
}

template <class Backend>
task<> accept_and_echo(coho::basic_tcp_listener<Backend>& listener, std::size_t most) {
    coho::task_group connections({.max_live = most});
    std::size_t echoed = 0;
    while (auto accepted = co_await listener.accept()) {
        co_await connections.spawn(echo<Backend>, std::move(*accepted), &echoed);
    }
    co_await connections.join();
}

template <class Backend>
task<bool> is_echoed(coho::basic_tcp_stream<Backend>& stream, std::string_view text) {
    auto sent = co_await stream.write_all(as_bytes(text));
    const auto back = co_await support::receive_text(stream, text.size());
    co_return sent && back == text;
}

/// One message that must have come whole by a deadline.
template <class Backend>
task<> read_message(coho::basic_tcp_stream<Backend>& stream, std::string& message, errc* end) {
    auto ended = co_await coho::deadline_in(100ms, stream.read_until(message, "\n", 1 << 20));
    *end = reason_of(ended);
}

}  // namespace

TEMPLATE_TEST_CASE("H13: a listener whose owner has enough leaves the others in the backlog",
                   "[conformance][peers][H13]", COHO_TEST_KERNELS) {
    using peer = support::peer_of<TestType>;
    support::allow_many_descriptors();
    support::run_on<TestType>([]() -> task<> {
        constexpr std::size_t clients = 1000, most = 5;
        // What a listener may keep unasked: so many, and those that come within a turn or two.
        constexpr std::size_t unasked = 64 + 64 + 2 * 128;
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        const auto before = peer::open_sockets();
        std::vector<peer> peers;
        std::size_t gone = 0;
        // The limit of the system helps little: a kernel may look at it when it begins to accept.
        const auto check_accepted = [&] {
            const auto accepted = peer::open_sockets() - before - (peers.size() - gone);
            CHECK(accepted <= most + unasked);
        };
        coho::task_group group;
        co_await group.spawn(accept_and_echo<TestType>, std::ref(listener), most);
        for (std::size_t i = 0; i < clients; ++i) {
            peers.push_back(peer::connected_to(listener.local_endpoint()));
            co_await coho::yield();
        }
        check_accepted();
        // Each that goes makes room for the one that has waited longest.
        for (auto& each : peers) {
            each.send("x");
            co_await support::let_turns_pass();
            // A kernel may be late.
            while (peer::unread_bytes(each.native_handle()) == 0) co_await coho::sleep(100us);
            CHECK(each.receive(1) == "x");
            each.reset();
            ++gone;
            if (gone % 10 == 0) check_accepted();
        }
        group.request_stop();
        co_await group.join();
    });
}

TEMPLATE_TEST_CASE("H26: thousands that reset as soon as they are connected leave a listener whole",
                   "[conformance][peers][H26]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        coho::task_group group;
        co_await group.spawn(accept_and_echo<TestType>, std::ref(listener), std::size_t(100));
        for (int batch = 0; batch < 100; ++batch) {
            for (int i = 0; i < 40; ++i) {
                support::peer_of<TestType>::connected_to(listener.local_endpoint()).reset();
            }
            auto good = co_await coho::connect<TestType>(listener.local_endpoint());
            const bool echoed = co_await is_echoed<TestType>(*good, "good");
            CHECK(echoed);
        }
        group.request_stop();
        co_await group.join();
    });
}

TEMPLATE_TEST_CASE("H28: a message that comes byte by byte ends at the deadline of the whole",
                   "[conformance][peers][H28]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        std::array<support::stream_and_peer<TestType>*, 50> slow{};
        std::vector<support::stream_and_peer<TestType>> links;
        std::array<std::string, slow.size()> messages;
        std::array<errc, slow.size()> ends{};
        coho::task_group group;
        for (std::size_t i = 0; i < slow.size(); ++i) {
            links.push_back(co_await support::accept_peer<TestType>());
        }
        for (std::size_t i = 0; i < slow.size(); ++i) {
            co_await group.spawn(read_message<TestType>, std::ref(links[i].stream),
                                 std::ref(messages[i]), &ends[i]);
        }
        auto good = co_await support::connect_pair<TestType>();
        std::size_t echoed = 0;
        co_await group.spawn(echo<TestType>, std::move(good.server), &echoed);

        // However often a byte comes; a round is a full exchange with a client that is not slow.
        constexpr int most_rounds = 20'000;
        int rounds = 0;
        for (; group.live() > 1 && rounds < most_rounds; ++rounds) {
            for (auto& each : links) each.peer.send("x");
            const bool answered = co_await is_echoed<TestType>(good.client, "good");
            CHECK(answered);
        }
        CHECK(rounds < most_rounds);
        for (auto& each : links) each.peer.shutdown_send();
        co_await good.client.close();
        co_await group.join();
        for (std::size_t i = 0; i < slow.size(); ++i) {
            CHECK(ends[i] == errc::timed_out);
            CHECK(messages[i] == std::string(messages[i].size(), 'x'));
            CHECK(messages[i].size() > 1);
        }
    });
}

TEMPLATE_TEST_CASE("H29: a server waits for a client that does not read, and loses nothing of it",
                   "[conformance][peers][H29]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        constexpr std::size_t offered = 64 << 20;
        auto link = co_await support::connect_pair<TestType>();
        coho::task_group group;
        std::size_t echoed = 0;
        co_await group.spawn(echo<TestType>, std::move(link.server), &echoed);
        std::size_t taken = 0;
        errc end = errc::none;
        while (end == errc::none && taken < offered) {
            const auto bytes = support::counting_bytes(100'000, taken);
            auto sent = co_await coho::timeout(100ms, link.client.write_some(as_bytes(bytes)));
            end = reason_of(sent);
            if (sent) taken += *sent;
        }
        // No more than lies in the buffers of the system.
        CHECK(end == errc::timed_out);
        CHECK(taken < offered);
        std::size_t back = 0;
        while (end == errc::timed_out && back < taken) {
            const auto wanted = taken - back < 100'000 ? taken - back : 100'000;
            const auto text = co_await support::receive_text(link.client, wanted);
            REQUIRE(text == support::counting_bytes(wanted, back));
            back += wanted;
        }
        co_await link.client.close();
        co_await group.join();
    });
}

TEMPLATE_TEST_CASE("H30: whoever never rests delays the others by a bounded number of messages",
                   "[conformance][peers][H30]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        constexpr std::size_t pingers = 100, rounds = 5;
        constexpr std::string_view ping = "ping";
        // Ten turns of the loop, each of 2,048 operations at most.
        constexpr int most_messages = 10 * 1024;
        std::vector<support::peer_of<TestType>> peers;
        coho::task_group group;
        std::size_t echoed = 0;
        for (std::size_t i = 0; i < pingers; ++i) {
            auto link = co_await support::accept_peer<TestType>();
            peers.push_back(std::move(link.peer));
            co_await group.spawn(echo<TestType>, std::move(link.stream), &echoed);
        }
        // Datagrams that go round and round: so many that their socket always has one to read.
        auto socket = coho::basic_udp_socket<TestType>::bind(endpoint::loopback(0)).value();
        std::array<std::byte, 16> buffer{};
        for (int i = 0; i < 4; ++i) {
            auto sent = co_await socket.send_to(buffer, socket.local_endpoint());
            CHECK(sent);
        }
        for (std::size_t round = 0; round <= rounds; ++round) {
            // The first round only sets them going.
            for (auto& each : peers) each.send(ping);
            const auto expected = (round + 1) * pingers * ping.size();
            int messages = 0;
            for (; echoed < expected && messages < most_messages; ++messages) {
                auto received = co_await socket.receive_from(buffer);
                auto sent = co_await socket.send_to(buffer, socket.local_endpoint());
                CHECK((received && sent));
            }
            CHECK(echoed == expected);
        }
        peers.clear();
        co_await group.join();
    });
}
