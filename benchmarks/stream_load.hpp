#pragma once

// Loads on TCP connections: echo, and broadcast.

#include "measurement.hpp"

#include <fcntl.h>

#include <limits>

// Connects, one after another and blocking: a backlog that overflows then only slows this down.
// Each address has some 28,000 ports, but all of 127.0.0.0/8 is ours.
class dialler {
public:
    explicit dialler(const settings& chosen) : address_(chosen.address) {}

    int connect_one() {
        const int opened = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (opened < 0) fail("socket");
        if (const auto turn = dialled_++ / per_address % addresses; turn > 0) bind_to(opened, turn);
        const auto* address = reinterpret_cast<const sockaddr*>(&address_);
        if (connect(opened, address, sizeof address_) != 0) fail("connect");
        set_no_delay(opened);
        return opened;
    }

    static void never_block(int socket) {
        if (fcntl(socket, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
    }

private:
    static constexpr std::uint64_t per_address = 16'384;
    static constexpr std::uint64_t addresses = 250;
    static constexpr in_addr_t loopback_network = 127;

    void bind_to(int opened, std::uint64_t turn) const {
        if (ntohl(address_.sin_addr.s_addr) >> 24 != loopback_network) return;
        sockaddr_in own{};
        own.sin_family = AF_INET;
        own.sin_addr.s_addr = htonl(in_addr_t(INADDR_LOOPBACK + turn));
        const int on = 1;
        // The port is then chosen when the peer is known, and may be in use towards others. ip(7)
        setsockopt(opened, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(opened, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) fail("bind");
    }

    const sockaddr_in address_;
    std::uint64_t dialled_ = 0;
};

// One direction of a stream of the pattern.
struct flow {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t wanted = 0;  // bytes that may be sent by now
};

// False when the connection failed; what the socket does not take waits for its next event.
inline bool send_wanted(int socket, flow& bytes, const pattern& noise, unsigned number) {
    while (bytes.sent < bytes.wanted) {
        const auto rest = bytes.wanted - bytes.sent;
        const auto length = std::min<std::uint64_t>(rest, pattern::longest_span);
        const ssize_t count =
            ::send(socket, noise.at(number, bytes.sent), length, MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN;
        bytes.sent += std::size_t(count);
    }
    return true;
}

// Calls arrived(bytes) for all that came. False when the connection failed or ended, or brought
// what was not sent.
template <class Arrived>
bool receive_sent(int socket, std::uint64_t& received, const std::uint64_t& sent,
                  const pattern& noise, unsigned number, Arrived arrived) {
    for (;;) {
        std::array<char, pattern::longest_span> bytes;
        const ssize_t result = recv(socket, bytes.data(), bytes.size(), 0);
        if (result <= 0) return result < 0 && errno == EAGAIN;
        const auto count = std::size_t(result);
        if (received + count > sent ||
            std::memcmp(bytes.data(), noise.at(number, received), count) != 0)
            return false;
        received += count;
        arrived();
        if (count < bytes.size()) return true;
    }
}

// Every connection keeps the same number of messages in flight, and a message that came home, byte
// for byte, makes room for the next. Where a connection has so many messages and no more, it is
// reset then, and followed by a new one; its latency counts from before it was connected.
class echo_load {
public:
    echo_load(const settings& chosen, measurement& figures)
        : settings_(chosen),
          figures_(figures),
          dialler_(chosen),
          poller_(chosen.spin),
          connections_(chosen.connections) {
        for (unsigned i = 0; i < chosen.connections; ++i) {
            connections_[i].number = i;
            connections_[i].departures.resize(settings_.in_flight);
            open(connections_[i]);
        }
    }
    ~echo_load() {
        for (connection& each : connections_) close(each.socket);
    }
    echo_load(const echo_load&) = delete;

    void begin() {
        for (connection& each : connections_) begin(each, now());
    }

    void turn(nanoseconds longest) {
        poller_.turn(longest, [this](void* owner, unsigned events) {
            auto& ready = *static_cast<connection*>(owner);
            if (ready.socket < 0) return;
            const bool peer_finished = (events & (EPOLLRDHUP | EPOLLERR)) != 0;
            if (peer_finished || !receive(ready) || !send(ready)) abandon(ready);
            else if (has_ended(ready)) follow(ready);
        });
    }

    std::size_t unfinished() const {
        return std::size_t(std::ranges::count_if(connections_, [](const connection& each) {
            return each.socket >= 0 && each.bytes.received < each.bytes.wanted;
        }));
    }

private:
    struct connection {
        int socket = -1;
        unsigned number = 0;
        flow bytes;
        std::vector<nanoseconds> departures;  // of message n at n modulo the messages in flight
    };

    void open(connection& opened) {
        opened.socket = dialler_.connect_one();
        opened.bytes = {};
        dialler::never_block(opened.socket);
        poller_.add(opened.socket, &opened);
    }

    void begin(connection& opened, nanoseconds departure) {
        depart(opened, 0, settings_.in_flight, departure);
        if (!send(opened)) abandon(opened);
    }

    std::uint64_t last_byte() const {
        return settings_.messages_each == 0
                   ? std::numeric_limits<std::uint64_t>::max()
                   : std::uint64_t(settings_.messages_each) * settings_.size;
    }
    bool has_ended(const connection& each) const { return each.bytes.received == last_byte(); }

    // Closed politely it would linger for a minute, and 100,000 that do make new ones slow.
    void follow(connection& ended) {
        const linger reset{.l_onoff = 1, .l_linger = 0};
        if (setsockopt(ended.socket, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) != 0)
            fail("setsockopt SO_LINGER");
        close(ended.socket);
        ended.socket = -1;
        if (figures_.draining()) return;
        const auto departure = now();
        open(ended);
        begin(ended, departure);
    }

    bool receive(connection& from) {
        std::uint64_t first = from.bytes.received / settings_.size;
        return receive_sent(from.socket, from.bytes.received, from.bytes.sent, pattern_,
                            from.number, [&] {
            const std::uint64_t last = from.bytes.received / settings_.size;
            arrive(from, first, last);
            first = last;
        });
    }

    void arrive(connection& at, std::uint64_t first, std::uint64_t last) {
        const nanoseconds time = now();
        figures_.add(last - first);
        for (std::uint64_t message = first; message < last; ++message)
            figures_.add_latency(time - at.departures[message % settings_.in_flight]);
        if (!figures_.draining()) depart(at, first, last, time);
    }

    void depart(connection& from, std::uint64_t first, std::uint64_t last, nanoseconds time) {
        for (std::uint64_t message = first; message < last; ++message)
            from.departures[message % settings_.in_flight] = time;
        from.bytes.wanted =
            std::min(from.bytes.wanted + (last - first) * settings_.size, last_byte());
    }

    bool send(connection& to) { return send_wanted(to.socket, to.bytes, pattern_, to.number); }

    void abandon(connection& broken) {
        close(broken.socket);
        broken.socket = -1;
        figures_.add_error();
    }

    const settings settings_;
    measurement& figures_;
    const pattern pattern_;
    dialler dialler_;
    poller poller_;
    std::vector<connection> connections_;
};

// One connection sends, all others receive; a message that reached them all makes room for the
// next. What counts as a message is one that reached one of them, and the latency is that of the
// last.
class broadcast_load {
public:
    broadcast_load(const settings& chosen, measurement& figures)
        : settings_(chosen),
          figures_(figures),
          dialler_(chosen),
          poller_(chosen.spin),
          subscribers_(chosen.connections),
          departures_(chosen.in_flight),
          arrivals_(chosen.in_flight) {
        source_ = dialler_.connect_one();
        dialler::never_block(source_);
        poller_.add(source_, nullptr);
        for (subscriber& each : subscribers_) subscribe(each);
    }
    ~broadcast_load() {
        close(source_);
        for (subscriber& each : subscribers_) close(each.socket);
    }
    broadcast_load(const broadcast_load&) = delete;

    void begin() { depart(settings_.in_flight); }

    void turn(nanoseconds longest) {
        poller_.turn(longest, [this](void* owner, unsigned events) {
            auto* ready = static_cast<subscriber*>(owner);
            if ((events & (EPOLLRDHUP | EPOLLERR)) != 0) abandon(ready);
            else if (!ready) send();
            else if (!receive(*ready)) abandon(ready);
        });
    }

    // Of the subscribers, those who still lack something.
    std::size_t unfinished() const {
        return std::size_t(std::ranges::count_if(subscribers_, [this](const subscriber& each) {
            return each.received < bytes_.wanted;
        }));
    }

private:
    struct subscriber {
        int socket = -1;
        std::uint64_t received = 0;
    };

    void subscribe(subscriber& each) {
        each.socket = dialler_.connect_one();
        const timeval patience{.tv_sec = 5, .tv_usec = 0};
        if (setsockopt(each.socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
            fail("setsockopt SO_RCVTIMEO");
        char greets = 0;
        if (recv(each.socket, &greets, 1, 0) != 1 || greets != greeting)
            refuse("the server did not greet a subscriber", "--work broadcast");
        dialler::never_block(each.socket);
        poller_.add(each.socket, &each);
    }

    bool receive(subscriber& at) {
        std::uint64_t first = at.received / settings_.size;
        return receive_sent(at.socket, at.received, bytes_.sent, pattern_, 0, [&] {
            const std::uint64_t last = at.received / settings_.size;
            figures_.add(last - first);
            for (; first < last; ++first) arrive(first);
        });
    }

    void arrive(std::uint64_t message) {
        const auto place = message % settings_.in_flight;
        if (++arrivals_[place] < subscribers_.size()) return;
        arrivals_[place] = 0;
        figures_.add_latency(now() - departures_[place]);
        if (!figures_.draining()) depart(1);
    }

    void depart(unsigned messages) {
        for (; messages > 0; --messages) {
            departures_[bytes_.wanted / settings_.size % settings_.in_flight] = now();
            bytes_.wanted += settings_.size;
        }
        send();
    }

    void send() {
        if (!send_wanted(source_, bytes_, pattern_, 0)) abandon(nullptr);
    }

    void abandon(subscriber* broken) {
        int& socket = broken ? broken->socket : source_;
        if (socket < 0) return;
        close(socket);
        socket = -1;
        figures_.add_error();
    }

    const settings settings_;
    measurement& figures_;
    const pattern pattern_;
    dialler dialler_;
    poller poller_;
    int source_ = -1;
    flow bytes_;
    std::vector<subscriber> subscribers_;
    std::vector<nanoseconds> departures_;
    std::vector<std::size_t> arrivals_;
};
