// Bytes on loan: no buffer belongs to a silent connection, and an empty pool loses no byte.

#include "support/buffers.hpp"
#include "support/connected.hpp"
#include "support/kernels.hpp"
#include "support/stream_bytes.hpp"

#include <array>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::as_text;
using coho::errc;
using coho::lease;
using coho::task;
using support::connect_pair;
using support::pool_of;
using support::reason_of;
using support::take_all_but;

namespace {

template <class Backend>
task<> echo_leases(coho::basic_tcp_stream<Backend> stream) {
    auto incoming = stream.incoming();
    while (auto received = co_await incoming.next()) {
        auto sent = co_await stream.write_all(std::move(*received));
        if (!sent) break;
    }
}

/// Sends so many bytes, and sees the same come back.
template <class Backend>
task<> ask_many(coho::basic_tcp_stream<Backend> stream, std::size_t total) {
    auto send = [&]() -> task<> {
        std::array<std::byte, 5'000> bytes;
        for (std::size_t place = 0; place < total;) {
            const auto count = total - place < bytes.size() ? total - place : bytes.size();
            support::fill(std::span(bytes).first(count), place);
            auto sent = co_await stream.write_all(std::span(bytes).first(count));
            REQUIRE(sent);
            place += count;
        }
        CHECK(stream.shutdown_send());
    };
    auto receive = [&]() -> task<> {
        std::array<std::byte, 5'000> bytes;
        std::size_t place = 0;
        while (auto received = co_await stream.read_some(bytes)) {
            CHECK_FALSE(support::first_wrong(std::span(bytes).first(*received), place));
            place += *received;
        }
        CHECK(place == total);
    };
    co_await coho::when_all(send(), receive());
}

/// Many connections echo through few buffers.
template <class Backend>
task<> share(std::size_t buffers, int connections, std::size_t bytes) {
    auto& pool = pool_of<Backend>(buffers);
    auto listener =
        coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    coho::task_group servers, clients;
    for (int i = 0; i < connections; ++i) {
        auto [accepted, connected] = co_await coho::when_all(
            listener.accept(), coho::connect<Backend>(listener.local_endpoint()));
        co_await servers.spawn(echo_leases<Backend>, std::move(accepted).value());
        co_await clients.spawn(ask_many<Backend>, std::move(connected).value(), bytes);
    }
    co_await clients.join();
    co_await servers.join();
    while (pool.sending() > 0) co_await coho::yield();
    CHECK(pool.leased() == 0);
    CHECK(pool.waiting() == 0);
    CHECK(pool.idle() + pool.lent() == buffers);
}

/// Receives once, and holds what it got.
template <class Backend>
task<> receive_one(coho::basic_tcp_stream<Backend>* stream, coho::result<lease>* received) {
    auto incoming = stream->incoming();
    *received = co_await incoming.next();
}

/// Has one more wait for a buffer, whose bytes are there.
template <class Backend>
task<> wait_for_buffer(support::stream_pair<Backend>& ends, std::string_view text,
                       coho::task_group& group, coho::result<lease>& received) {
    const auto& pool = coho::scheduler<Backend>::current().buffers();
    const auto before = pool.waiting();
    auto sent = co_await ends.client.write_all(as_bytes(text));
    REQUIRE(sent);
    co_await group.spawn(receive_one<Backend>, &ends.server, &received);
    while (pool.waiting() == before) co_await coho::yield();
}

}  // namespace

TEMPLATE_TEST_CASE("leases bring the bytes that came, and then the end", "[conformance][leases]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto [stream, peer] = co_await support::accept_peer<TestType>();
        auto incoming = stream.incoming();
        peer.send("first");
        auto received = co_await incoming.next();
        REQUIRE(received);
        CHECK(as_text(received->bytes()) == "first");
        peer.send("second");
        // The first is still here.
        auto next = co_await incoming.next();
        REQUIRE(next);
        CHECK(as_text(next->bytes()) == "second");
        CHECK(as_text(received->bytes()) == "first");
        peer.shutdown_send();
        auto end = co_await incoming.next();
        CHECK(reason_of(end) == errc::end_of_stream);
        auto again = co_await incoming.next();
        CHECK(reason_of(again) == errc::end_of_stream);
    });
}

TEMPLATE_TEST_CASE("a stream that is reset ends its leases as it ends its reads",
                   "[conformance][leases]", COHO_TEST_KERNELS) {
    using peer_type = support::peer_of<TestType>;
    support::run_on<TestType>([]() -> task<> {
        auto [stream, peer] = co_await support::accept_peer<TestType>();
        auto incoming = stream.incoming();
        peer.reset();
        auto received = co_await incoming.next();
        const bool ended = reason_of(received) == errc::end_of_stream;
        CHECK((reason_of(received) == errc::connection_reset || (ended && !peer_type::resets)));
    });
}

TEMPLATE_TEST_CASE("leases are written out, one or several at once, and go home",
                   "[conformance][leases]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto& pool = pool_of<TestType>(16, 10);
        auto [stream, peer] = co_await support::accept_peer<TestType>();
        std::array<lease, 4> leases;
        for (std::size_t i = 0; i < leases.size(); ++i) {
            leases[i] = pool.try_take();
            std::ranges::fill(leases[i].room(), static_cast<std::byte>('a' + i));
            leases[i].fill(5);
        }
        leases[1].remove_prefix(3);
        auto sent = co_await stream.write_all(std::move(leases[0]));
        CHECK(sent);
        CHECK(pool.leased() == 3);
        sent = co_await stream.write_all(std::move(leases[1]), std::move(leases[2]),
                                         std::move(leases[3]));
        CHECK(sent);
        CHECK(pool.leased() == 0);
        CHECK(peer.receive(17) == "aaaaabbcccccddddd");
    });
}

TEMPLATE_TEST_CASE("H14: one buffer serves many connections, and no byte is lost",
                   "[conformance][leases][H14]", COHO_TEST_KERNELS) {
    const std::size_t bytes = support::is_simulated<TestType> ? 50'000 : 1 << 20;
    support::run_on<TestType>([&] { return share<TestType>(1, 64, bytes); });
}

TEMPLATE_TEST_CASE("H14: a few buffers, of which a kernel may hold some, serve many connections",
                   "[conformance][leases][H14]", COHO_TEST_KERNELS) {
    const std::size_t bytes = support::is_simulated<TestType> ? 50'000 : 1 << 18;
    support::run_on<TestType>([&] { return share<TestType>(8, 64, bytes); });
}

TEMPLATE_TEST_CASE("H14: a silent connection holds no buffer", "[conformance][leases][H14]",
                   COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        const auto held = take_all_but(1, pool);
        std::vector<support::stream_pair<TestType>> pairs;
        std::vector<coho::result<lease>> received;
        for (int i = 0; i < 20; ++i) {
            auto pair = co_await connect_pair<TestType>();
            pairs.push_back(std::move(pair));
            received.emplace_back(errc::other);
        }
        coho::task_group group;
        for (std::size_t i = 0; i < pairs.size(); ++i) {
            co_await group.spawn(receive_one<TestType>, &pairs[i].server, &received[i]);
        }
        co_await support::let_turns_pass();
        CHECK(pool.leased() == held.size());
        auto sent = co_await pairs[7].client.write_all(as_bytes("hello"));
        REQUIRE(sent);
        while (!received[7]) co_await coho::yield();
        CHECK(as_text(received[7]->bytes()) == "hello");
        received[7] = errc::other;
        group.request_stop();
        co_await group.join();
        CHECK(pool.leased() == held.size());
        for (const auto& each : received) {
            CHECK((reason_of(each) == errc::cancelled || reason_of(each) == errc::other));
        }
    });
}

// A kernel that was given a full buffer cannot know that nothing is left.
TEMPLATE_TEST_CASE("H14: who has read all that came holds no buffer", "[conformance][leases][H14]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto& pool = pool_of<TestType>(1, 4);
        auto first = co_await connect_pair<TestType>();
        auto second = co_await connect_pair<TestType>();
        auto sent = co_await first.client.write_all(as_bytes("full"));
        REQUIRE(sent);
        coho::result<lease> received = errc::other, nothing = errc::other, other = errc::other;
        // Some kernels bring it in parts.
        for (std::size_t count = 0; count < 4;) {
            co_await receive_one<TestType>(&first.server, &received);
            REQUIRE(received);
            count += received->bytes().size();
            received = errc::other;
        }
        coho::task_group group;
        co_await group.spawn(receive_one<TestType>, &first.server, &nothing);
        co_await support::let_turns_pass();
        CHECK(pool.leased() == 0);
        sent = co_await second.client.write_all(as_bytes("more"));
        REQUIRE(sent);
        co_await group.spawn(receive_one<TestType>, &second.server, &other);
        while (!other) co_await coho::yield();
        CHECK(as_text(other->bytes()).starts_with("m"));
        other = errc::other;
        group.request_stop();
        co_await group.join();
        CHECK_FALSE(nothing);
    });
}

TEMPLATE_TEST_CASE("H14: connections that wait for a buffer are served in turn",
                   "[conformance][leases][H14]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        auto held = take_all_but(0, pool);
        auto greedy = co_await connect_pair<TestType>();
        auto modest = co_await connect_pair<TestType>();
        coho::result<lease> first = errc::other, second = errc::other, third = errc::other;
        coho::task_group group;
        co_await wait_for_buffer(greedy, "first", group, first);
        co_await wait_for_buffer(modest, "second", group, second);
        held.pop_back();
        while (!first) co_await coho::yield();
        CHECK(as_text(first->bytes()) == "first");
        // More for the one who was served, but it is the other's turn.
        co_await wait_for_buffer(greedy, "more", group, third);
        first = errc::other;
        while (!second) co_await coho::yield();
        CHECK(as_text(second->bytes()) == "second");
        CHECK_FALSE(third);
        second = errc::other;
        co_await group.join();
        REQUIRE(third);
        CHECK(as_text(third->bytes()) == "more");
    });
}

TEMPLATE_TEST_CASE("H14: who waits for a buffer stops when asked, and its bytes stay",
                   "[conformance][leases][H14]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        auto held = take_all_but(0, pool);
        auto pair = co_await connect_pair<TestType>();
        auto incoming = pair.server.incoming();
        coho::result<lease> received = errc::other;
        coho::task_group group;
        co_await wait_for_buffer(pair, "patience", group, received);
        group.request_stop();
        co_await group.join();
        CHECK(reason_of(received) == errc::cancelled);
        CHECK(pool.waiting() == 0);
        held.pop_back();
        auto later = co_await incoming.next();
        REQUIRE(later);
        CHECK(as_text(later->bytes()) == "patience");
    });
}

TEMPLATE_TEST_CASE("H14: a stream that is closed lets who waits for a buffer go",
                   "[conformance][leases][H14]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        auto held = take_all_but(0, pool);
        auto pair = co_await connect_pair<TestType>();
        coho::result<lease> received = errc::other;
        coho::task_group group;
        co_await wait_for_buffer(pair, "in vain", group, received);
        co_await pair.server.close();
        co_await group.join();
        CHECK(reason_of(received) == errc::cancelled);
        CHECK(pool.waiting() == 0);
    });
}

TEMPLATE_TEST_CASE("H2: leases race with their cancel, and no byte is lost",
                   "[conformance][leases][H2]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto& pool = pool_of<TestType>(8);
        auto pair = co_await connect_pair<TestType>();
        auto incoming = pair.server.incoming();
        std::array<std::byte, 3> bytes;
        std::uint64_t place = 0;
        int cancelled = 0, brought = 0;
        for (int round = 0; round < 500; ++round) {
            coho::result<lease> received = errc::other;
            coho::task_group group;
            co_await group.spawn(receive_one<TestType>, &pair.server, &received);
            if (round % 2) co_await support::let_turns_pass();
            support::fill(bytes, place);
            auto sent = co_await pair.client.write_all(bytes);
            REQUIRE(sent);
            group.request_stop();
            co_await group.join();
            if (received) ++brought;
            else ++cancelled;
            std::size_t count = received ? received->bytes().size() : 0;
            if (received) CHECK_FALSE(support::first_wrong(received->bytes(), place));
            while (count < bytes.size()) {
                received = co_await incoming.next();
                REQUIRE(received);
                CHECK_FALSE(support::first_wrong(received->bytes(), place + count));
                count += received->bytes().size();
            }
            place += bytes.size();
        }
        CHECK(brought + cancelled == 500);
        CHECK(pool.leased() == 0);
    });
}

TEMPLATE_TEST_CASE("H14: nothing spins while connections wait for a buffer",
                   "[conformance][leases][H14]", COHO_TEST_KERNELS) {
    using kernel = support::counting<TestType>;
    const std::size_t count = GENERATE(1, 16);
    support::run_on<kernel>([=]() -> task<> {
        auto& pool = pool_of<kernel>(count);
        auto held = take_all_but(0, pool);
        std::vector<support::stream_pair<kernel>> pairs;
        std::vector<coho::result<lease>> received;
        for (int i = 0; i < 8; ++i) {
            auto pair = co_await connect_pair<kernel>();
            pairs.push_back(std::move(pair));
            received.emplace_back(errc::other);
        }
        coho::task_group group;
        for (std::size_t i = 0; i < pairs.size(); ++i) {
            co_await group.spawn(receive_one<kernel>, &pairs[i].server, &received[i]);
            auto sent = co_await pairs[i].client.write_all(as_bytes("x"));
            REQUIRE(sent);
        }
        while (pool.waiting() < pairs.size()) co_await coho::yield();
        const auto& waits = coho::scheduler<kernel>::current().kernel().waits;
        const int before = waits;
        co_await coho::sleep(100ms);
        // Some for what is under way; a loop that spins would ask hundreds of times.
        CHECK(waits - before < 50);
        held.pop_back();
        // In whatever order their bytes came.
        for (std::size_t served = 0; served < received.size();) {
            for (auto& each : received) {
                if (!each) continue;
                CHECK(as_text(each->bytes()) == "x");
                each = errc::other;
                ++served;
            }
            co_await coho::yield();
        }
        co_await group.join();
    });
}

#ifndef _WIN32
TEMPLATE_TEST_CASE("H14: a lease that ends on another thread lets others go on",
                   "[conformance][leases][H14]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        (void)pool_of<TestType>(1);
        auto first = co_await connect_pair<TestType>();
        auto second = co_await connect_pair<TestType>();
        auto from_first = first.server.incoming();
        auto from_second = second.server.incoming();
        for (int round = 0; round < 100; ++round) {
            auto sent = co_await first.client.write_all(as_bytes("1"));
            REQUIRE(sent);
            sent = co_await second.client.write_all(as_bytes("2"));
            REQUIRE(sent);
            auto received = co_await from_first.next();
            REQUIRE(received);
            std::thread reader([held = std::move(*received)]() mutable { held.reset(); });
            auto other = co_await from_second.next();
            CHECK(other);
            reader.join();
        }
    });
}
#endif
