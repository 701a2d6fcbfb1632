// Sends every byte back, to any number of clients, until Ctrl-C; then lets them finish.

#include "command_line.hpp"

#include <array>
#include <chrono>

using namespace std::chrono_literals;

struct settings {
    coho::endpoint where = coho::endpoint::loopback(7777);
    std::size_t most_connections = 10'000;
    std::chrono::seconds idle = 30s;
    bool leases = false;
};

struct echo_server {
    template <class Backend>
    static coho::task<> echo(coho::basic_tcp_stream<Backend> stream, std::chrono::seconds idle) {
        std::array<std::byte, 16384> buffer;
        while (auto received = co_await coho::timeout(idle, stream.read_some(buffer))) {
            auto sent =
                co_await coho::timeout(idle, stream.write_all(std::span(buffer).first(*received)));
            if (!sent) break;
        }
    }

    // [leases]
    template <class Backend>
    static coho::task<> echo_leases(coho::basic_tcp_stream<Backend> stream,
                                    std::chrono::seconds idle) {
        auto incoming = stream.incoming();
        while (auto lease = co_await coho::timeout(idle, incoming.next())) {
            auto sent = co_await coho::timeout(idle, stream.write_all(std::move(*lease)));
            if (!sent) break;
        }
    }
    // [end]

    template <class Backend>
    static coho::task<> serve(settings chosen) {
        auto listener = coho::basic_tcp_listener<Backend>::bind(chosen.where).value();
        coho::task_group connections({.max_live = chosen.most_connections, .drain = 5s});
        example::announce(listener.local_endpoint(),
                          coho::scheduler<Backend>::current().backend_name());
        const auto speak = chosen.leases ? echo_leases<Backend> : echo<Backend>;
        while (auto accepted = co_await listener.accept())
            co_await connections.spawn(speak, std::move(*accepted), chosen.idle);
        co_await listener.close();  // whoever comes while we drain is refused, and does not wait
        co_await connections.join();
    }
};

int main(int count, char** words) {
    const char* usage = "echo_server [--listen HOST:PORT] [--backend native|io_uring|epoll] "
                        "[--max-connections N] [--idle SECONDS] [--spin MICROSECONDS] "
                        "[--leases: no buffer for who is silent]";
    return example::run_main(usage, [&] {
        settings chosen;
        coho::run_options options;
        std::string_view kernel = "native";
        example::command_line line(count, words);
        while (const auto flag = line.next_flag()) {
            if (*flag == "--listen") chosen.where = line.endpoint();
            else if (*flag == "--backend") kernel = line.value();
            else if (*flag == "--max-connections") chosen.most_connections = line.number();
            else if (*flag == "--idle") chosen.idle = std::chrono::seconds(line.number());
            else if (*flag == "--spin") options.spin = std::chrono::microseconds(line.number());
            else if (*flag == "--leases") chosen.leases = true;
            else line.unknown();
        }
        return example::run_on<echo_server>(kernel, options, chosen);
    });
}
