// A closed-loop load for an echo server, on plain epoll: every connection keeps the same number of
// messages in flight, and a message that came home, byte for byte, makes room for the next.
// Prints one JSON object. Exit status 1 when a connection broke or echoed a wrong byte.
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace {

using nanoseconds = std::uint64_t;

constexpr double per_second = 1e9;
constexpr double per_microsecond = 1e3;

struct settings {
    sockaddr_in address{};
    unsigned connections = 64;
    unsigned size = 64;
    unsigned in_flight = 1;
    double seconds = 5;
    double warm_up = 0.5;
    std::string server_pid;
    bool spin = false;
    bool progress = isatty(STDERR_FILENO) != 0;
};

nanoseconds read_clock(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return nanoseconds(time.tv_sec) * nanoseconds(per_second) + nanoseconds(time.tv_nsec);
}

nanoseconds now() { return read_clock(CLOCK_MONOTONIC); }

// Counts durations in steps of less than 1.6 percent of their size, whatever their size.
class histogram {
public:
    void add(nanoseconds duration) {
        ++counts_[slot(duration)];
        ++total_;
        longest_ = std::max(longest_, duration);
    }

    nanoseconds percentile(double percent) const {
        const double wanted = double(total_) * percent / 100;
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen > 0 && double(seen) >= wanted) return least(i);
        }
        return 0;
    }

    nanoseconds longest() const { return longest_; }

private:
    static constexpr int step_bits = 6;  // 64 steps between a power of two and the next

    static std::size_t slot(nanoseconds duration) {
        const int shift = std::max(0, int(std::bit_width(duration)) - step_bits - 1);
        return (std::size_t(shift) << step_bits) + (duration >> shift);
    }

    static nanoseconds least(std::size_t slot) {
        const std::size_t shift = std::max<std::size_t>(slot >> step_bits, 1) - 1;
        return (slot - (shift << step_bits)) << shift;
    }

    std::array<std::uint64_t, std::size_t(64 - step_bits + 1) << step_bits> counts_{};
    std::uint64_t total_ = 0;
    nanoseconds longest_ = 0;
};

// Every connection sends the same endless noise from a start of its own, so that a byte lost,
// doubled, moved or crossed over from another connection shows. The period is prime: no message
// size divides it.
class pattern {
public:
    static constexpr std::size_t longest_span = 65536;

    pattern() : noise_(period + longest_span) {
        std::minstd_rand random;
        std::generate_n(noise_.begin(), period, [&] { return char(random() >> 16); });
        std::copy_n(noise_.begin(), longest_span, noise_.begin() + period);
    }

    const char* at(unsigned connection, std::uint64_t position) const {
        return noise_.data() + (connection * stride + position) % period;
    }

private:
    static constexpr std::uint64_t period = 131'071;
    static constexpr std::uint64_t stride = 7'919;

    std::vector<char> noise_;
};

// Nanoseconds on a CPU of each thread of the process, from the scheduler's own accounting.
std::map<std::string, nanoseconds> cpu_by_thread(const std::string& pid) {
    std::map<std::string, nanoseconds> cpu;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + pid + "/task")) {
        std::ifstream file(thread.path() / "schedstat");
        if (nanoseconds used = 0; file >> used) cpu[thread.path().filename()] = used;
    }
    return cpu;
}

// A thread that began in between counts from zero.
nanoseconds cpu_between(const std::map<std::string, nanoseconds>& before,
                        const std::map<std::string, nanoseconds>& after) {
    nanoseconds sum = 0;
    for (const auto& [thread, used] : after) {
        const auto earlier = before.find(thread);
        sum += used - (earlier == before.end() ? 0 : earlier->second);
    }
    return sum;
}

struct connection {
    int socket = -1;
    unsigned number = 0;
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t wanted = 0;             // bytes that may be sent by now
    std::vector<nanoseconds> departures;  // of message n at n modulo the messages in flight
};

class load {
public:
    explicit load(const settings& chosen)
        : settings_(chosen),
          epoll_(epoll_create1(EPOLL_CLOEXEC)),
          connections_(chosen.connections) {
        if (epoll_ < 0) fail("epoll_create1");
        for (unsigned i = 0; i < chosen.connections; ++i) open(connections_[i], i);
    }

    void run() {
        for (connection& each : connections_) {
            depart(each, 0, settings_.in_flight, now());
            if (!send(each)) abandon(each);
        }
        run_for("warming up", settings_.warm_up);

        std::map<std::string, nanoseconds> server_before;
        if (!settings_.server_pid.empty()) server_before = cpu_by_thread(settings_.server_pid);
        const nanoseconds client_before = read_clock(CLOCK_PROCESS_CPUTIME_ID);
        measuring_ = true;
        elapsed_ = run_for("measuring", settings_.seconds);
        measuring_ = false;
        client_cpu_ = read_clock(CLOCK_PROCESS_CPUTIME_ID) - client_before;
        if (!settings_.server_pid.empty())
            server_cpu_ = cpu_between(server_before, cpu_by_thread(settings_.server_pid));

        draining_ = true;
        run_for("draining", longest_drain);
        errors_ += unfinished();
        for (connection& each : connections_) close(each.socket);
    }

    bool report() const {
        const auto messages = double(std::max<std::uint64_t>(messages_, 1));
        const auto latency = [&](nanoseconds value) { return double(value) / per_microsecond; };
        const std::string server_cpu = settings_.server_pid.empty()
                                           ? "null"
                                           : std::to_string(double(server_cpu_) / messages);
        std::printf(
            "{\"connections\": %u, \"size\": %u, \"in_flight\": %u, \"spin\": %s, "
            "\"seconds\": %.3f, \"messages\": %llu, \"messages_per_second\": %.1f, "
            "\"latency_us\": {\"p50\": %.3f, \"p99\": %.3f, \"p99.9\": %.3f, \"max\": %.3f}, "
            "\"server_cpu_ns_per_message\": %s, \"client_cpu_ns_per_message\": %.1f, "
            "\"errors\": %llu}\n",
            settings_.connections, settings_.size, settings_.in_flight,
            settings_.spin ? "true" : "false", double(elapsed_) / per_second,
            static_cast<unsigned long long>(messages_),
            double(messages_) * per_second / double(elapsed_), latency(latencies_.percentile(50)),
            latency(latencies_.percentile(99)), latency(latencies_.percentile(99.9)),
            latency(latencies_.longest()), server_cpu.c_str(), double(client_cpu_) / messages,
            static_cast<unsigned long long>(errors_));
        return errors_ == 0 && messages_ > 0;
    }

private:
    static constexpr int events_per_turn = 512;
    static constexpr double longest_drain = 5;
    static constexpr nanoseconds between_progress = 500'000'000;

    // One after another and blocking: a backlog that overflows then only slows this down.
    void open(connection& opened, unsigned number) {
        opened.number = number;
        opened.departures.resize(settings_.in_flight);
        opened.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (opened.socket < 0) fail("socket");
        const auto* address = reinterpret_cast<const sockaddr*>(&settings_.address);
        if (connect(opened.socket, address, sizeof settings_.address) != 0) fail("connect");
        if (fcntl(opened.socket, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
        set_no_delay(opened.socket);
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        event.data.ptr = &opened;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, opened.socket, &event) != 0) fail("epoll_ctl");
    }

    nanoseconds run_for(const char* phase, double seconds) {
        const nanoseconds begin = now();
        const nanoseconds end = begin + nanoseconds(seconds * per_second);
        nanoseconds next_progress = begin + between_progress;
        nanoseconds time = begin;
        while (time < end && errors_ < connections_.size() && !(draining_ && unfinished() == 0)) {
            time = turn(end - time);
            if (settings_.progress && time >= next_progress) {
                std::fprintf(stderr, "%s: %.1f of %.1f s, %llu messages\n", phase,
                             double(time - begin) / per_second, seconds,
                             static_cast<unsigned long long>(messages_));
                next_progress += between_progress;
            }
        }
        return std::max<nanoseconds>(time - begin, 1);
    }

    nanoseconds turn(nanoseconds longest) {
        const int timeout = settings_.spin ? 0 : int(longest / 1'000'000) + 1;
        std::array<epoll_event, events_per_turn> events;
        const int count = epoll_wait(epoll_, events.data(), events_per_turn, timeout);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; ++i) {
            auto& ready = *static_cast<connection*>(events[i].data.ptr);
            const bool peer_finished = (events[i].events & (EPOLLRDHUP | EPOLLERR)) != 0;
            if (peer_finished || !receive(ready) || !send(ready)) abandon(ready);
        }
        return now();
    }

    // False when the connection failed, or brought what was not sent.
    bool receive(connection& from) {
        for (;;) {
            std::array<char, pattern::longest_span> bytes;
            const ssize_t count = recv(from.socket, bytes.data(), bytes.size(), 0);
            if (count <= 0) return count < 0 && errno == EAGAIN;
            const auto received = std::size_t(count);
            const char* expected = pattern_.at(from.number, from.received);
            if (from.received + received > from.sent ||
                std::memcmp(bytes.data(), expected, received) != 0)
                return false;

            const std::uint64_t first = from.received / settings_.size;
            from.received += received;
            arrive(from, first, from.received / settings_.size);
            if (received < bytes.size()) return true;
        }
    }

    void arrive(connection& at, std::uint64_t first, std::uint64_t last) {
        const nanoseconds time = now();
        if (measuring_) {
            messages_ += last - first;
            for (std::uint64_t message = first; message < last; ++message)
                latencies_.add(time - at.departures[message % settings_.in_flight]);
        }
        if (!draining_) depart(at, first, last, time);
    }

    void depart(connection& from, std::uint64_t first, std::uint64_t last, nanoseconds time) {
        for (std::uint64_t message = first; message < last; ++message)
            from.departures[message % settings_.in_flight] = time;
        from.wanted += (last - first) * settings_.size;
    }

    // False when the connection failed; what the socket does not take waits for its next event.
    bool send(connection& to) {
        while (to.sent < to.wanted) {
            const auto length = std::min<std::uint64_t>(to.wanted - to.sent, pattern::longest_span);
            const char* bytes = pattern_.at(to.number, to.sent);
            const ssize_t count = ::send(to.socket, bytes, length, MSG_NOSIGNAL);
            if (count < 0) return errno == EAGAIN;
            to.sent += std::size_t(count);
        }
        return true;
    }

    void abandon(connection& broken) {
        close(broken.socket);
        broken.socket = -1;
        ++errors_;
    }

    std::size_t unfinished() const {
        return std::size_t(std::ranges::count_if(connections_, [](const connection& each) {
            return each.socket >= 0 && each.received < each.wanted;
        }));
    }

    const settings settings_;
    const int epoll_;
    const pattern pattern_;
    std::vector<connection> connections_;
    histogram latencies_;
    bool measuring_ = false;
    bool draining_ = false;
    std::uint64_t messages_ = 0;
    std::uint64_t errors_ = 0;
    nanoseconds elapsed_ = 0;
    nanoseconds client_cpu_ = 0;
    nanoseconds server_cpu_ = 0;
};

constexpr char usage[] =
    "usage: load --connect HOST:PORT [--connections N] [--size BYTES] [--in-flight MESSAGES]\n"
    "            [--seconds S] [--warm-up S] [--server-pid PID] [--spin] [--progress]\n"
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

settings parse_arguments(int argc, char** argv) {
    enum {
        connect, connections, size, in_flight, seconds, warm_up, server_pid, spin, progress
    };
    const option flags[] = {{"connect", required_argument, nullptr, connect},
                            {"connections", required_argument, nullptr, connections},
                            {"size", required_argument, nullptr, size},
                            {"in-flight", required_argument, nullptr, in_flight},
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
            case connections: chosen.connections = parse_number(optarg, 1u); break;
            case size: chosen.size = parse_number(optarg, 1u); break;
            case in_flight: chosen.in_flight = parse_number(optarg, 1u); break;
            case seconds: chosen.seconds = parse_number(optarg, 0.001); break;
            case warm_up: chosen.warm_up = parse_number(optarg, 0.0); break;
            case server_pid: chosen.server_pid = std::to_string(parse_number(optarg, 1)); break;
            case spin: chosen.spin = true; break;
            case progress: chosen.progress = true; break;
            default: refuse(usage, argv[0]);
        }
    }
    if (optind != argc || chosen.address.sin_port == 0) refuse(usage, argv[0]);
    return chosen;
}

}  // namespace

int main(int argc, char** argv) {
    const settings chosen = parse_arguments(argc, argv);
    raise_descriptor_limit();
    load load(chosen);
    load.run();
    return load.report() ? 0 : 1;
}
