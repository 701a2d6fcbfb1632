// A closed-loop load for a server, on plain epoll: so many messages are in flight at any time, and
// one that came home, byte for byte, makes room for the next. Prints one JSON object. Exit status 1
// when a connection broke, or a wrong byte came.
#include "datagram_load.hpp"
#include "stream_load.hpp"

#include <getopt.h>

#include <charconv>
#include <string_view>

namespace {

constexpr char usage[] =
    "usage: load --connect HOST:PORT [--work echo|idle|broadcast|datagrams] [--connections N]\n"
    "            [--size BYTES] [--in-flight MESSAGES] [--messages-each N] [--segments N]\n"
    "            [--seconds S] [--warm-up S] [--server-pid PID] [--spin] [--progress]\n"
    "idle has every connection speak once, and measures the memory of --server-pid after it;\n"
    "--messages-each ends a connection after so many, and a new one takes its place;\n"
    "--segments gives the kernel so many datagrams at once (GSO), and takes them so (GRO);\n"
    "--server-pid also measures the CPU that process used; --spin never sleeps, so that with one\n"
    "connection the time it takes to wake the client is not measured along with the server";

template <class Number>
Number parse_number(const char* text, Number least) {
    Number value{};
    const char* end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, value);
    if (error != std::errc{} || rest != end || value < least) refuse("not a number it takes", text);
    return value;
}

work parse_work(std::string_view name) {
    if (name == "echo") return work::echo;
    if (name == "idle") return work::idle;
    if (name == "broadcast") return work::broadcast;
    if (name == "datagrams") return work::datagrams;
    refuse("not a work it does", name.data());
}

settings parse_arguments(int argc, char** argv) {
    enum {
        connect, kind, connections, size, in_flight, messages_each, segments, seconds, warm_up,
        server_pid, spin, progress
    };
    const option flags[] = {{"connect", required_argument, nullptr, connect},
                            {"work", required_argument, nullptr, kind},
                            {"connections", required_argument, nullptr, connections},
                            {"size", required_argument, nullptr, size},
                            {"in-flight", required_argument, nullptr, in_flight},
                            {"messages-each", required_argument, nullptr, messages_each},
                            {"segments", required_argument, nullptr, segments},
                            {"seconds", required_argument, nullptr, seconds},
                            {"warm-up", required_argument, nullptr, warm_up},
                            {"server-pid", required_argument, nullptr, server_pid},
                            {"spin", no_argument, nullptr, spin},
                            {"progress", no_argument, nullptr, progress},
                            {}};
    settings chosen;
    for (int found; (found = getopt_long(argc, argv, "", flags, nullptr)) != -1;) {
        switch (found) {
            case connect: chosen.address = parse_address(optarg); break;
            case kind: chosen.kind = parse_work(optarg); break;
            case connections: chosen.connections = parse_number(optarg, 1u); break;
            case size: chosen.size = parse_number(optarg, 1u); break;
            case in_flight: chosen.in_flight = parse_number(optarg, 1u); break;
            case messages_each: chosen.messages_each = parse_number(optarg, 1u); break;
            case segments: chosen.segments = parse_number(optarg, 1u); break;
            case seconds: chosen.seconds = parse_number(optarg, 0.001); break;
            case warm_up: chosen.warm_up = parse_number(optarg, 0.0); break;
            case server_pid: chosen.server_pid = std::to_string(parse_number(optarg, 1)); break;
            case spin: chosen.spin = true; break;
            case progress: chosen.progress = true; break;
            default: refuse(usage, argv[0]);
        }
    }
    const bool nobody_to_ask = chosen.kind == work::idle && chosen.server_pid.empty();
    if (optind != argc || chosen.address.sin_port == 0 || nobody_to_ask) refuse(usage, argv[0]);
    return chosen;
}

template <class Load>
void run(const settings& chosen, measurement& figures) {
    Load load(chosen, figures);
    figures.run(load);
}

}  // namespace

int main(int argc, char** argv) {
    const settings chosen = parse_arguments(argc, argv);
    raise_descriptor_limit();
    measurement figures(chosen);
    switch (chosen.kind) {
        case work::echo: run<echo_load>(chosen, figures); break;
        case work::broadcast: run<broadcast_load>(chosen, figures); break;
        case work::datagrams: run<datagram_load>(chosen, figures); break;
        case work::idle: {
            // What a server has for all of them, such as buffers, it has then: how many it needs at
            // a time differs a little each time.
            settings few = chosen;
            few.connections = std::max(1u, chosen.connections / 8);
            measurement unheeded(few);
            echo_load others(few, unheeded);
            for (int times = 0; times < 8; ++times) unheeded.run_once(others, 0);
            const auto before = memory_of(chosen.server_pid);
            echo_load load(chosen, figures);
            figures.run_once(load, before);
        }
    }
    return figures.report() ? 0 : 1;
}
