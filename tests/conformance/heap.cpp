// What the heap is asked for: nothing by an echo, next to nothing by a connection. A program of its
// own, for it counts every operator new.

#include "support/allocations.hpp"
#include "support/connected.hpp"
#include "support/kernels.hpp"
#include "support/temporary_file.hpp"

#include <array>
#include <new>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::task;

namespace {

template <class Backend>
task<> echo(coho::basic_tcp_stream<Backend> stream) {
    std::array<std::byte, 4096> buffer;
    while (auto received = co_await coho::timeout(30s, stream.read_some(buffer))) {
        auto sent = co_await stream.write_all(std::span(buffer).first(*received));
        if (!sent) break;
    }
}

template <class Backend>
task<> echo_leases(coho::basic_tcp_stream<Backend> stream) {
    auto incoming = stream.incoming();
    while (auto received = co_await coho::timeout(30s, incoming.next())) {
        auto sent = co_await stream.write_all(std::move(*received));
        if (!sent) break;
    }
}

template <class Backend>
task<bool> ask(coho::basic_tcp_stream<Backend>& stream) {
    std::array<std::byte, 64> question{};
    std::array<std::byte, 64> answer;
    auto sent = co_await coho::timeout(30s, stream.write_all(question));
    auto received = co_await coho::timeout(30s, stream.read_exactly(answer));
    co_return sent && received;
}

/// Echoes go on until there is nothing to warm up any more, then some are counted.
template <class Backend>
task<> count_echoes(task<> (*serve)(coho::basic_tcp_stream<Backend>)) {
    constexpr int warm = 100, counted = 1000;
    auto pair = co_await support::connect_pair<Backend>();
    coho::task_group connections;
    int answered = 0;
    co_await connections.spawn(serve, std::move(pair.server));
    for (int i = 0; i < warm; ++i) answered += co_await ask<Backend>(pair.client);
    const auto before = support::allocations();
    for (int i = 0; i < counted; ++i) answered += co_await ask<Backend>(pair.client);
    const auto made = support::allocations() - before;
    co_await pair.client.close();
    co_await connections.join();
    CHECK(answered == warm + counted);
    CHECK(made == 0);
}

/// Batches that a socket sends to itself and sends on as it received them.
template <class Backend>
task<> count_batches() {
    constexpr int warm = 100, counted = 1000;
    constexpr std::size_t size = 200;
    auto socket = coho::basic_udp_socket<Backend>::bind(coho::endpoint::loopback(0)).value();
    auto batches = socket.batches();
    std::vector<std::byte> bytes(70 * size), buffer(65'535);
    std::size_t moved = 0;
    std::size_t before = 0;
    for (int i = 0; i < warm + counted; ++i) {
        if (i == warm) before = support::allocations();
        auto sent = co_await batches.send(bytes, size, socket.local_endpoint());
        if (!sent) break;
        for (std::size_t left = bytes.size(); left > 0;) {
            auto batch = co_await coho::timeout(30s, batches.receive(buffer));
            if (!batch) break;
            left -= batch->bytes.size();
            moved += batch->count();
        }
    }
    const auto made = support::allocations() - before;
    CHECK(moved == 70 * (warm + counted));
    CHECK(made == 0);
}

/// A file that goes out again and again.
template <class Backend>
task<> count_files() {
    constexpr int warm = 100, counted = 1000;
    const support::temporary_file made(20'000);
    const auto source = coho::file::open(made.path()).value();
    auto pair = co_await support::connect_pair<Backend>();
    std::vector<std::byte> bytes(20'000);
    int sent_whole = 0;
    std::size_t before = 0;
    for (int i = 0; i < warm + counted; ++i) {
        if (i == warm) before = support::allocations();
        auto sent = co_await coho::timeout(30s, pair.server.send_file(source));
        auto received = co_await coho::timeout(30s, pair.client.read_exactly(bytes));
        sent_whole += sent && received;
    }
    const auto allocated = support::allocations() - before;
    CHECK(sent_whole == warm + counted);
    CHECK(allocated == 0);
}

/// Datagrams that a socket sends to itself, and sends on in the buffer that they came in.
template <class Backend>
task<> count_leased_datagrams() {
    constexpr int warm = 100, counted = 1000;
    auto socket = coho::basic_udp_socket<Backend>::bind(coho::endpoint::loopback(0)).value();
    const auto where = socket.local_endpoint();
    auto incoming = socket.incoming();
    const std::array<std::byte, 64> bytes{};
    auto sent = co_await socket.send_to(bytes, where);
    int moved = 0;
    std::size_t before = 0;
    for (int i = 0; i < warm + counted && sent; ++i) {
        if (i == warm) before = support::allocations();
        auto datagram = co_await coho::timeout(30s, incoming.next());
        if (!datagram) break;
        moved += datagram->bytes().size() == bytes.size();
        sent = co_await socket.send_to(std::move(datagram->lease), where);
    }
    const auto made = support::allocations() - before;
    CHECK(moved == warm + counted);
    CHECK(made == 0);
}

task<> nap() { co_await coho::sleep(1us); }

/// One connection as a server and its client know it: accepted, one echo, closed.
template <class Backend>
task<bool> serve_one(coho::basic_tcp_listener<Backend>& listener) {
    auto [connected, accepted] = co_await coho::when_all(
        coho::connect<Backend>(listener.local_endpoint()), listener.accept());
    if (!connected || !accepted) co_return false;
    coho::task_group connections;
    co_await connections.spawn(echo<Backend>, std::move(*accepted));
    const bool answered = co_await ask<Backend>(*connected);
    co_await connected->close();
    co_await connections.join();
    co_return answered;
}

/// Everything of a session that may lack memory: whether all of it went well.
template <class Backend>
task<> answer_one(bool* answered) {
    coho::task_group connections;
    bool echoed = false, spawned = false, read = false;
    try {
        auto bound = coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0));
        if (!bound) co_return;
        auto [connected, accepted] = co_await coho::when_all(
            coho::connect<Backend>(bound->local_endpoint()), bound->accept());
        if (!connected || !accepted) co_return;
        spawned = co_await connections.spawn(echo_leases<Backend>, std::move(*accepted));
        if (spawned) echoed = co_await ask<Backend>(*connected);
        if (echoed) {
            std::string line;
            auto sent = co_await connected->write_all(as_bytes("a line\n"));
            auto text = co_await coho::timeout(1s, connected->read_until(line, "\n", 100));
            read = sent && text;
        }
    } catch (const std::bad_alloc&) {
        echoed = false;
    }
    try {
        co_await connections.join();
        *answered = echoed && spawned && read;
    } catch (const std::bad_alloc&) {
    }
}

template <class Backend>
task<> count_connections() {
    constexpr int warm = 20, counted = 200;
    auto listener =
        coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    int answered = 0;
    for (int i = 0; i < warm; ++i) answered += co_await serve_one<Backend>(listener);
    const auto before = support::allocations();
    for (int i = 0; i < counted; ++i) answered += co_await serve_one<Backend>(listener);
    const auto made = support::allocations() - before;
    CHECK(answered == warm + counted);
    CHECK(made <= counted);
}

/// A client that sends on and on and never reads, until the server takes no more.
template <class Backend>
task<> count_while_full() {
    constexpr int warm = 100;
    constexpr std::size_t offered = 64 << 20;
    auto pair = co_await support::connect_pair<Backend>();
    coho::task_group connections;
    int answered = 0;
    co_await connections.spawn(echo<Backend>, std::move(pair.server));
    for (int i = 0; i < warm; ++i) answered += co_await ask<Backend>(pair.client);
    const std::vector<std::byte> bytes(100'000);
    const auto before = support::allocations();
    std::size_t taken = 0;
    std::size_t last = 1;
    while (last > 0 && taken < offered) {
        auto sent = co_await coho::timeout(100ms, pair.client.write_some(bytes));
        last = sent ? *sent : 0;
        taken += last;
    }
    const auto made = support::allocations() - before;
    co_await pair.client.close();
    co_await connections.join();
    CHECK(answered == warm);
    CHECK(taken < offered);
    CHECK(made == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("an echo with a timeout on each operation allocates nothing",
                   "[conformance][heap]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([] { return count_echoes<TestType>(echo<TestType>); });
}

TEMPLATE_TEST_CASE("an echo of leases allocates nothing", "[conformance][heap][leases]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([] { return count_echoes<TestType>(echo_leases<TestType>); });
}

TEMPLATE_TEST_CASE("batches of datagrams allocate nothing", "[conformance][heap][batches]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([] { return count_batches<TestType>(); });
}

TEMPLATE_TEST_CASE("files that are sent allocate nothing", "[conformance][heap][files]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([] { return count_files<TestType>(); });
}

TEMPLATE_TEST_CASE("leased datagrams allocate nothing", "[conformance][heap][leases]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([] { return count_leased_datagrams<TestType>(); });
}

TEMPLATE_TEST_CASE("children that come, sleep and end allocate nothing", "[conformance][heap]",
                   COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        const auto spawn_many = []() -> task<> {
            for (int round = 0; round < 100; ++round) {
                coho::task_group children;
                for (int i = 0; i < 8; ++i) co_await children.spawn(nap);
                auto ended = co_await coho::timeout(1ms, coho::sleep(1h));
                CHECK_FALSE(ended);
                co_await children.join();
            }
        };
        co_await spawn_many();
        const auto before = support::allocations();
        co_await spawn_many();
        CHECK(support::allocations() - before == 0);
    });
}

TEMPLATE_TEST_CASE("H11: a session ends well whichever of its allocations is denied",
                   "[conformance][heap][H11]", COHO_TEST_REAL_KERNELS) {
    int ended_badly = 0;
    bool denied = true;
    for (std::size_t number = 1; denied; ++number) {
        const auto descriptors = support::open_descriptors();
        bool answered = false;
        {
            coho::scheduler<TestType> loop;
            const auto before = support::allocations();
            support::fail_allocation(number);
            try {
                (void)loop.run([&] { return answer_one<TestType>(&answered); });
            } catch (const std::bad_alloc&) {
            }
            support::fail_allocation(0);
            denied = support::allocations() - before >= number;
            CHECK(loop.frames().live() == 0);
        }
        CHECK(support::open_descriptors() == descriptors);
        // Without some, such as a ring of buffers, it does as well.
        if (!answered) ++ended_badly;
    }
    CHECK(ended_badly > 2);
}

TEMPLATE_TEST_CASE("H29: a client that never reads costs a server no memory",
                   "[conformance][heap][H29]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([] { return count_while_full<TestType>(); });
}

TEMPLATE_TEST_CASE("a short connection allocates once at most, its client included",
                   "[conformance][heap]", COHO_TEST_REAL_KERNELS) {
    support::run_on<TestType>([] { return count_connections<TestType>(); });
}
