#pragma once

// What all loads share: what is wanted, the phases of a run, and the figures.

#include "sockets.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

using nanoseconds = std::uint64_t;

constexpr double per_second = 1e9;
constexpr double per_microsecond = 1e3;

enum class work { echo, idle, broadcast, datagrams };

struct settings {
    sockaddr_in address{};
    work kind = work::echo;
    unsigned connections = 64;
    unsigned size = 64;
    unsigned in_flight = 1;
    unsigned messages_each = 0;  // of a connection before another takes its place; 0 is no limit
    unsigned segments = 1;       // datagrams that the kernel is given at once
    double seconds = 5;
    double warm_up = 0.5;
    std::string server_pid;
    bool spin = false;
    bool progress = isatty(STDERR_FILENO) != 0;
};

inline nanoseconds read_clock(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return nanoseconds(time.tv_sec) * nanoseconds(per_second) + nanoseconds(time.tv_nsec);
}

inline nanoseconds now() { return read_clock(CLOCK_MONOTONIC); }

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

// Nanoseconds on a CPU of all threads of the process, those that have ended counted, from the
// scheduler's own accounting.
inline nanoseconds cpu_of(const std::string& pid) {
    clockid_t clock;
    if (clock_getcpuclockid(std::stoi(pid), &clock) != 0)
        refuse("no such process has a clock of its CPU time", pid.c_str());
    return read_clock(clock);
}

// Bytes of memory that are the process's own and in use, from proc(5): smaps_rollup.
inline std::uint64_t memory_of(const std::string& pid) {
    std::ifstream file("/proc/" + pid + "/smaps_rollup");
    for (std::string word; file >> word;) {
        if (std::uint64_t kibibytes = 0; word == "Anonymous:" && file >> kibibytes)
            return kibibytes * 1024;
    }
    refuse("its smaps_rollup does not say what memory it uses", pid.c_str());
}

// One turn of epoll at a time.
class poller {
public:
    explicit poller(bool spin) : spin_(spin), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        if (epoll_ < 0) fail("epoll_create1");
    }

    void add(int socket, void* owner) {
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        event.data.ptr = owner;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) != 0) fail("epoll_ctl");
    }

    // Calls ready(owner, events) for each socket that became so within that time.
    template <class Ready>
    void turn(nanoseconds longest, Ready ready) {
        const int timeout = spin_ ? 0 : int(longest / 1'000'000) + 1;
        std::array<epoll_event, 512> events;
        const int count = epoll_wait(epoll_, events.data(), int(events.size()), timeout);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; ++i) ready(events[i].data.ptr, events[i].events);
    }

private:
    const bool spin_;
    const int epoll_;
};

// The phases of a run, and what came of it. A load has begin(), turn(longest), and unfinished(),
// which counts what is still to come home.
class measurement {
public:
    explicit measurement(const settings& chosen) : settings_(chosen) {}

    bool draining() const { return draining_; }

    // So many messages came home; durations are of those whose latency counts.
    void add(std::uint64_t messages) {
        if (measuring_) messages_ += messages;
    }
    void add_latency(nanoseconds duration) {
        if (measuring_) latencies_.add(duration);
    }
    void add_error() { ++errors_; }

    template <class Load>
    void run(Load& load) {
        load.begin();
        run_for(load, "warming up", settings_.warm_up, [] { return false; });

        const nanoseconds server_before = has_server() ? cpu_of(settings_.server_pid) : 0;
        const nanoseconds client_before = read_clock(CLOCK_PROCESS_CPUTIME_ID);
        measuring_ = true;
        elapsed_ = run_for(load, "measuring", settings_.seconds, [] { return false; });
        // On a busy machine an instant may pass before the first is home.
        elapsed_ += run_for(load, "measuring longer", longest_drain,
                            [this] { return messages_ > 0; });
        measuring_ = false;
        client_cpu_ = read_clock(CLOCK_PROCESS_CPUTIME_ID) - client_before;
        if (has_server()) server_cpu_ = cpu_of(settings_.server_pid) - server_before;
        drain(load);
    }

    // Every connection speaks once and is then silent; `before` is the server's memory without
    // them.
    template <class Load>
    void run_once(Load& load, std::uint64_t before) {
        measuring_ = true;
        const nanoseconds begin = now();
        load.begin();
        drain(load);
        elapsed_ = now() - begin;
        const auto after = memory_of(settings_.server_pid);
        memory_ = double(after) - double(before);
    }

    bool report() const {
        const auto messages = double(std::max<std::uint64_t>(messages_, 1));
        const auto latency = [&](nanoseconds value) { return double(value) / per_microsecond; };
        std::printf(
            "{\"connections\": %u, \"size\": %u, \"in_flight\": %u, \"spin\": %s, "
            "\"seconds\": %.3f, \"messages\": %llu, \"messages_per_second\": %.1f, "
            "\"latency_us\": "
            "{\"p50\": %.3f, \"p99\": %.3f, \"p99.9\": %.3f, \"max\": %.3f}, "
            "\"server_cpu_ns_per_message\": %s, \"client_cpu_ns_per_message\": %.1f, "
            "\"server_bytes_per_connection\": %s, \"errors\": %llu}\n",
            settings_.connections, settings_.size, settings_.in_flight,
            settings_.spin ? "true" : "false", double(elapsed_) / per_second,
            static_cast<unsigned long long>(messages_),
            double(messages_) * per_second / double(elapsed_), latency(latencies_.percentile(50)),
            latency(latencies_.percentile(99)), latency(latencies_.percentile(99.9)),
            latency(latencies_.longest()),
            number_or_null(has_server() && settings_.kind != work::idle,
                           double(server_cpu_) / messages).c_str(),
            double(client_cpu_) / messages,
            number_or_null(settings_.kind == work::idle, memory_ / settings_.connections).c_str(),
            static_cast<unsigned long long>(errors_));
        return errors_ == 0 && messages_ > 0;
    }

private:
    static constexpr double longest_drain = 5;
    static constexpr nanoseconds between_progress = 500'000'000;

    static std::string number_or_null(bool known, double number) {
        return known ? std::to_string(number) : "null";
    }

    bool has_server() const { return !settings_.server_pid.empty(); }

    template <class Load>
    void drain(Load& load) {
        draining_ = true;
        run_for(load, "draining", longest_drain, [&load] { return load.unfinished() == 0; });
        errors_ += load.unfinished();
    }

    template <class Load, class Over>
    nanoseconds run_for(Load& load, const char* phase, double seconds, Over over) {
        const nanoseconds begin = now();
        const nanoseconds end = begin + nanoseconds(seconds * per_second);
        nanoseconds next_progress = begin + between_progress;
        nanoseconds time = begin;
        while (time < end && errors_ < settings_.connections && !over()) {
            load.turn(end - time);
            time = now();
            if (settings_.progress && time >= next_progress) {
                std::fprintf(stderr, "%s: %.1f of %.1f s, %llu messages\n", phase,
                             double(time - begin) / per_second, seconds,
                             static_cast<unsigned long long>(messages_));
                next_progress += between_progress;
            }
        }
        return std::max<nanoseconds>(time - begin, 1);
    }

    const settings settings_;
    histogram latencies_;
    bool measuring_ = false;
    bool draining_ = false;
    std::uint64_t messages_ = 0;
    std::uint64_t errors_ = 0;
    nanoseconds elapsed_ = 1;
    nanoseconds client_cpu_ = 0;
    nanoseconds server_cpu_ = 0;
    double memory_ = 0;
};
