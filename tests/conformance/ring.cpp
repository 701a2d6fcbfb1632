// What io_uring alone has: queues that can be full or overflow, and features that may be missing.

#include "support/buffers.hpp"
#include "support/connected.hpp"
#include "support/kernels.hpp"
#include "support/temporary_file.hpp"

#include <array>
#include <vector>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::endpoint;
using coho::errc;
using coho::task;
using support::reason_of;

namespace {

using ring_options = coho::io_uring::options;

/// Counts the ways in which waiting for the same descriptor can end.
struct handed_back {
    int ready = 0;
    int cancelled = 0;
};
task<> await_bytes(coho::handle watched, handed_back* count) {
    auto end = coho::basic_foreign_handle<coho::io_uring>::watch(watched).value();
    auto readable = co_await end.readable();
    if (readable) ++count->ready;
    else if (readable.error() == errc::cancelled) ++count->cancelled;
}

/// Accepts, echoes, times out and cancels: all that the features have a part in.
task<> use_all(ring_options options) {
    auto listener = coho::basic_tcp_listener<coho::io_uring>::bind(endpoint::loopback(0)).value();
    auto [accepted, connected] = co_await coho::when_all(
        listener.accept(), coho::connect<coho::io_uring>(listener.local_endpoint()));
    const auto text = support::counting_bytes(1 << 20);
    for (int round = 0; round < 3; ++round) {
        auto [sent, received] =
            co_await coho::when_all(accepted->write_all(as_bytes(text)),
                                    support::receive_text(*connected, text.size()));
        CHECK(sent);
        CHECK(received == text);
    }
    std::array<std::byte, 16> buffer;
    auto nothing = co_await coho::timeout(5ms, connected->read_some(buffer));
    CHECK(reason_of(nothing) == errc::timed_out);

    // Buffers that the kernel holds, so that it can pick one.
    auto sent = co_await accepted->write_all(as_bytes("lent"));
    CHECK(sent);
    auto incoming = connected->incoming();
    auto received = co_await incoming.next();
    REQUIRE(received);
    CHECK(coho::as_text(received->bytes()) == "lent");
    const auto& pool = coho::scheduler<coho::io_uring>::current().buffers();
    CHECK((pool.lent() > 0) == options.buffer_ring);

    // Nobody asks for these, so only one submission for many connections takes them.
    std::vector<support::raw_socket> others;
    const auto before = support::open_descriptors();
    for (int i = 0; i < 3; ++i) {
        others.push_back(support::raw_socket::connected_to(listener.local_endpoint()));
    }
    co_await support::let_turns_pass();
    const bool unasked = support::open_descriptors() > before + others.size();
    CHECK(unasked == options.multishot_accept);
    for (auto& each : others) {
        auto next = co_await listener.accept();
        each.send("x");
        const auto byte = co_await support::receive_text(*next, 1);
        CHECK(byte == "x");
    }
}

task<> read_lease(coho::basic_tcp_stream<coho::io_uring>* stream) {
    auto incoming = stream->incoming();
    auto received = co_await incoming.next();
    CHECK(received);
}

using counted = support::counting<coho::io_uring>;

task<> send_whole(coho::basic_tcp_stream<counted>* stream, const coho::file* source,
                  std::uint64_t size) {
    auto sent = co_await stream->send_file(*source);
    CHECK(reason_of(sent) == errc::none);
    CHECK(*sent == size);
}

}  // namespace

TEMPLATE_TEST_CASE("H15: completions that overflow their queue come, also while others work",
                   "[conformance][ring][H15]", support::io_uring) {
    static constexpr int operations = 10'000;
    const auto overflow = []() -> task<> {
        auto listener = support::raw_socket::listening();
        auto writer = support::raw_socket::connected_to(listener.local_endpoint());
        auto reader = listener.accept();
        coho::task_group group;
        handed_back count;
        for (int i = 0; i < operations; ++i) {
            co_await group.spawn(await_bytes, static_cast<coho::handle>(reader.descriptor()),
                                 &count);
        }
        co_await support::let_turns_pass();
        CHECK(count.ready == 0);
        writer.send("all of them are ready now");
        // A loop that has others to resume never waits, and waiting is what brings the rest.
        int turns = 0;
        for (; count.ready < operations && turns < 100'000; ++turns) co_await coho::yield();
        CHECK(turns < 100'000);
        co_await group.join();
        CHECK(count.ready == operations);
        CHECK(count.cancelled == 0);
    };
    for (const unsigned entries : {2u, 512u}) {
        support::run_with<coho::io_uring>({.entries = entries}, overflow);
    }
}

TEMPLATE_TEST_CASE("H16: a queue with room for two holds a thousand operations and their cancels",
                   "[conformance][ring][H16]", support::io_uring) {
    static constexpr int operations = 1'000;
    const auto fill_up = []() -> task<> {
        auto listener = support::raw_socket::listening();
        auto writer = support::raw_socket::connected_to(listener.local_endpoint());
        auto reader = listener.accept();
        coho::task_group group;
        handed_back count;
        for (int i = 0; i < operations; ++i) {
            co_await group.spawn(await_bytes, static_cast<coho::handle>(reader.descriptor()),
                                 &count);
        }
        co_await support::let_turns_pass();
        group.request_stop();
        co_await group.join();
        CHECK(count.ready == 0);
        CHECK(count.cancelled == operations);
    };
    support::run_with<coho::io_uring>({.entries = 2}, fill_up);
}

TEMPLATE_TEST_CASE("H24: io_uring serves without any of its features, and does leave them out",
                   "[conformance][ring][H24]", support::io_uring) {
    for (const bool deferred : {true, false}) {
        for (const bool multishot : {true, false}) {
            for (const bool buffers : {true, false}) {
                for (const unsigned entries : {512u, 2u}) {
                    CAPTURE(deferred, multishot, buffers, entries);
                    ring_options options;
                    options.deferred_task_work = deferred;
                    options.multishot_accept = multishot;
                    options.buffer_ring = buffers;
                    options.entries = entries;
                    support::run_with<coho::io_uring>(options, [=] { return use_all(options); });
                }
            }
        }
    }
}

// Where the queue is full, what is submitted may complete before the next is looked at.
TEMPLATE_TEST_CASE("H30: each of many files moves by one step in a turn of the loop",
                   "[conformance][ring][H30]", support::io_uring) {
    static constexpr std::uint64_t pieces = 32;
    static constexpr std::size_t size_of_piece = 512;
    static constexpr int files = 100;
    const support::temporary_file made(pieces * size_of_piece);
    support::run_with<counted>({.entries = 32}, [&]() -> task<> {
        support::pool_of<counted>(files, size_of_piece);
        auto source = coho::file::open(made.path());
        REQUIRE(source);
        std::vector<support::stream_pair<counted>> pairs;
        for (int i = 0; i < files; ++i) {
            auto pair = co_await support::connect_pair<counted>();
            pairs.push_back(std::move(pair));
        }
        const int& turns = coho::scheduler<counted>::current().kernel().waits;
        const int before = turns;
        coho::task_group group;
        for (auto& each : pairs) {
            co_await group.spawn(send_whole, &each.server, &*source, pieces * size_of_piece);
        }
        co_await group.join();
        // It is read, and sent.
        CHECK(turns - before >= 2 * static_cast<int>(pieces));
    });
}

TEMPLATE_TEST_CASE("io_uring is lent as many buffers as a burst has wanted, which stay warm",
                   "[conformance][ring][leases]", support::io_uring) {
    support::run_with<coho::io_uring>({}, []() -> task<> {
        constexpr std::size_t streams = 64;
        const auto& pool = support::pool_of<coho::io_uring>(1024, 64);
        std::vector<support::stream_and_peer<coho::io_uring>> links;
        for (std::size_t i = 0; i < streams; ++i) {
            auto link = co_await support::accept_peer<coho::io_uring>();
            links.push_back(std::move(link));
        }
        for (int burst = 0; burst < 10; ++burst) {
            coho::task_group group;
            for (auto& each : links) co_await group.spawn(read_lease, &each.stream);
            co_await support::let_turns_pass();
            for (auto& each : links) each.peer.send("x");
            co_await group.join();
        }
        CHECK(pool.lent() <= 2 * streams);
    });
}

// Until Linux 6.0 no size means no bytes: the end of a stream that goes on, and a datagram lost.
TEMPLATE_TEST_CASE("H24: a receive whose buffer the kernel picks names its size",
                   "[conformance][ring][H24]", support::io_uring) {
    coho::scheduler<coho::io_uring> loop;
    auto& pool = loop.buffers();
    const coho::handle socket{7};
    io_uring_sqe entry{};
    coho::request::receive_leased of_stream{socket, &pool};
    coho::ring_state<coho::request::receive_leased> stream;
    stream.asked = &of_stream;
    coho::prepare_submission(entry, stream);
    CHECK(entry.opcode == IORING_OP_RECV);
    CHECK(entry.len == pool.buffer_size());
    coho::request::receive_from_leased of_datagram{socket, &pool};
    coho::ring_state<coho::request::receive_from_leased> datagram;
    datagram.asked = &of_datagram;
    coho::prepare_submission(entry, datagram);
    CHECK(entry.opcode == IORING_OP_RECVMSG);
    CHECK(reinterpret_cast<const msghdr*>(entry.addr)->msg_iov->iov_len == pool.buffer_size());
}
