// Sends one line to a server, and prints what comes back.

#include "command_line.hpp"

#include <chrono>
#include <tuple>

using namespace std::chrono_literals;

coho::task<int> ask(std::string host, std::uint16_t port, std::string message) {
    std::string reply;
    auto stream = co_await coho::timeout(3s, coho::connect(host, port));
    if (!stream) {
        std::fprintf(stderr, "%s\n", stream.error().message().c_str());
        co_return 1;
    }
    auto sent = co_await stream->write_all(coho::as_bytes(message), coho::as_bytes("\n"));
    auto count = co_await coho::timeout(3s, stream->read_until(reply, "\n", 65536));
    if (!sent || !count) {
        const auto& failed = sent ? count.error() : sent.error();
        std::fprintf(stderr, "no reply from %s: %s\n", host.c_str(), failed.message().c_str());
        co_return 1;
    }
    std::fwrite(reply.data(), 1, *count, stdout);
    co_return 0;
}

int main(int count, char** words) {
    const char* usage = "echo_client [--connect HOST:PORT] [--message TEXT]";
    return example::run_main(usage, [&] {
        std::string host = "127.0.0.1";
        std::uint16_t port = 7777;
        std::string message = "hello";
        example::command_line line(count, words);
        while (const auto flag = line.next_flag()) {
            if (*flag == "--connect") std::tie(host, port) = line.host_and_port();
            else if (*flag == "--message") message = line.value();
            else line.unknown();
        }
        return coho::run(ask, host, port, message);
    });
}
