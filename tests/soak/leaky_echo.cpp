// An echo server with a fault put in on purpose: the soak must see it.

#include "../../examples/command_line.hpp"

#include <array>
#include <chrono>

#include <unistd.h>

namespace {

struct settings {
    coho::endpoint where = coho::endpoint::loopback(7777);
    std::chrono::seconds idle{30};
    std::size_t most_connections = 10'000;
    std::string_view leak = "nothing";
};

/// Still reachable, so that no sanitizer reports it: the soak has to.
struct leaked_memory {
    leaked_memory* before;
    std::array<char, 500> bytes;
};
leaked_memory* leaked = nullptr;

void leak(std::string_view what) {
    if (what == "descriptor") [[maybe_unused]] const int forgotten = ::dup(STDIN_FILENO);
    if (what == "memory") {
        leaked = new leaked_memory{leaked, {}};
        leaked->bytes.fill('x');
    }
}

struct leaky_echo {
    template <class Backend>
    static coho::task<> echo(coho::basic_tcp_stream<Backend> stream, settings chosen) {
        std::array<std::byte, 16384> buffer;
        while (auto received = co_await coho::timeout(chosen.idle, stream.read_some(buffer))) {
            if (chosen.leak == "byte" && *received > 1000) buffer[999] ^= std::byte(1);
            auto sent = co_await stream.write_all(std::span(buffer).first(*received));
            if (!sent) break;
        }
        leak(chosen.leak);
    }

    template <class Backend>
    static coho::task<> serve(settings chosen) {
        auto listener = coho::basic_tcp_listener<Backend>::bind(chosen.where).value();
        coho::task_group connections({.max_live = chosen.most_connections});
        example::announce(listener.local_endpoint(),
                          coho::scheduler<Backend>::current().backend_name());
        while (auto accepted = co_await listener.accept())
            co_await connections.spawn(echo<Backend>, std::move(*accepted), chosen);
        co_await connections.join();
    }
};

}  // namespace

int main(int count, char** words) {
    const char* usage = "leaky_echo --leak descriptor|memory|byte [--listen HOST:PORT] "
                        "[--idle SECONDS] [--max-connections N] [--backend native|io_uring|epoll]";
    return example::run_main(usage, [&] {
        settings chosen;
        std::string_view kernel = "native";
        example::command_line line(count, words);
        while (const auto flag = line.next_flag()) {
            if (*flag == "--listen") chosen.where = line.endpoint();
            else if (*flag == "--backend") kernel = line.value();
            else if (*flag == "--idle") chosen.idle = std::chrono::seconds(line.number());
            else if (*flag == "--max-connections") chosen.most_connections = line.number();
            else if (*flag == "--leak") chosen.leak = line.value();
            else line.unknown();
        }
        return example::run_on<leaky_echo>(kernel, {}, chosen);
    });
}
