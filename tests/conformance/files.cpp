// Files that go out by streams: whole, in parts, stopped, and to peers that do not read.

#include "support/buffers.hpp"
#include "support/connected.hpp"
#include "support/kernels.hpp"
#include "support/stream_bytes.hpp"
#include "support/temporary_file.hpp"

#include <array>
#include <filesystem>
#include <optional>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#endif

using namespace std::chrono_literals;
using coho::errc;
using coho::file;
using coho::task;
using support::connect_pair;
using support::message_of;
using support::pool_of;
using support::reason_of;
using support::temporary_file;

namespace {

/// More than the system takes from who does not read.
constexpr std::uint64_t endless = std::uint64_t(64) << 20;

struct part {
    std::uint64_t offset = 0;
    std::uint64_t count = ~std::uint64_t(0);
};

template <class Backend>
task<coho::result<std::uint64_t>> send_part(coho::basic_tcp_stream<Backend>& stream,
                                            const file& source, part which) {
    auto sent = co_await stream.send_file(source, which.offset, which.count);
    CHECK(stream.shutdown_send());
    co_return sent;
}

/// Reads to the end, and gives the count of bytes, which are those of the file from there on.
template <class Backend>
task<std::uint64_t> read_part(coho::basic_tcp_stream<Backend>& stream, std::uint64_t from,
                              bool slowly) {
    // Seldom enough for a busy machine, where each look at the kernel can cost a slice of time.
    constexpr std::uint64_t between_pauses = 64 << 10;
    std::array<std::byte, 5'000> bytes;
    std::uint64_t count = 0, paused = 0;
    while (auto received = co_await stream.read_some(bytes)) {
        const auto wrong =
            support::first_wrong(std::span(bytes).first(*received), from + count);
        REQUIRE_FALSE(wrong);
        count += *received;
        if (slowly && count - paused >= between_pauses) {
            paused = count;
            co_await support::let_turns_pass();
        }
    }
    co_return count;
}

/// What arrives of a part of a file is it, and what send_file gives is its size.
template <class Backend>
task<> check_part(const file* source, part which, std::uint64_t expected, bool slowly = false) {
    auto pair = co_await connect_pair<Backend>();
    auto [sent, received] =
        co_await coho::when_all(send_part<Backend>(pair.server, *source, which),
                                read_part<Backend>(pair.client, which.offset, slowly));
    CHECK(reason_of(sent) == errc::none);
    CHECK(*sent == expected);
    CHECK(received == expected);
}

/// Sends a file, and tells what came of it.
template <class Backend>
task<> send_to_end(coho::basic_tcp_stream<Backend>* stream, const file* source,
                   std::optional<coho::result<std::uint64_t>>* sent) {
    *sent = co_await stream->send_file(*source);
}

}  // namespace

TEMPLATE_TEST_CASE("H17: a file arrives whole, whatever its size", "[conformance][files][H17]",
                   COHO_TEST_KERNELS) {
    const std::size_t size = GENERATE(0, 1, (64 << 10) + 1, 1 << 20);
    const temporary_file made(size);
    support::run_on<TestType>([&]() -> task<> {
        auto source = file::open(made.path());
        REQUIRE(source);
        CHECK(source->size().value() == size);
        co_await check_part<TestType>(&*source, {}, size);
        // What it is asked for once more, it has once more.
        co_await check_part<TestType>(&*source, {0, size}, size);
    });
}

TEMPLATE_TEST_CASE("H17: a file arrives whole at a peer that reads slowly",
                   "[conformance][files][H17]", COHO_TEST_KERNELS) {
    const std::size_t size = support::is_simulated<TestType> ? 1 << 20 : 8 << 20;
    const temporary_file made(size);
    support::run_on<TestType>([&]() -> task<> {
        auto source = file::open(made.path());
        REQUIRE(source);
        co_await check_part<TestType>(&*source, {}, size, true);
    });
}

TEMPLATE_TEST_CASE("a part of a file is sent, and no more than there is", "[conformance][files]",
                   COHO_TEST_KERNELS) {
    constexpr std::uint64_t size = 100'000;
    const temporary_file made(size);
    support::run_on<TestType>([&]() -> task<> {
        auto source = file::open(made.path());
        REQUIRE(source);
        co_await check_part<TestType>(&*source, {10, 1'000}, 1'000);
        co_await check_part<TestType>(&*source, {65'530, 20}, 20);
        co_await check_part<TestType>(&*source, {99'999}, 1);
        co_await check_part<TestType>(&*source, {50'000, 0}, 0);
        co_await check_part<TestType>(&*source, {50'000, size}, size - 50'000);
        co_await check_part<TestType>(&*source, {size}, 0);
        co_await check_part<TestType>(&*source, {std::uint64_t(1) << 40}, 0);
        co_await check_part<TestType>(&*source, {std::uint64_t(1) << 62}, 0);
    });
}

TEMPLATE_TEST_CASE("no room is waited for where a file has nothing to send",
                   "[conformance][files]", COHO_TEST_KERNELS) {
    const temporary_file made(100);
    support::run_on<TestType>([&]() -> task<> {
        auto source = file::open(made.path());
        REQUIRE(source);
        auto pair = co_await connect_pair<TestType>();
        const std::vector<std::byte> more_than_fits(16 << 20);
        auto filled = co_await coho::timeout(50ms, pair.server.write_all(more_than_fits));
        CHECK(reason_of(filled) == errc::timed_out);
        auto sent = co_await coho::timeout(1s, pair.server.send_file(*source, 100));
        REQUIRE(sent);
        CHECK(*sent == 0);
    });
}

TEMPLATE_TEST_CASE("a part that no file can have is refused", "[conformance][files]",
                   COHO_TEST_KERNELS) {
    const temporary_file made(100);
    support::run_on<TestType>([&]() -> task<> {
        auto source = file::open(made.path());
        REQUIRE(source);
        auto pair = co_await connect_pair<TestType>();
        auto sent = co_await pair.server.send_file(*source, ~std::uint64_t(0), 1);
        CHECK(reason_of(sent) == errc::invalid_argument);
        sent = co_await pair.server.send_file(*source);
        CHECK(reason_of(sent) == errc::none);
    });
}

TEMPLATE_TEST_CASE("H17: what a file gains or loses after it was opened counts",
                   "[conformance][files][H17]", COHO_TEST_KERNELS) {
    const temporary_file made(0);
    support::run_on<TestType>([&]() -> task<> {
        auto source = file::open(made.path());
        REQUIRE(source);
        auto pair = co_await connect_pair<TestType>();
        for (const std::uint64_t size : {30'000, 10'000}) {
            made.resize(size);
            CHECK(source->size().value() == size);
            auto sent = co_await pair.server.send_file(*source);
            REQUIRE(sent);
            CHECK(*sent == size);
            const auto text = co_await support::receive_text(pair.client, size);
            CHECK(text == std::string(size, '\0'));
        }
    });
}

TEMPLATE_TEST_CASE("files and writes arrive in the order in which they were sent",
                   "[conformance][files]", COHO_TEST_KERNELS) {
    const temporary_file made(3);
    support::run_on<TestType>([&]() -> task<> {
        auto source = file::open(made.path());
        REQUIRE(source);
        std::array<std::byte, 3> bytes;
        support::fill(bytes, 0);
        const auto text = std::string(coho::as_text(bytes));
        auto pair = co_await connect_pair<TestType>();
        std::string expected;
        for (int i = 0; i < 10; ++i) {
            const auto head = std::to_string(i) + ": ";
            auto written = co_await pair.server.write_all(coho::as_bytes(head));
            REQUIRE(written);
            auto sent = co_await pair.server.send_file(*source);
            REQUIRE(sent);
            expected += head + text;
        }
        const auto received = co_await support::receive_text(pair.client, expected.size());
        CHECK(received == expected);
    });
}

TEMPLATE_TEST_CASE("H29: a peer that does not read makes a file wait, and holds no buffer",
                   "[conformance][files][H29]", COHO_TEST_KERNELS) {
    // Where a socket takes a part of one buffer, and where it takes all or nothing.
    const std::size_t size = GENERATE(16'384, 512);
    const temporary_file made(0);
    made.resize(endless);
    support::run_on<TestType>([&]() -> task<> {
        auto& pool = pool_of<TestType>(1, size);
        auto source = file::open(made.path());
        REQUIRE(source);
        auto pair = co_await connect_pair<TestType>();
        std::optional<coho::result<std::uint64_t>> sent;
        coho::task_group group;
        co_await group.spawn(send_to_end<TestType>, &pair.server, &*source, &sent);
        co_await support::let_turns_pass();
        while (pool.leased() > 0) co_await coho::yield();
        CHECK_FALSE(sent);
        CHECK(pool.waiting() == 0);
        group.request_stop();
        co_await group.join();
        CHECK(reason_of(sent.value()) == errc::cancelled);
        CHECK(pool.idle() == 1);
    });
}

TEMPLATE_TEST_CASE("a file that a peer does not read has its limit of time",
                   "[conformance][files]", COHO_TEST_KERNELS) {
    const temporary_file made(0);
    made.resize(endless);
    support::run_on<TestType>([&]() -> task<> {
        auto source = file::open(made.path());
        REQUIRE(source);
        auto pair = co_await connect_pair<TestType>();
        auto sent = co_await coho::timeout(50ms, pair.server.send_file(*source));
        CHECK(reason_of(sent) == errc::timed_out);
    });
}

TEMPLATE_TEST_CASE("H4: close() ends a file that waits, and the peer sees the end",
                   "[conformance][files][H4]", COHO_TEST_KERNELS) {
    const temporary_file made(0);
    made.resize(endless);
    support::run_on<TestType>([&]() -> task<> {
        auto source = file::open(made.path());
        REQUIRE(source);
        auto pair = co_await connect_pair<TestType>();
        std::optional<coho::result<std::uint64_t>> sent;
        coho::task_group group;
        co_await group.spawn(send_to_end<TestType>, &pair.server, &*source, &sent);
        co_await support::let_turns_pass();
        co_await pair.server.close();
        co_await group.join();
        CHECK(reason_of(sent.value()) == errc::cancelled);
        auto later = co_await pair.server.send_file(*source);
        CHECK(reason_of(later) == errc::closed);
        std::vector<std::byte> bytes(65'536);
        std::uint64_t arrived = 0;
        while (auto received = co_await pair.client.read_some(bytes)) arrived += *received;
        CHECK(arrived < endless);
    });
}

TEMPLATE_TEST_CASE("H2: a file is stopped at any moment, and what it says it has sent arrives",
                   "[conformance][files][H2]", COHO_TEST_KERNELS) {
    constexpr std::size_t size = 50'000;
    const temporary_file made(size);
    support::run_on<TestType>([&]() -> task<> {
        auto& pool = pool_of<TestType>(1);
        auto source = file::open(made.path());
        REQUIRE(source);
        for (int round = 0; round < 50; ++round) {
            auto pair = co_await connect_pair<TestType>();
            std::optional<coho::result<std::uint64_t>> sent;
            coho::task_group group;
            co_await group.spawn(send_to_end<TestType>, &pair.server, &*source, &sent);
            for (int turns = 0; turns < round * 20; ++turns) co_await coho::yield();
            group.request_stop();
            co_await group.join();
            CHECK(pair.server.shutdown_send());
            const auto arrived = co_await read_part<TestType>(pair.client, 0, false);
            if (sent.value()) CHECK(arrived == size);
            else CHECK(reason_of(*sent) == errc::cancelled);
        }
        CHECK(pool.idle() == 1);
    });
}

TEMPLATE_TEST_CASE("H19: a file to a peer that is gone is an error", "[conformance][files][H19]",
                   COHO_TEST_KERNELS) {
    const temporary_file made(100'000);
    support::run_on<TestType>([&]() -> task<> {
        auto& pool = pool_of<TestType>(1);
        auto source = file::open(made.path());
        REQUIRE(source);
        auto link = co_await support::accept_peer<TestType>();
        link.peer.reset();
        for (int i = 0; i < 3; ++i) {
            auto sent = co_await link.stream.send_file(*source);
            const auto reason = reason_of(sent);
            // Wine looks for the peer first.
            const bool lost = reason == errc::not_connected && !support::peer_of<TestType>::resets;
            CHECK((reason == errc::connection_reset || reason == errc::connection_aborted ||
                   lost));
        }
        CHECK(pool.idle() == 1);
    });
}

TEMPLATE_TEST_CASE("H14: many files go out by one buffer", "[conformance][files][H14]",
                   COHO_TEST_KERNELS) {
    constexpr std::size_t size = 200'000;
    const temporary_file made(size);
    support::run_on<TestType>([&]() -> task<> {
        auto& pool = pool_of<TestType>(1);
        auto source = file::open(made.path());
        REQUIRE(source);
        coho::task_group group;
        for (int i = 0; i < 16; ++i) {
            co_await group.spawn(check_part<TestType>, &*source, part{}, size, i % 2 == 0);
        }
        co_await group.join();
        CHECK(pool.idle() == 1);
        CHECK(pool.waiting() == 0);
    });
}

TEMPLATE_TEST_CASE("H14: a file that has gone out holds no buffer", "[conformance][files][H14]",
                   COHO_TEST_KERNELS) {
    const temporary_file made(1'000);
    support::run_on<TestType>([&]() -> task<> {
        auto& pool = pool_of<TestType>(1);
        auto source = file::open(made.path());
        REQUIRE(source);
        auto pair = co_await connect_pair<TestType>();
        auto sending = pair.server.send_file(*source);
        auto sent = co_await sending;
        CHECK(sent);
        CHECK(pool.idle() == 1);
    });
}

TEMPLATE_TEST_CASE("H14: a file waits while every buffer is out, where its kernel needs one",
                   "[conformance][files][H14]", COHO_TEST_KERNELS) {
    constexpr std::size_t size = 1'000;
    const temporary_file made(size);
    support::run_on<TestType>([&]() -> task<> {
        auto& pool = pool_of<TestType>(1);
        auto source = file::open(made.path());
        REQUIRE(source);
        auto held = pool.try_take();
        auto pair = co_await connect_pair<TestType>();
        std::optional<coho::result<std::uint64_t>> sent;
        {
            coho::task_group group;
            co_await group.spawn(send_to_end<TestType>, &pair.server, &*source, &sent);
            co_await support::let_turns_pass();
            group.request_stop();
            co_await group.join();
        }
        CHECK(pool.waiting() == 0);
        std::size_t expected = sent.value() ? size : 0;
        CHECK((*sent || reason_of(*sent) == errc::cancelled));
        coho::task_group group;
        co_await group.spawn(send_to_end<TestType>, &pair.server, &*source, &sent);
        co_await support::let_turns_pass();
        held.reset();
        co_await group.join();
        REQUIRE(sent.value());
        expected += size;
        const auto text = co_await support::receive_text(pair.client, expected);
        CHECK(text.size() == expected);
        CHECK(pool.idle() == 1);
    });
}

TEMPLATE_TEST_CASE("H14: close() lets a file go that waits for a buffer",
                   "[conformance][files][H14]", COHO_TEST_KERNELS) {
    const temporary_file made(1'000);
    support::run_on<TestType>([&]() -> task<> {
        auto& pool = pool_of<TestType>(1);
        auto source = file::open(made.path());
        REQUIRE(source);
        auto held = pool.try_take();
        auto pair = co_await connect_pair<TestType>();
        std::optional<coho::result<std::uint64_t>> sent;
        coho::task_group group;
        co_await group.spawn(send_to_end<TestType>, &pair.server, &*source, &sent);
        co_await support::let_turns_pass();
        co_await pair.server.close();
        co_await group.join();
        CHECK((*sent || reason_of(*sent) == errc::cancelled));
        CHECK(pool.waiting() == 0);
    });
}

#ifndef _WIN32
TEMPLATE_TEST_CASE("H30: a file to a peer that reads as fast as it comes leaves others their turns",
                   "[conformance][files][H30]", COHO_TEST_REAL_KERNELS) {
    using kernel = support::counting<TestType>;
    constexpr std::uint64_t size = 32 << 20;
    const temporary_file made(0);
    made.resize(size);
    support::run_on<kernel>([&]() -> task<> {
        auto source = file::open(made.path());
        REQUIRE(source);
        auto link = co_await support::accept_peer<kernel>();
        std::uint64_t arrived = 0;
        std::thread reader([&] { arrived = link.peer.receive(size).size(); });
        const auto& turns = coho::scheduler<kernel>::current().kernel().waits;
        const int before = turns;
        auto sent = co_await link.stream.send_file(*source);
        const int taken = turns - before;
        reader.join();
        CHECK(reason_of(sent) == errc::none);
        CHECK(arrived == size);
        // 256 KiB in each at most, the first of which counts for none.
        CHECK(taken >= 127);
    });
}
#endif

TEST_CASE("H22: a program that a child executes inherits no file", "[conformance][files][H22]") {
    const temporary_file made(0);
    const auto source = file::open(made.path()).value();
    CHECK_FALSE(support::is_inherited(source.native_handle()));
}

TEST_CASE("what is no regular file is not opened, and the sentence says what was tried",
          "[conformance][files]") {
    const temporary_file made(0);
    const auto folder = std::filesystem::temp_directory_path().string();
    const auto none = folder + "/coho-test-none";
    auto opened = file::open(none.c_str());
    CHECK(reason_of(opened) == errc::file_not_found);
    CHECK(message_of(opened) == "cannot open '" + none + "': there is no such file");
    opened = file::open(folder.c_str());
    CHECK(reason_of(opened) == errc::invalid_argument);
    CHECK(message_of(opened) == "cannot open '" + folder +
                                    "', which is no regular file: an argument is invalid");
#ifndef _WIN32
    const auto pipe = std::string(made.path()) + "-pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    const auto socket = std::string(made.path()) + "-socket";
    sockaddr_un named{};
    named.sun_family = AF_UNIX;
    REQUIRE(socket.copy(named.sun_path, sizeof named.sun_path - 1) == socket.size());
    const int bound = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::bind(bound, reinterpret_cast<const sockaddr*>(&named), sizeof named) == 0);
    for (const auto& other : {pipe, socket, std::string("/dev/zero")}) {
        opened = file::open(other.c_str());
        CHECK(reason_of(opened) == errc::invalid_argument);
    }
    ::close(bound);
    std::filesystem::remove(socket);
    std::filesystem::remove(pipe);
#endif
}

TEST_CASE("a file is closed where it was moved to", "[conformance][files]") {
    const temporary_file made(7), other(8);
    const auto before = support::open_descriptors();
    {
        auto first = file::open(made.path()).value();
        auto moved = std::move(first);
        CHECK(moved.size().value() == 7);
        CHECK(reason_of(first.size()) == errc::closed);
        moved = file::open(other.path()).value();
        CHECK(moved.size().value() == 8);
        // Wine does not tell.
        if (before > 0) CHECK(support::open_descriptors() == before + 1);
    }
    CHECK(support::open_descriptors() == before);
}
