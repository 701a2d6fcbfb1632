#pragma once

// A load of datagrams, one by one or by the batch (GSO and GRO, udp(7)).

#include "measurement.hpp"

#include <fcntl.h>

// Every socket keeps so many batches in flight. A datagram begins with its number; one that lacks
// when a later one comes was lost, and so are all in flight when nothing comes for a while. Losses
// above one in a hundred are an error: the server then was not loaded as it says.
class datagram_load {
public:
    datagram_load(const settings& chosen, measurement& figures)
        : settings_(chosen),
          figures_(figures),
          poller_(chosen.spin),
          sockets_(chosen.connections),
          batch_(std::size_t(chosen.segments) * chosen.size) {
        if (chosen.size < sizeof(std::uint64_t) || batch_.size() > longest_datagram)
            refuse("a datagram has a number of 8 bytes, a batch at most 65,507 bytes", "--size");
        for (endpoint& each : sockets_) open(each);
    }
    ~datagram_load() {
        for (endpoint& each : sockets_) close(each.socket);
    }
    datagram_load(const datagram_load&) = delete;

    void begin() {
        for (endpoint& each : sockets_) fill(each);
    }

    void turn(nanoseconds longest) {
        poller_.turn(std::min(longest, patience), [this](void* owner, unsigned) {
            auto& ready = *static_cast<endpoint*>(owner);
            receive(ready);
            fill(ready);
        });
        if (const auto time = now(); time - last_look_ >= patience) {
            last_look_ = time;
            for (endpoint& each : sockets_) give_up_silent(each, time);
        }
    }

    std::size_t unfinished() const {
        return std::size_t(std::ranges::count_if(
            sockets_, [](const endpoint& each) { return each.next < each.sent; }));
    }

private:
    static constexpr nanoseconds patience = 100'000'000;
    static constexpr std::uint64_t tolerated = 1000;

    struct endpoint {
        int socket = -1;
        std::uint64_t sent = 0;  // datagrams
        std::uint64_t next = 0;  // the number of the next to come
        nanoseconds heard = 0;
        std::vector<nanoseconds> departures;  // of batch n at n modulo the batches in flight
    };

    union control {
        char bytes[CMSG_SPACE(sizeof(int))];
        cmsghdr alignment;
    };

    void open(endpoint& opened) {
        opened.departures.resize(settings_.in_flight);
        opened.heard = now();
        opened.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (opened.socket < 0) fail("socket");
        const auto* address = reinterpret_cast<const sockaddr*>(&settings_.address);
        if (connect(opened.socket, address, sizeof settings_.address) != 0) fail("connect");
        const int on = 1;
        if (settings_.segments > 1 &&
            setsockopt(opened.socket, IPPROTO_UDP, UDP_GRO, &on, sizeof on) != 0)
            fail("setsockopt UDP_GRO");
        poller_.add(opened.socket, &opened);
    }

    void fill(endpoint& from) {
        const std::uint64_t window = std::uint64_t(settings_.in_flight) * settings_.segments;
        while (!figures_.draining() && from.sent + settings_.segments <= from.next + window) {
            for (unsigned i = 0; i < settings_.segments; ++i) write(from.sent + i, i);
            if (!send_batch(from.socket)) return;
            from.departures[from.sent / settings_.segments % settings_.in_flight] = now();
            from.sent += settings_.segments;
        }
    }

    void write(std::uint64_t number, unsigned place) {
        char* datagram = batch_.data() + std::size_t(place) * settings_.size;
        std::memcpy(datagram, &number, sizeof number);
        std::memcpy(datagram + sizeof number, body(number), settings_.size - sizeof number);
    }
    const char* body(std::uint64_t number) const {
        return pattern_.at(0, number * settings_.size);
    }

    // False where the socket takes no more for now.
    bool send_batch(int socket) {
        iovec memory{batch_.data(), batch_.size()};
        control room{};
        msghdr message{};
        message.msg_iov = &memory;
        message.msg_iovlen = 1;
        if (settings_.segments > 1) {
            message.msg_control = &room;
            message.msg_controllen = CMSG_SPACE(sizeof(std::uint16_t));
            auto* part = CMSG_FIRSTHDR(&message);
            const auto size = std::uint16_t(settings_.size);
            part->cmsg_level = IPPROTO_UDP;
            part->cmsg_type = UDP_SEGMENT;
            part->cmsg_len = CMSG_LEN(sizeof size);
            std::memcpy(CMSG_DATA(part), &size, sizeof size);
        }
        if (sendmsg(socket, &message, MSG_NOSIGNAL) >= 0) return true;
        if (errno != EAGAIN && errno != ENOBUFS) fail("sendmsg");
        return false;
    }

    void receive(endpoint& at) {
        for (;;) {
            static std::array<char, 65536> bytes;
            const ssize_t count = recv(at.socket, bytes.data(), bytes.size(), 0);
            if (count < 0) {
                if (errno != EAGAIN) fail("recv");
                return;
            }
            at.heard = now();
            // Joined datagrams are all of the one size that is sent.
            for (std::size_t begin = 0; begin < std::size_t(count); begin += settings_.size)
                arrive(at, bytes.data() + begin, std::size_t(count) - begin);
        }
    }

    void arrive(endpoint& at, const char* datagram, std::size_t rest) {
        std::uint64_t number = 0;
        if (rest < settings_.size) return figures_.add_error();
        std::memcpy(&number, datagram, sizeof number);
        if (number >= at.sent || std::memcmp(datagram + sizeof number, body(number),
                                             settings_.size - sizeof number) != 0)
            return figures_.add_error();
        if (number < at.next) return;  // given up before
        ++received_;
        lose(number - at.next);
        at.next = number + 1;
        figures_.add(1);
        figures_.add_latency(at.heard -
                             at.departures[number / settings_.segments % settings_.in_flight]);
    }

    void give_up_silent(endpoint& silent, nanoseconds time) {
        if (time - silent.heard < patience || silent.next == silent.sent) return;
        lose(silent.sent - silent.next);
        silent.next = silent.sent;
        silent.heard = time;
        fill(silent);
    }

    void lose(std::uint64_t count) {
        lost_ += count;
        if (too_many_lost_ || lost_ <= tolerated + received_ / 100) return;
        too_many_lost_ = true;
        figures_.add_error();
        std::fprintf(stderr, "%llu datagrams were lost while %llu came home\n",
                     static_cast<unsigned long long>(lost_),
                     static_cast<unsigned long long>(received_));
    }

    const settings settings_;
    measurement& figures_;
    const pattern pattern_;
    poller poller_;
    std::vector<endpoint> sockets_;
    std::vector<char> batch_;
    std::uint64_t lost_ = 0;
    std::uint64_t received_ = 0;
    bool too_many_lost_ = false;
    nanoseconds last_look_ = now();
};
