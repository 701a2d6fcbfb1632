#include "support/connected.hpp"
#include "support/kernels.hpp"

#include <array>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::errc;
using coho::task;
using support::message_of;
using support::reason_of;

TEMPLATE_TEST_CASE("streams: bytes go both ways between a client and what was accepted",
                   "[conformance][streams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto pair = co_await support::connect_pair<TestType>();
        auto asked = co_await pair.client.write_all(as_bytes("question"));
        CHECK(reason_of(asked) == errc::none);
        const auto question = co_await support::receive_text(pair.server, 8);
        CHECK(question == "question");
        auto answered = co_await pair.server.write_all(as_bytes("answer"));
        CHECK(reason_of(answered) == errc::none);
        const auto answer = co_await support::receive_text(pair.client, 6);
        CHECK(answer == "answer");
    });
}

TEMPLATE_TEST_CASE("streams: both directions work at the same time", "[conformance][streams]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto pair = co_await support::connect_pair<TestType>();
        const auto bytes = support::counting_bytes(1 << 20);
        auto [sent, sent_back, received, received_back] = co_await coho::when_all(
            pair.client.write_all(as_bytes(bytes)), pair.server.write_all(as_bytes(bytes)),
            support::receive_text(pair.server, bytes.size()),
            support::receive_text(pair.client, bytes.size()));
        CHECK(sent);
        CHECK(sent_back);
        CHECK((received == bytes));
        CHECK((received_back == bytes));
    });
}

TEMPLATE_TEST_CASE("streams: read_some gives what is there, at most the buffer",
                   "[conformance][streams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string text(4, '\0');
        link.peer.send("abcdef");
        auto first = co_await link.stream.read_some(std::as_writable_bytes(std::span(text)));
        CHECK(std::move(first).value_or(0) == 4);
        CHECK(text == "abcd");
        auto second = co_await link.stream.read_some(std::as_writable_bytes(std::span(text)));
        CHECK(std::move(second).value_or(0) == 2);
        CHECK(text == "efcd");
    });
}

TEMPLATE_TEST_CASE("streams: write_some tells how many of the bytes went out",
                   "[conformance][streams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        const auto bytes = support::counting_bytes(32 << 20);
        auto written = co_await link.stream.write_some(as_bytes(bytes));
        REQUIRE(written);
        CHECK(*written > 0);
        CHECK(*written < bytes.size());
        CHECK(link.stream.shutdown_send());
        const auto received = link.peer.receive_to_end();
        CHECK((received == bytes.substr(0, *written)));
    });
}

TEMPLATE_TEST_CASE("streams: read_exactly waits until the buffer is full",
                   "[conformance][streams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string text(6, '\0');
        auto send_in_pieces = [&]() -> task<> {
            for (const auto* piece : {"ab", "cd", "efg"}) {
                for (int turns = 0; turns < 3; ++turns) co_await coho::yield();
                link.peer.send(piece);
            }
        };
        auto [whole, nothing] = co_await coho::when_all(
            link.stream.read_exactly(std::as_writable_bytes(std::span(text))), send_in_pieces());
        CHECK(reason_of(whole) == errc::none);
        CHECK(text == "abcdef");
        const auto rest = co_await support::receive_text(link.stream, 1);
        CHECK(rest == "g");
    });
}

TEMPLATE_TEST_CASE("streams: read_exactly is end_of_stream where the stream ends first",
                   "[conformance][streams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 6> buffer;
        link.peer.send("abc");
        link.peer.close();
        auto whole = co_await link.stream.read_exactly(buffer);
        CHECK(reason_of(whole) == errc::end_of_stream);
    });
}

TEMPLATE_TEST_CASE("streams: every byte comes before end_of_stream, which then stays",
                   "[conformance][streams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 2> buffer;
        link.peer.send("last");
        link.peer.close();
        const auto text = co_await support::receive_text(link.stream, 4);
        CHECK(text == "last");
        for (int round = 0; round < 3; ++round) {
            auto received = co_await link.stream.read_some(buffer);
            CHECK(reason_of(received) == errc::end_of_stream);
        }
    });
}

TEMPLATE_TEST_CASE("streams: after shutdown_send the peer reads to the end and may still write",
                   "[conformance][streams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        auto written = co_await link.stream.write_all(as_bytes("all I have"));
        CHECK(written);
        CHECK(link.stream.shutdown_send());
        CHECK(link.peer.receive_to_end() == "all I have");
        link.peer.send("thanks");
        const auto reply = co_await support::receive_text(link.stream, 6);
        CHECK(reply == "thanks");
        auto late = co_await link.stream.write_some(as_bytes("x"));
        CHECK(reason_of(late) == errc::connection_reset);
    });
}

TEMPLATE_TEST_CASE("streams: after the peer's end we may still write", "[conformance][streams]",
                   COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 8> buffer;
        link.peer.shutdown_send();
        auto received = co_await link.stream.read_some(buffer);
        CHECK(reason_of(received) == errc::end_of_stream);
        auto written = co_await link.stream.write_all(as_bytes("still here"));
        CHECK(written);
        CHECK(link.peer.receive(10) == "still here");
    });
}

TEMPLATE_TEST_CASE("streams: shutdown_receive ends a read that waits, and those that follow",
                   "[conformance][streams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::array<std::byte, 8> buffer;
        auto shut_down = [&]() -> task<bool> {
            co_await coho::yield();
            co_return link.stream.shutdown_receive().has_value();
        };
        auto [received, done] =
            co_await coho::when_all(link.stream.read_some(buffer), shut_down());
        CHECK(done);
        CHECK(reason_of(received) == errc::end_of_stream);
        auto next = co_await link.stream.read_some(buffer);
        CHECK(reason_of(next) == errc::end_of_stream);
        auto written = co_await link.stream.write_all(as_bytes("reply"));
        CHECK(written);
        CHECK(link.peer.receive(5) == "reply");
    });
}

TEMPLATE_TEST_CASE("streams: 16 MiB pass unchanged through a slow reader",
                   "[conformance][streams]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto pair = co_await support::connect_pair<TestType>();
        const auto bytes = support::counting_bytes(16 << 20);
        auto send = [&]() -> task<bool> {
            auto sent = co_await pair.client.write_all(as_bytes(bytes));
            co_return sent && pair.client.shutdown_send();
        };
        auto read_slowly = [&]() -> task<std::string> {
            std::string received;
            std::array<std::byte, 10'007> buffer;
            for (int reads = 1;; ++reads) {
                auto count = co_await pair.server.read_some(buffer);
                if (!count) break;
                received += coho::as_text(std::span(buffer).first(*count));
                if (reads % 100 == 0) co_await coho::sleep(100us);
            }
            co_return received;
        };
        auto [sent, received] = co_await coho::when_all(send(), read_slowly());
        CHECK(sent);
        CHECK((received == bytes));
    });
}

TEMPLATE_TEST_CASE("H17: write_all is whole through the smallest of send buffers",
                   "[conformance][streams][H17]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto pair = co_await support::connect_pair<TestType>();
        REQUIRE(pair.client.set(coho::send_buffer_size{1}));
        const auto bytes = support::counting_bytes(300'000);
        for (const std::size_t count : {1, 4'000, 20'000, 300'000}) {
            auto [sent, received] = co_await coho::when_all(
                pair.client.write_all(as_bytes(bytes).first(count)),
                support::receive_text(pair.server, count));
            CHECK(reason_of(sent) == errc::none);
            CHECK((received == bytes.substr(0, count)));
        }
    });
}
