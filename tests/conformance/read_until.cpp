#include "support/connected.hpp"
#include "support/kernels.hpp"

using namespace std::chrono_literals;
using coho::errc;
using coho::task;
using support::reason_of;

TEMPLATE_TEST_CASE("read_until: gives the count up to the delimiter and keeps what came after it",
                   "[conformance][read_until]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string text;
        link.peer.send("first\r\nsecond\r\nthi");
        auto first = co_await link.stream.read_until(text, "\r\n", 100);
        CHECK(std::move(first).value_or(0) == 7);
        CHECK(text == "first\r\nsecond\r\nthi");
        text.erase(0, 7);
        // Found in what was kept: nothing more needs to come.
        auto second = co_await link.stream.read_until(text, "\r\n", 100);
        CHECK(std::move(second).value_or(0) == 8);
        text.erase(0, 8);
        link.peer.send("rd\r\n");
        auto third = co_await link.stream.read_until(text, "\r\n", 100);
        CHECK(std::move(third).value_or(0) == 7);
        CHECK(text == "third\r\n");
    });
}

TEMPLATE_TEST_CASE("read_until: finds a delimiter that comes in pieces",
                   "[conformance][read_until]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string text;
        auto send_each = [&]() -> task<> {
            for (const char* piece : {"a-", "-", "-b-", "-", "-", "-"}) {
                link.peer.send(piece);
                // Until it was read.
                do co_await coho::yield();
                while (link.peer.unread_bytes(link.stream.native_handle()) > 0);
            }
        };
        auto [found, nothing] =
            co_await coho::when_all(link.stream.read_until(text, "----", 100), send_each());
        CHECK(std::move(found).value_or(0) == 9);
        CHECK(text == "a---b----");
    });
}

TEMPLATE_TEST_CASE("read_until: a delimiter that ends at the limit is found",
                   "[conformance][read_until]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string text;
        link.peer.send("12345678\r\nrest");
        auto found = co_await link.stream.read_until(text, "\r\n", 10);
        CHECK(std::move(found).value_or(0) == 10);
        CHECK(text.size() == 10);
        const auto rest = co_await support::receive_text(link.stream, 4);
        CHECK(rest == "rest");
    });
}

TEMPLATE_TEST_CASE("read_until: beyond the limit is an error that names the limit",
                   "[conformance][read_until]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string text;
        link.peer.send("123456789\r\n");
        auto found = co_await link.stream.read_until(text, "\r\n", 10);
        CHECK(reason_of(found) == errc::limit_exceeded);
        CHECK(support::message_of(found).find("within 10 bytes") != std::string::npos);
        CHECK(text == "123456789\r");
        // Text from before counts as well.
        auto again = co_await link.stream.read_until(text, "\r\n", 5);
        CHECK(reason_of(again) == errc::limit_exceeded);
        std::string ended_too_late = "123456789\r\n";
        auto late = co_await link.stream.read_until(ended_too_late, "\r\n", 10);
        CHECK(reason_of(late) == errc::limit_exceeded);
        // With more room it goes on where it was.
        auto larger = co_await link.stream.read_until(text, "\r\n", 11);
        CHECK(std::move(larger).value_or(0) == 11);
    });
}

TEMPLATE_TEST_CASE("read_until: the text grows with what comes, not to the limit at once",
                   "[conformance][read_until]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string text;
        link.peer.send("short\n");
        auto found = co_await link.stream.read_until(text, "\n", std::size_t(1) << 40);
        CHECK(std::move(found).value_or(0) == 6);
        CHECK(text == "short\n");
        CHECK(text.capacity() < 100'000);
    });
}

TEMPLATE_TEST_CASE("read_until: keeps what came before the end of the stream",
                   "[conformance][read_until]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string text;
        link.peer.send("no end");
        link.peer.close();
        auto found = co_await link.stream.read_until(text, "\n", 100);
        CHECK(reason_of(found) == errc::end_of_stream);
        CHECK(text == "no end");
    });
}

TEMPLATE_TEST_CASE("read_until: keeps what came before its time was up",
                   "[conformance][read_until]", COHO_TEST_KERNELS) {
    support::run_on<TestType>([]() -> task<> {
        auto link = co_await support::accept_peer<TestType>();
        std::string text;
        link.peer.send("half");
        auto early = co_await coho::timeout(20ms, link.stream.read_until(text, "\n", 100));
        CHECK(reason_of(early) == errc::timed_out);
        CHECK(text == "half");
        link.peer.send(" and half\n");
        auto found = co_await link.stream.read_until(text, "\n", 100);
        CHECK(std::move(found).value_or(0) == 14);
        CHECK(text == "half and half\n");
    });
}
