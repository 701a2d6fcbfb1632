// The visitors of a soak: they come to an echo server and go again, each in its own way, wave after
// wave. A wave begins with each line on standard input, and ends with the count of visits on
// standard output, which is there in the beginning too. Between two waves nobody is there.
// tools/soak drives it.

#include "../../examples/command_line.hpp"
#include "../support/stream_bytes.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <vector>

using namespace std::chrono_literals;

namespace {

struct settings {
    coho::endpoint streams = coho::endpoint::loopback(7777);
    coho::endpoint datagrams = coho::endpoint::loopback(7778);
    std::uint32_t visitors = 64;
    std::uint32_t seed = 1;
    std::chrono::milliseconds wave = 1500ms;
};

/// What happened, by the way of the visit; `stalled` are those that this machine was too slow for.
enum kind { polite, half_closed, reset, impatient, cancelled, closed, unread, datagram, silent,
            stalled, kinds };
constexpr std::array<const char*, kinds> names{
    "polite", "half closed", "reset", "impatient", "cancelled", "closed under a reader",
    "reads nothing", "datagrams", "silent", "stalled"};
using counts = std::array<std::uint64_t, kinds>;

/// What the visitors of one wave share.
struct wave {
    coho::time_point end;
    std::uint32_t expected;
    std::uint32_t present = 0;
    counts* happened;
};

/// What was not as it should be, in a sentence.
struct wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// The server may have taken us for silent.
struct too_slow {};

template <class T>
void must_be(const coho::result<T>& outcome, coho::errc reason, const char* what) {
    const auto found = outcome ? coho::errc::none : outcome.error().reason();
    if (found == reason) return;
    throw wrong(std::string(what) + " should give \"" + std::string(describe(reason)) +
                "\" and gave \"" + std::string(describe(found)) + '"');
}

template <class Stream>
coho::task<> read_until_closed(Stream& stream) {
    std::byte byte;
    auto received = co_await stream.read_some(std::span(&byte, 1));
    must_be(received, coho::errc::cancelled, "a read under which the stream was closed");
}

/// Keeps its memory from wave to wave, and has touched all of it: what grows is not the visitor's.
template <class Backend>
class visitor {
    using stream = coho::basic_tcp_stream<Backend>;

public:
    visitor(const settings& chosen, std::uint32_t seed)
        : chosen_(&chosen), dice_(seed), out_(most_bytes), in_(most_bytes) {}

    /// One visit after another until the time has come.
    coho::task<> come_and_go(wave& with_others, bool silently) {
        auto way = silently ? silent : polite;
        co_await meet(with_others);
        do {
            bool was_slow = false;
            try {
                co_await visit(way);
            } catch (const too_slow&) {
                was_slow = true;
            }
            ++(*with_others.happened)[was_slow ? stalled : way];
            way = static_cast<kind>(number(polite, datagram));
            co_await coho::sleep(std::chrono::microseconds(number(0, 20'000)));
        } while (coho::now() < with_others.end);
    }

private:
    int number(int least, int most) {
        return std::uniform_int_distribution(least, most)(dice_);
    }
    /// A message, as often small as large, and room for its echo.
    struct message {
        std::uint64_t place;
        std::span<std::byte> out, in;

        void check() const {
            if (support::first_wrong(in, place)) throw wrong("a message came back changed");
        }
    };
    message next_message() {
        const auto size = static_cast<std::size_t>(number(1, 255)) << number(0, 8);
        const message next{dice_(), std::span(out_).first(size), std::span(in_).first(size)};
        support::fill(next.out, next.place);
        return next;
    }

    /// All of them are served at once, so that the most that a server ever holds for them is what
    /// it holds in each wave.
    coho::task<> meet(wave& others) {
        auto with = co_await connect();
        try {
            co_await exchange(with, 1);
        } catch (const too_slow&) {
        }
        ++others.present;
        bool goes_on = true;
        while (goes_on && others.present < others.expected) goes_on = co_await coho::sleep(1ms);
    }

    coho::task<> visit(kind way) {
        switch (way) {
        case half_closed: return visit_half_closed();
        case reset: return visit_and_reset();
        case impatient: return visit_impatiently();
        case cancelled: return visit_with_a_race();
        case closed: return visit_and_close();
        case unread: return visit_without_reading();
        case datagram: return send_datagrams();
        case silent: return visit_silently();
        default: return visit_politely();
        }
    }

    coho::task<stream> connect() {
        auto connected = co_await try_to_connect();
        // Ports that closed a moment ago are not free yet.
        while (!connected && connected.error() == coho::errc::address_not_available) {
            co_await coho::sleep(20ms);
            connected = co_await try_to_connect();
        }
        co_return std::move(connected).value();
    }
    coho::task<coho::result<stream>> try_to_connect() {
        return coho::connect<Backend>(chosen_->streams);
    }
    coho::task<> exchange(stream& with, int messages) {
        const auto begin = coho::now();
        for (int i = 0; i < messages; ++i) {
            const auto next = next_message();
            auto [sent, received] =
                co_await coho::when_all(coho::timeout(30s, with.write_all(next.out)),
                                        coho::timeout(30s, with.read_exactly(next.in)));
            if ((!sent || !received) && coho::now() - begin > 500ms) throw too_slow();
            must_be(sent, coho::errc::none, "sending a message");
            must_be(received, coho::errc::none, "receiving its echo");
            next.check();
        }
    }

    coho::task<> visit_politely() {
        auto with = co_await connect();
        co_await exchange(with, number(0, 8));
    }
    coho::task<> visit_half_closed() {
        auto with = co_await connect();
        const auto next = next_message();
        auto sent = co_await coho::timeout(30s, with.write_all(next.out));
        must_be(sent, coho::errc::none, "sending a message");
        must_be(with.shutdown_send(), coho::errc::none, "ending a stream");
        auto received = co_await coho::timeout(30s, with.read_exactly(next.in));
        must_be(received, coho::errc::none, "receiving an echo after the end");
        next.check();
        auto end = co_await coho::timeout(30s, with.read_some(next.in));
        must_be(end, coho::errc::end_of_stream, "reading on after the end");
    }
    coho::task<> visit_and_reset() {
        auto with = co_await connect();
        const auto next = next_message();
        auto sent = co_await coho::timeout(30s, with.write_all(next.out));
        must_be(sent, coho::errc::none, "sending a message");
        must_be(with.set(coho::linger{true, 0s}), coho::errc::none, "setting linger");
    }
    coho::task<> visit_impatiently() {
        auto with = co_await connect();
        std::byte byte;
        const auto patience = std::chrono::microseconds(number(0, 3000));
        auto received = co_await coho::timeout(patience, with.read_some(std::span(&byte, 1)));
        must_be(received, coho::errc::timed_out, "waiting for bytes that nobody sends");
        co_await exchange(with, 1);
    }
    coho::task<> visit_with_a_race() {
        auto with = co_await connect();
        std::byte byte;
        auto first = co_await coho::race(with.read_some(std::span(&byte, 1)),
                                         coho::sleep(std::chrono::microseconds(number(0, 3000))));
        must_be(coho::get<0>(first), coho::errc::cancelled, "a read that lost a race");
        co_await exchange(with, 1);
    }
    coho::task<> visit_and_close() {
        auto with = co_await connect();
        coho::task_group readers;
        co_await readers.spawn(read_until_closed<stream>, std::ref(with));
        co_await coho::sleep(std::chrono::microseconds(number(0, 1000)));
        co_await with.close();
        co_await readers.join();
    }
    coho::task<> visit_without_reading() {
        auto with = co_await connect();
        must_be(with.set(coho::receive_buffer_size{4096}), coho::errc::none, "setting a buffer");
        auto reason = coho::errc::none;
        while (reason == coho::errc::none) {
            auto sent = co_await coho::timeout(10ms, with.write_some(out_));
            if (!sent) reason = sent.error().reason();
        }
        if (reason != coho::errc::timed_out) throw wrong("a full stream ended");
        must_be(with.set(coho::linger{true, 0s}), coho::errc::none, "setting linger");
    }
    coho::task<> visit_silently() {
        auto with = co_await connect();
        std::byte byte;
        auto received = co_await coho::timeout(60s, with.read_some(std::span(&byte, 1)));
        must_be(received, coho::errc::end_of_stream, "waiting until the server has enough");
    }
    coho::task<> send_datagrams() {
        auto socket =
            coho::basic_udp_socket<Backend>::bind(coho::endpoint::loopback(0)).value();
        for (int i = number(1, 8); i > 0; --i) {
            const auto next = next_message();
            const auto out = next.out.first(std::min<std::size_t>(next.out.size(), 8192));
            auto sent = co_await socket.send_to(out, chosen_->datagrams);
            must_be(sent, coho::errc::none, "sending a datagram");
            auto received = co_await coho::timeout(1s, socket.receive_from(in_));
            // It may be lost, and another socket is asked next.
            if (!received) break;
            if (received->bytes.size() != out.size() ||
                support::first_wrong(received->bytes, next.place)) {
                throw wrong("a datagram came back changed");
            }
        }
    }

    static constexpr std::size_t most_bytes = 1 << 16;

    const settings* chosen_;
    std::mt19937 dice_;
    std::vector<std::byte> out_, in_;
};

template <class Backend>
coho::task<> come_and_go(visitor<Backend>& one, wave& with_others, bool silently) {
    return one.come_and_go(with_others, silently);
}

void tell(const counts& happened) {
    std::uint64_t visits = 0;
    for (const auto each : happened) visits += each;
    std::printf("%llu\n", static_cast<unsigned long long>(visits));
    std::fflush(stdout);
}

struct churn {
    template <class Backend>
    static coho::task<> serve(settings chosen) {
        counts happened{};
        std::vector<visitor<Backend>> visitors;
        for (std::uint32_t i = 0; i < chosen.visitors; ++i) {
            visitors.emplace_back(chosen, chosen.seed + i);
        }
        char line[16];
        tell(happened);
        while (std::fgets(line, sizeof line, stdin)) {
            wave next{coho::now() + chosen.wave, chosen.visitors, 0, &happened};
            coho::task_group group;
            for (std::uint32_t i = 0; i < chosen.visitors; ++i) {
                co_await group.spawn(come_and_go<Backend>, std::ref(visitors[i]), std::ref(next),
                                     i < 2);
            }
            co_await group.join();
            tell(happened);
        }
        for (std::size_t i = 0; i < kinds; ++i) {
            std::printf("%-22s %10llu\n", names[i], static_cast<unsigned long long>(happened[i]));
        }
    }
};

}  // namespace

int main(int count, char** words) {
    const char* usage = "churn [--streams HOST:PORT] [--datagrams HOST:PORT] [--visitors N] "
                        "[--wave MILLISECONDS] [--seed N] [--backend native|io_uring|epoll]";
    return example::run_main(usage, [&] {
        settings chosen;
        std::string_view kernel = "native";
        example::command_line line(count, words);
        while (const auto flag = line.next_flag()) {
            if (*flag == "--streams") chosen.streams = line.endpoint();
            else if (*flag == "--datagrams") chosen.datagrams = line.endpoint();
            else if (*flag == "--visitors") chosen.visitors = line.number();
            else if (*flag == "--wave") chosen.wave = std::chrono::milliseconds(line.number());
            else if (*flag == "--seed") chosen.seed = line.number();
            else if (*flag == "--backend") kernel = line.value();
            else line.unknown();
        }
        // A signal ends it, also between two waves, when it waits for a line.
        return example::run_on<churn>(kernel, {.signals = {}}, chosen);
    });
}
