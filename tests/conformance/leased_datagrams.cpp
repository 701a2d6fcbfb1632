// Datagrams on loan: no buffer belongs to a silent socket, and an empty pool loses no datagram.

#include "support/buffers.hpp"
#include "support/connected.hpp"
#include "support/datagram_race.hpp"
#include "support/kernels.hpp"

#include <array>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::as_text;
using coho::endpoint;
using coho::errc;
using coho::leased_datagram;
using coho::task;
using support::pool_of;
using support::reason_of;
using support::take_all_but;

namespace {

/// Who receives leases, and who sends to it.
template <class Backend>
struct inbox {
    using socket_type = coho::basic_udp_socket<Backend>;

    explicit inbox(endpoint where = endpoint::loopback(0))
        : socket(socket_type::bind(where).value()), sender(socket_type::bind(where).value()) {}

    task<> deliver(std::string_view text) {
        auto sent = co_await sender.send_to(as_bytes(text), socket.local_endpoint());
        REQUIRE(sent);
    }

    socket_type socket;
    socket_type sender;
    /// What receive_into() gave.
    coho::result<leased_datagram> received = errc::other;
};

template <class Backend>
task<> receive_into(inbox<Backend>* its) {
    auto incoming = its->socket.incoming();
    its->received = co_await incoming.next();
}
/// All buffers of the pool that can be had, once a kernel that holds some itself does so.
template <class Backend>
task<std::vector<coho::lease>> take_all_after_one(inbox<Backend>& its, coho::buffer_pool& pool) {
    auto incoming = its.socket.incoming();
    co_await its.deliver("so that a kernel holds buffers");
    auto first = co_await incoming.next();
    REQUIRE(first);
    first = errc::other;
    co_return take_all_but(0, pool);
}
template <class Backend>
task<> until_received(const inbox<Backend>& its) {
    while (!its.received) co_await coho::yield();
}

/// Has one more wait for a buffer, whose datagram is there.
template <class Backend>
task<> wait_for_buffer(inbox<Backend>& its, std::string_view text, coho::task_group& group) {
    const auto& pool = coho::scheduler<Backend>::current().buffers();
    const auto before = pool.waiting();
    co_await its.deliver(text);
    co_await group.spawn(receive_into<Backend>, &its);
    while (pool.waiting() == before) co_await coho::yield();
}

template <class Backend>
task<> echo_leased_datagrams(coho::basic_udp_socket<Backend>* socket, int count) {
    auto incoming = socket->incoming();
    for (int i = 0; i < count; ++i) {
        auto asked = co_await incoming.next();
        REQUIRE(asked);
        auto answered = co_await socket->send_to(std::move(asked->lease), asked->from);
        REQUIRE(answered);
    }
}

}  // namespace

TEMPLATE_TEST_CASE("leased datagrams: come whole, one by one, and tell who sent them",
                   "[conformance][leases][datagrams]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(2, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        const endpoint any_v6{coho::ip_address::loopback(coho::address_family::ipv6), 0};
        for (const auto where : {endpoint::loopback(0), any_v6}) {
            inbox<TestType> its(where);
            auto incoming = its.socket.incoming();
            co_await its.deliver("one");
            co_await its.deliver("second");
            auto first = co_await incoming.next();
            REQUIRE(first);
            auto second = co_await incoming.next();
            REQUIRE(second);
            CHECK(as_text(first->bytes()) == "one");
            CHECK(first->from == its.sender.local_endpoint());
            CHECK_FALSE(first->truncated);
            CHECK(as_text(second->bytes()) == "second");
            CHECK(second->from == its.sender.local_endpoint());
            CHECK(pool.leased() == 2);
        }
        CHECK(pool.leased() == 0);
    });
}

TEMPLATE_TEST_CASE("leased datagrams: one that does not fit is flagged, and the next is whole",
                   "[conformance][leases][datagrams]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        (void)pool_of<TestType>(count, 4);
        inbox<TestType> its;
        auto incoming = its.socket.incoming();
        for (const auto* text : {"longer", "fits", "too long"}) co_await its.deliver(text);
        for (const auto* text : {"long", "fits", "too "}) {
            auto received = co_await incoming.next();
            REQUIRE(received);
            CHECK(as_text(received->bytes()) == text);
            CHECK(received->truncated == (std::string_view(text) != "fits"));
            CHECK(received->from == its.sender.local_endpoint());
        }
    });
}

TEMPLATE_TEST_CASE("leased datagrams: an empty one is a datagram too, and has a buffer",
                   "[conformance][leases][datagrams]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        inbox<TestType> its;
        auto incoming = its.socket.incoming();
        for (const bool waits_already : {true, false, true}) {
            coho::task_group group;
            if (waits_already) co_await group.spawn(receive_into<TestType>, &its);
            co_await support::let_turns_pass();
            co_await its.deliver("");
            if (!waits_already) co_await group.spawn(receive_into<TestType>, &its);
            co_await group.join();
            REQUIRE(its.received);
            CHECK(its.received->bytes().empty());
            CHECK(its.received->lease.room().size() == pool.buffer_size());
            CHECK(its.received->from == its.sender.local_endpoint());
            CHECK_FALSE(its.received->truncated);
            CHECK(pool.leased() == 1);
            its.received = errc::other;
            co_await its.deliver("next");
            auto next = co_await incoming.next();
            REQUIRE(next);
            CHECK(as_text(next->bytes()) == "next");
        }
        CHECK(pool.leased() == 0);
    });
}

TEMPLATE_TEST_CASE("leased datagrams: are sent back as they came, and go home",
                   "[conformance][leases][datagrams]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count, 70'000);
        inbox<TestType> its;
        std::array<std::byte, 100> buffer;
        const std::array<std::string, 3> texts{"first", "", "second"};
        coho::task_group server;
        co_await server.spawn(echo_leased_datagrams<TestType>, &its.socket, int(texts.size()));
        for (const auto& text : texts) {
            co_await its.deliver(text);
            auto answer = co_await its.sender.receive_from(buffer);
            REQUIRE(answer);
            CHECK(as_text(answer->bytes) == text);
            CHECK(answer->from == its.socket.local_endpoint());
        }
        co_await server.join();
        CHECK(pool.leased() == 0);

        // What was written into the buffer, without what was taken away in front.
        auto own = co_await pool.take();
        REQUIRE(own);
        own->room()[0] = own->room()[1] = std::byte('x');
        own->fill(2);
        own->remove_prefix(1);
        auto sending = its.socket.send_to(std::move(*own), its.sender.local_endpoint());
        auto sent = co_await sending;
        CHECK(sent);
        CHECK(pool.leased() == 0);
        auto short_one = co_await its.sender.receive_from(buffer);
        REQUIRE(short_one);
        CHECK(as_text(short_one->bytes) == "x");

        auto too_long = co_await pool.take();
        REQUIRE(too_long);
        too_long->fill(65'508);
        sent = co_await its.socket.send_to(std::move(*too_long), its.sender.local_endpoint());
        CHECK(reason_of(sent) == errc::message_too_large);
        CHECK(pool.leased() == 0);
    });
}

TEMPLATE_TEST_CASE("H14: one buffer serves many sockets, and no datagram is lost",
                   "[conformance][leases][datagrams][H14]", COHO_TEST_KERNELS) {
    const std::size_t buffers = GENERATE(1, 8);
    support::run_on<TestType>([=]() -> task<> {
        constexpr int sockets = 32, rounds = 20;
        auto& pool = pool_of<TestType>(buffers);
        const auto ask = [](inbox<TestType>* its, int number) -> task<> {
            std::array<std::byte, 100> buffer;
            for (int round = 0; round < rounds; ++round) {
                const auto question = std::to_string(number) + ':' + std::to_string(round);
                co_await its->deliver(question);
                auto answer = co_await its->sender.receive_from(buffer);
                REQUIRE(answer);
                CHECK(as_text(answer->bytes) == question);
            }
        };
        std::vector<inbox<TestType>> all;
        all.reserve(sockets);
        coho::task_group group;
        for (int i = 0; i < sockets; ++i) {
            auto& its = all.emplace_back();
            co_await group.spawn(echo_leased_datagrams<TestType>, &its.socket, rounds);
            co_await group.spawn(ask, &its, i);
        }
        co_await group.join();
        CHECK(pool.leased() == 0);
        CHECK(pool.waiting() == 0);
        CHECK(pool.idle() + pool.lent() == buffers);
    });
}

TEMPLATE_TEST_CASE("H14: a silent socket holds no buffer", "[conformance][leases][datagrams][H14]",
                   COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        const auto held = take_all_but(1, pool);
        std::vector<inbox<TestType>> all(20);
        coho::task_group group;
        for (auto& each : all) co_await group.spawn(receive_into<TestType>, &each);
        co_await support::let_turns_pass();
        CHECK(pool.leased() == held.size());
        co_await all[7].deliver("hello");
        co_await until_received(all[7]);
        CHECK(as_text(all[7].received->bytes()) == "hello");
        all[7].received = errc::other;
        // It has received once, and is silent again.
        co_await group.spawn(receive_into<TestType>, &all[7]);
        co_await support::let_turns_pass();
        CHECK(pool.leased() == held.size());
        group.request_stop();
        co_await group.join();
        CHECK(pool.leased() == held.size());
        for (const auto& each : all) CHECK(reason_of(each.received) == errc::cancelled);
    });
}

TEMPLATE_TEST_CASE("H14: sockets that wait for a buffer are served in turn, and nothing is lost",
                   "[conformance][leases][datagrams][H14]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        auto held = take_all_but(0, pool);
        inbox<TestType> greedy, modest;
        coho::task_group group;
        co_await wait_for_buffer(greedy, "first", group);
        co_await wait_for_buffer(modest, "second", group);
        for (int i = 0; i < 50; ++i) co_await greedy.deliver(std::to_string(i));
        held.pop_back();
        co_await until_received(greedy);
        auto first = std::exchange(greedy.received, errc::other);
        CHECK(as_text(first->bytes()) == "first");
        // More for the one who was served, but it is the other's turn.
        co_await wait_for_buffer(greedy, "last", group);
        first = errc::other;
        co_await until_received(modest);
        CHECK(as_text(modest.received->bytes()) == "second");
        CHECK(reason_of(greedy.received) == errc::other);
        modest.received = errc::other;
        co_await group.join();
        auto incoming = greedy.socket.incoming();
        for (int i = 0; i < 50; ++i) {
            REQUIRE(greedy.received);
            CHECK(as_text(greedy.received->bytes()) == std::to_string(i));
            greedy.received = errc::other;
            greedy.received = co_await incoming.next();
        }
        REQUIRE(greedy.received);
        CHECK(as_text(greedy.received->bytes()) == "last");
    });
}

TEMPLATE_TEST_CASE("H14: who waits for a buffer stops when asked, and its datagram stays",
                   "[conformance][leases][datagrams][H14]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        auto held = take_all_but(0, pool);
        inbox<TestType> its;
        auto incoming = its.socket.incoming();
        coho::task_group group;
        co_await wait_for_buffer(its, "patience", group);
        group.request_stop();
        co_await group.join();
        CHECK(reason_of(its.received) == errc::cancelled);
        CHECK(pool.waiting() == 0);
        held.pop_back();
        auto later = co_await incoming.next();
        REQUIRE(later);
        CHECK(as_text(later->bytes()) == "patience");
        auto nothing = co_await coho::timeout(1ms, incoming.next());
        CHECK(reason_of(nothing) == errc::timed_out);
    });
}

TEMPLATE_TEST_CASE("H14: a socket that is closed lets go who waits, for a buffer or a datagram",
                   "[conformance][leases][datagrams][H14]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        auto held = take_all_but(0, pool);
        inbox<TestType> waiting, silent;
        coho::task_group group;
        co_await group.spawn(receive_into<TestType>, &silent);
        co_await wait_for_buffer(waiting, "in vain", group);
        co_await waiting.socket.close();
        co_await silent.socket.close();
        co_await group.join();
        CHECK(reason_of(waiting.received) == errc::cancelled);
        CHECK(reason_of(silent.received) == errc::cancelled);
        CHECK(pool.waiting() == 0);
        CHECK(pool.leased() == held.size());
        auto incoming = silent.socket.incoming();
        auto closed = co_await incoming.next();
        CHECK(reason_of(closed) == errc::closed);
    });
}

// io_uring picks no buffer for it, and so needs one once it was received.
TEMPLATE_TEST_CASE("H14: an empty datagram waits for a buffer as others do, and may be stopped",
                   "[conformance][leases][datagrams][H14]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto& pool = pool_of<TestType>(16);
        inbox<TestType> its;
        auto incoming = its.socket.incoming();
        auto held = co_await take_all_after_one(its, pool);
        for (const bool stopped : {true, false}) {
            its.received = errc::other;
            coho::task_group group;
            co_await group.spawn(receive_into<TestType>, &its);
            co_await support::let_turns_pass();
            co_await its.deliver("");
            co_await support::let_turns_pass();
            if (stopped) group.request_stop();
            else held.pop_back();
            co_await group.join();
            if (!stopped) REQUIRE(its.received);
            if (its.received) {
                CHECK(its.received->bytes().empty());
                CHECK(its.received->lease.room().size() == pool.buffer_size());
            } else {
                CHECK(reason_of(its.received) == errc::cancelled);
            }
            its.received = errc::other;
            CHECK(pool.waiting() == 0);
            CHECK(pool.leased() == held.size());
        }
        held.clear();
        co_await its.deliver("more");
        // An empty one whose receive was stopped may have stayed.
        auto next = co_await incoming.next();
        while (next && next->bytes().empty()) {
            next = errc::other;
            next = co_await incoming.next();
        }
        REQUIRE(next);
        CHECK(as_text(next->bytes()) == "more");
    });
}

TEMPLATE_TEST_CASE("H2: an empty datagram that is stopped once it has its buffer is not lost",
                   "[conformance][leases][datagrams][H2]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto& pool = pool_of<TestType>(16);
        inbox<TestType> its;
        auto incoming = its.socket.incoming();
        auto held = co_await take_all_after_one(its, pool);
        coho::task_group group;
        co_await group.spawn(receive_into<TestType>, &its);
        co_await support::let_turns_pass();
        co_await its.deliver("");
        co_await support::let_turns_pass();
        held.pop_back();
        group.request_stop();
        co_await group.join();
        if (!its.received) {
            CHECK(reason_of(its.received) == errc::cancelled);
            its.received = co_await coho::timeout(5s, incoming.next());
        }
        REQUIRE(its.received);
        CHECK(its.received->bytes().empty());
    });
}

TEMPLATE_TEST_CASE("H2: a leased datagram that comes as it is stopped is not lost",
                   "[conformance][leases][datagrams][H2]", COHO_TEST_KERNELS) {
    const std::size_t count = GENERATE(1, 16);
    support::run_on<TestType>([=]() -> task<> {
        auto& pool = pool_of<TestType>(count);
        inbox<TestType> its;
        auto peer = support::peer_of<TestType>::bound(coho::socket_kind::datagram);
        peer.connect(its.socket.local_endpoint());
        auto receive = [&]() -> task<bool> {
            auto incoming = its.socket.incoming();
            auto datagram = co_await incoming.next();
            if (datagram) CHECK(as_text(datagram->bytes()) == "x");
            co_return bool(datagram);
        };
        co_await support::race_datagrams_with_stops(600, peer, receive);
        CHECK(pool.leased() == 0);
    });
}

TEMPLATE_TEST_CASE("H14: nothing spins while sockets wait for a buffer",
                   "[conformance][leases][datagrams][H14]", COHO_TEST_KERNELS) {
    using kernel = support::counting<TestType>;
    const std::size_t count = GENERATE(1, 16);
    support::run_on<kernel>([=]() -> task<> {
        auto& pool = pool_of<kernel>(count);
        auto held = take_all_but(0, pool);
        std::vector<inbox<kernel>> all(8);
        coho::task_group group;
        for (auto& each : all) {
            co_await group.spawn(receive_into<kernel>, &each);
            co_await each.deliver("x");
        }
        while (pool.waiting() < all.size()) co_await coho::yield();
        const auto& waits = coho::scheduler<kernel>::current().kernel().waits;
        const int before = waits;
        co_await coho::sleep(100ms);
        // Some for what is under way; a loop that spins would ask hundreds of times.
        CHECK(waits - before < 50);
        held.pop_back();
        // In whatever order they came.
        for (std::size_t served = 0; served < all.size();) {
            for (auto& each : all) {
                if (!each.received) continue;
                CHECK(as_text(each.received->bytes()) == "x");
                each.received = errc::other;
                ++served;
            }
            co_await coho::yield();
        }
        co_await group.join();
    });
}

#ifndef _WIN32
TEMPLATE_TEST_CASE("H14: a leased datagram that ends on another thread lets others go on",
                   "[conformance][leases][datagrams][H14]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        (void)pool_of<TestType>(1);
        inbox<TestType> first, second;
        auto from_first = first.socket.incoming();
        auto from_second = second.socket.incoming();
        for (int round = 0; round < 100; ++round) {
            co_await first.deliver("1");
            co_await second.deliver("2");
            auto received = co_await from_first.next();
            REQUIRE(received);
            std::thread reader([held = std::move(received->lease)]() mutable { held.reset(); });
            auto other = co_await from_second.next();
            CHECK(other);
            reader.join();
        }
    });
}
#endif
