#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <array>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::endpoint;
using coho::errc;
using coho::task;
using support::reason_of;

namespace {

constexpr int rounds = 10'000;

/// Sends counting bytes, and checks those that were received against them: a byte that is lost,
/// doubled or overtaken shows.
class counted_stream {
public:
    template <class Peer>
    void send_to(Peer& peer, std::size_t count) {
        peer.send(support::counting_bytes(count, sent));
        sent += count;
    }
    void receive(std::span<const std::byte> bytes) {
        const auto expected = support::counting_bytes(bytes.size(), received);
        in_order = in_order && coho::as_text(bytes) == expected;
        received += bytes.size();
    }
    /// Also in several operations: what was not reported must still be in the socket.
    template <class Stream>
    task<> receive_rest(Stream& stream) {
        std::array<std::byte, 4096> buffer;
        for (;;) {
            auto count = co_await stream.read_some(buffer);
            if (!count) break;
            receive(std::span(buffer).first(*count));
        }
    }

    std::size_t sent = 0;
    std::size_t received = 0;
    bool in_order = true;
};

using small_buffer = std::array<std::byte, 8>;

template <class Stream>
task<> read_once(Stream* stream, counted_stream* bytes, int* stopped) {
    small_buffer buffer;
    auto count = co_await stream->read_some(buffer);
    if (count) bytes->receive(std::span(buffer).first(*count));
    else if (reason_of(count) == errc::cancelled) ++*stopped;
}

task<> yield_often(int turns) {
    for (int turn = 0; turn < turns; ++turn) co_await coho::yield();
}

}  // namespace

TEMPLATE_TEST_CASE("H2: a read that is stopped as bytes come loses none", "[conformance][H2]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        counted_stream bytes;
        int stopped = 0;
        for (int round = 0; round < rounds; ++round) {
            // Bytes before the stop, after it, or none; and the loop turns never or often between.
            const int before = round % 3, between = round / 3 % 3, order = round / 9 % 3;
            coho::task_group group;
            co_await group.spawn(read_once<coho::basic_tcp_stream<TestType>>, &link.stream, &bytes,
                                 &stopped);
            co_await yield_often(before);
            if (order == 0) bytes.send_to(link.peer, 3);
            co_await yield_often(between);
            group.request_stop();
            if (order == 1) bytes.send_to(link.peer, 3);
            co_await group.join();
        }
        link.peer.shutdown_send();
        co_await bytes.receive_rest(link.stream);
        CHECK(bytes.received == bytes.sent);
        CHECK(bytes.in_order);
        CHECK(stopped >= rounds / 9);
    });
}

TEMPLATE_TEST_CASE("H2: a read that times out as bytes come loses none", "[conformance][H2]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        counted_stream bytes;
        std::atomic<int> round = 0;
        std::jthread sender([&](std::stop_token stop) {
            std::minstd_rand random(1);
            for (int sent_in = 0; sent_in < rounds && !stop.stop_requested(); ++sent_in) {
                while (round.load() <= sent_in && !stop.stop_requested()) std::this_thread::yield();
                const auto delay = std::chrono::microseconds(random() % 150);
                const auto until = std::chrono::steady_clock::now() + delay;
                while (std::chrono::steady_clock::now() < until) {}
                bytes.send_to(link.peer, 3);
            }
            link.peer.shutdown_send();
        });
        counted_stream received;
        int timed_out = 0;
        for (; round < rounds; ++round) {
            small_buffer buffer;
            auto count = co_await coho::timeout(50us, link.stream.read_some(buffer));
            if (count) received.receive(std::span(buffer).first(*count));
            else if (reason_of(count) == errc::timed_out) ++timed_out;
        }
        co_await received.receive_rest(link.stream);
        sender.join();
        CHECK(received.received == bytes.sent);
        CHECK(received.in_order);
        CHECK(timed_out > 0);
    });
}

TEMPLATE_TEST_CASE("H2: the loser of a race loses no bytes", "[conformance][H2]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto left = co_await support::accept_peer<TestType>();
        auto right = co_await support::accept_peer<TestType>();
        counted_stream left_bytes, right_bytes;
        small_buffer left_buffer, right_buffer;
        auto send = [&](int round) -> task<> {
            co_await yield_often(round % 3);
            if (round % 2 == 0 || round % 7 == 0) left_bytes.send_to(left.peer, 2);
            co_await yield_often(round / 3 % 2);
            if (round % 2 == 1 || round % 5 == 0) right_bytes.send_to(right.peer, 2);
        };
        int losers = 0;
        for (int round = 0; round < rounds; ++round) {
            auto [race, nothing] = co_await coho::when_all(
                coho::race(left.stream.read_some(left_buffer),
                           right.stream.read_some(right_buffer)),
                send(round));
            auto& from_left = coho::get<0>(race);
            auto& from_right = coho::get<1>(race);
            if (from_left) left_bytes.receive(std::span(left_buffer).first(*from_left));
            if (from_right) right_bytes.receive(std::span(right_buffer).first(*from_right));
            losers += !from_left + !from_right;
        }
        left.peer.shutdown_send();
        right.peer.shutdown_send();
        co_await left_bytes.receive_rest(left.stream);
        co_await right_bytes.receive_rest(right.stream);
        CHECK(left_bytes.received == left_bytes.sent);
        CHECK(right_bytes.received == right_bytes.sent);
        CHECK((left_bytes.in_order && right_bytes.in_order));
        CHECK(losers > 0);
    });
}

TEMPLATE_TEST_CASE("H2: a write that times out has sent what it reports and no more",
                   "[conformance][H2]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        REQUIRE(link.stream.set(coho::send_buffer_size{1}));
        std::string received;
        std::jthread reader([&] {
            std::minstd_rand random(1);
            for (;;) {
                const auto more = link.peer.receive(1 + random() % 20'000);
                if (more.empty()) break;
                received += more;
            }
        });
        const auto bytes = support::counting_bytes(20'251);
        std::size_t sent = 0;
        int timed_out = 0;
        for (int round = 0; round < 2'000; ++round) {
            const auto piece = as_bytes(bytes).subspan(sent % 251, 20'000);
            auto count = co_await coho::timeout(50us, link.stream.write_some(piece));
            if (count) sent += *count;
            else if (reason_of(count) == errc::timed_out) ++timed_out;
        }
        co_await link.stream.close();
        reader.join();
        CHECK(received.size() == sent);
        CHECK((received == support::counting_bytes(sent)));
        CHECK(timed_out > 0);
    });
}

TEMPLATE_TEST_CASE("H2: an accept that times out loses no connection", "[conformance][H2]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        constexpr int clients = 500;
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        std::vector<support::raw_socket> peers;
        std::jthread connector([&peers, where = listener.local_endpoint()] {
            for (int i = 0; i < clients; ++i) {
                peers.push_back(support::raw_socket::connected_to(where));
                peers.back().send(support::counting_bytes(1, static_cast<std::size_t>(i)));
            }
        });
        counted_stream in_order_of_arrival;
        int timed_out = 0;
        for (int accepted = 0; accepted < clients;) {
            auto stream = co_await coho::timeout(20us, listener.accept());
            if (!stream) {
                REQUIRE(reason_of(stream) == errc::timed_out);
                // A run that has lost one ends by its own time.
                REQUIRE(++timed_out < 100'000);
                continue;
            }
            ++accepted;
            std::array<std::byte, 1> first;
            auto received = co_await stream->read_some(first);
            CHECK(received);
            in_order_of_arrival.receive(first);
        }
        CHECK(in_order_of_arrival.in_order);
        connector.join();
        for (auto& each : peers) each.reset();
    });
}

TEMPLATE_TEST_CASE("H1: after a cancelled read the kernel writes into its buffer no more",
                   "[conformance][H1]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string abandoned(16, '\0'), used(4, '.');
        auto early = co_await coho::timeout(
            1ms, link.stream.read_some(std::as_writable_bytes(std::span(abandoned))));
        CHECK(reason_of(early) == errc::timed_out);
        // Before, it may have written there, whatever it reports.
        abandoned.assign(abandoned.size(), '.');
        link.peer.send("late");
        auto received = co_await coho::timeout(
            5s, link.stream.read_exactly(std::as_writable_bytes(std::span(used))));
        CHECK(reason_of(received) == errc::none);
        CHECK(used == "late");
        CHECK(abandoned == std::string(16, '.'));
    });
}

TEMPLATE_TEST_CASE("H1: a frame lives until its operation was handed back, not until it is stopped",
                   "[conformance][H1]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        struct frame_watch {
            bool* gone;
            ~frame_watch() { *gone = true; }
        };
        auto link = co_await support::accept_peer<TestType>();
        auto read = [](coho::basic_tcp_stream<TestType>* stream, bool* gone,
                       std::size_t* taken) -> task<> {
            const frame_watch watch{gone};
            small_buffer buffer;
            auto count = co_await stream->read_some(buffer);
            *taken = std::move(count).value_or(0);
        };
        bool gone = false;
        std::size_t taken = 0;
        coho::task_group group;
        co_await group.spawn(read, &link.stream, &gone, &taken);
        co_await yield_often(3);
        group.request_stop();
        CHECK_FALSE(gone);
        link.peer.send("x");
        CHECK_FALSE(gone);
        co_await group.join();
        CHECK(gone);
        const auto left =
            support::peer_of<TestType>::unread_bytes(link.stream.native_handle());
        CHECK(taken + left == 1);
    });
}

TEMPLATE_TEST_CASE("H10: a task that was stopped before submits nothing", "[conformance][H10]",
                   COHO_TEST_KERNELS) {
    using peer = support::peer_of<TestType>;
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        auto listener = coho::basic_tcp_listener<TestType>::bind(endpoint::loopback(0)).value();
        auto untouched = peer::listening();
        auto client = peer::connected_to(listener.local_endpoint());
        link.peer.send("waiting");
        small_buffer buffer;
        auto read = co_await coho::timeout(0s, link.stream.read_some(buffer));
        CHECK(reason_of(read) == errc::timed_out);
        auto written = co_await coho::timeout(0s, link.stream.write_all(as_bytes("never")));
        CHECK(reason_of(written) == errc::timed_out);
        auto accepted = co_await coho::timeout(0s, listener.accept());
        CHECK(reason_of(accepted) == errc::timed_out);
        auto connected =
            co_await coho::timeout(0s, coho::connect<TestType>(untouched.local_endpoint()));
        CHECK(reason_of(connected) == errc::timed_out);
        CHECK(peer::unread_bytes(link.stream.native_handle()) == 7);
        CHECK(peer::has_connection_waiting(listener.native_handle()));
        CHECK_FALSE(peer::has_connection_waiting(untouched.native_handle()));
        co_await link.stream.close();
        CHECK(link.peer.is_over());
    });
}
