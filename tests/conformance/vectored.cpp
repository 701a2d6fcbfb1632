#include "support/child_process.hpp"
#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <array>
#include <vector>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::errc;
using coho::task;
using support::reason_of;

namespace {

using read_piece = std::span<std::byte>;
using write_piece = std::span<const std::byte>;

read_piece room_in(std::string& text) { return std::as_writable_bytes(std::span(text)); }

}  // namespace

TEMPLATE_TEST_CASE("vectored: pieces go out one after another", "[conformance][vectored]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        auto written =
            co_await link.stream.write_all(as_bytes("one "), as_bytes(""), as_bytes("two"));
        CHECK(reason_of(written) == errc::none);
        CHECK(link.peer.receive(7) == "one two");
        const std::array<write_piece, 2> pieces{as_bytes("three "), as_bytes("four")};
        auto more = co_await link.stream.write_all(std::span<const write_piece>(pieces));
        CHECK(reason_of(more) == errc::none);
        CHECK(link.peer.receive(10) == "three four");
    });
}

TEMPLATE_TEST_CASE("vectored: sixteen pieces go out in one write", "[conformance][vectored]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        const auto bytes = support::counting_bytes(160);
        std::array<write_piece, coho::request::most_pieces> pieces;
        for (std::size_t i = 0; i < pieces.size(); ++i) {
            pieces[i] = as_bytes(bytes).subspan(10 * i, 10);
        }
        auto written = co_await link.stream.write_all(std::span<const write_piece>(pieces));
        CHECK(reason_of(written) == errc::none);
        CHECK((link.peer.receive(160) == bytes));
    });
}

TEMPLATE_TEST_CASE("H17: a vectored write is whole through the smallest of send buffers",
                   "[conformance][vectored][H17]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto pair = co_await support::connect_pair<TestType>();
        REQUIRE(pair.client.set(coho::send_buffer_size{1}));
        const auto bytes = support::counting_bytes(300'000);
        // Cuts fall into the first, a middle, an empty and the last piece.
        const auto all = as_bytes(bytes);
        auto [sent, received] = co_await coho::when_all(
            pair.client.write_all(all.first(100'000), all.subspan(100'000, 7), all.first(0),
                                  all.subspan(100'007, 99'993), all.last(100'000)),
            support::receive_text(pair.server, bytes.size()));
        CHECK(reason_of(sent) == errc::none);
        CHECK((received == bytes));
    });
}

TEMPLATE_TEST_CASE("vectored: a read fills one piece after the other", "[conformance][vectored]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string head(3, '.'), none, body(3, '.'), tail(3, '.');
        const std::array<read_piece, 4> pieces{room_in(head), room_in(none), room_in(body),
                                               room_in(tail)};
        link.peer.send("abcde");
        auto received = co_await link.stream.read_some(std::span<const read_piece>(pieces));
        CHECK(std::move(received).value_or(0) == 5);
        CHECK(head + body + tail == "abcde....");
        link.peer.close();
        auto end = co_await link.stream.read_some(std::span<const read_piece>(pieces));
        CHECK(reason_of(end) == errc::end_of_stream);
    });
}

TEMPLATE_TEST_CASE("vectored: a read that waits gets what comes later", "[conformance][vectored]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string head(2, '.'), tail(8, '.');
        const std::array<read_piece, 2> pieces{room_in(head), room_in(tail)};
        auto send = [&]() -> task<> {
            for (int turns = 0; turns < 3; ++turns) co_await coho::yield();
            link.peer.send("later");
        };
        auto [received, nothing] = co_await coho::when_all(
            link.stream.read_some(std::span<const read_piece>(pieces)), send());
        CHECK(std::move(received).value_or(0) == 5);
        CHECK(head + tail == "later.....");
    });
}

TEMPLATE_TEST_CASE("vectored: a write without bytes is whole at once", "[conformance][vectored]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        auto nothing = co_await link.stream.write_all(std::span<const write_piece>());
        CHECK(reason_of(nothing) == errc::none);
        auto empty = co_await link.stream.write_all(as_bytes(""), as_bytes(""));
        CHECK(reason_of(empty) == errc::none);
    });
}

TEMPLATE_TEST_CASE("vectored: a read into no room at all is invalid_argument",
                   "[conformance][vectored]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        link.peer.send("x");
        auto nowhere = co_await link.stream.read_some(std::span<const read_piece>());
        CHECK(reason_of(nowhere) == errc::invalid_argument);
        const std::array<read_piece, 2> pieces{};
        auto empty = co_await link.stream.read_some(std::span<const read_piece>(pieces));
        CHECK(reason_of(empty) == errc::invalid_argument);
        const auto text = co_await support::receive_text(link.stream, 1);
        CHECK(text == "x");
    });
}

TEMPLATE_TEST_CASE("vectored: more than sixteen pieces are a mistake of the program",
                   "[conformance][vectored]", COHO_TEST_KERNELS) {
    const auto end = support::run_in_child([] {
        support::run_on<TestType>([]() -> task<> {
            auto link = co_await support::accept_peer<TestType>();
            const std::vector<write_piece> pieces(coho::request::most_pieces + 1);
            (void)co_await link.stream.write_all(std::span<const write_piece>(pieces));
        });
        return 0;
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("more than 16 pieces"));
}
