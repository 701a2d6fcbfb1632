// Sends bytes to an echo server, and compares what comes back with what went out: the client of the
// tests that spoil the network between them.

#include "../../examples/command_line.hpp"
#include "../support/stream_bytes.hpp"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <vector>

using namespace std::chrono_literals;

namespace {

struct settings {
    std::string host = "127.0.0.1";
    std::uint16_t port = 7777;
    std::uint64_t bytes = 1 << 20;
    std::chrono::seconds limit = 10s;
    coho::user_timeout unacknowledged{};
};

template <class Backend>
coho::task<coho::result<void>> send_all(coho::basic_tcp_stream<Backend>& stream,
                                        const settings& chosen) {
    std::vector<std::byte> chunk(64 << 10);
    for (std::uint64_t place = 0; place < chosen.bytes;) {
        const auto size = std::min<std::uint64_t>(chunk.size(), chosen.bytes - place);
        support::fill(std::span(chunk).first(size), place);
        auto sent = co_await coho::timeout(chosen.limit,
                                           stream.write_all(std::span(chunk).first(size)));
        if (!sent) co_return std::move(sent).error();
        place += size;
    }
    co_return stream.shutdown_send();
}

/// The end of the stream is one of the errors: the caller knows whether it came too soon.
template <class Backend>
coho::task<coho::error> receive_all(coho::basic_tcp_stream<Backend>& stream,
                                    const settings& chosen, std::uint64_t& came) {
    std::vector<std::byte> chunk(64 << 10);
    for (;;) {
        auto received = co_await coho::timeout(chosen.limit, stream.read_some(chunk));
        if (!received) co_return std::move(received).error();
        if (const auto wrong = support::first_wrong(std::span(chunk).first(*received), came)) {
            std::fprintf(stderr, "the byte at %llu came back wrong\n",
                         static_cast<unsigned long long>(*wrong));
            std::exit(3);
        }
        if (came == 0) std::printf("bytes come back\n");
        std::fflush(stdout);
        came += *received;
    }
}

int failed(std::uint64_t came, const coho::error& why) {
    std::fprintf(stderr, "after %llu bytes: %s\n", static_cast<unsigned long long>(came),
                 why.message().c_str());
    return 1;
}

struct exchange {
    template <class Backend>
    static coho::task<int> serve(settings chosen) {
        auto stream = co_await coho::timeout(chosen.limit,
                                             coho::connect<Backend>(chosen.host, chosen.port));
        if (!stream) {
            std::fprintf(stderr, "%s\n", stream.error().message().c_str());
            co_return 1;
        }
        if (chosen.unacknowledged.value > 0ms) stream->set(chosen.unacknowledged).value();
        std::uint64_t came = 0;
        auto [sent, end] = co_await coho::when_all(send_all(*stream, chosen),
                                                   receive_all(*stream, chosen, came));
        // The sender may have been told of the end of its peer only by what its peer received.
        if (end != coho::errc::end_of_stream) co_return failed(came, end);
        if (!sent) co_return failed(came, sent.error());
        if (came != chosen.bytes) co_return failed(came, end);
        std::printf("%llu bytes came back whole\n", static_cast<unsigned long long>(came));
        co_return 0;
    }
};

}  // namespace

int main(int count, char** words) {
    const char* usage = "exchange [--connect HOST:PORT] [--backend native|io_uring|epoll] "
                        "[--bytes N] [--limit SECONDS] [--user-timeout MILLISECONDS]";
    return example::run_main(usage, [&] {
        settings chosen;
        std::string_view kernel = "native";
        example::command_line line(count, words);
        while (const auto flag = line.next_flag()) {
            if (*flag == "--connect") std::tie(chosen.host, chosen.port) = line.host_and_port();
            else if (*flag == "--backend") kernel = line.value();
            else if (*flag == "--bytes") chosen.bytes = line.number();
            else if (*flag == "--limit") chosen.limit = std::chrono::seconds(line.number());
            else if (*flag == "--user-timeout")
                chosen.unacknowledged.value = std::chrono::milliseconds(line.number());
            else line.unknown();
        }
        return example::run_on<exchange>(kernel, {}, chosen);
    });
}
