#pragma once

#include "simulated_network.hpp"

namespace coho {

/// The connections of a simulated world: a TCP without segments of its own, in which the bytes that
/// a socket has sent lie with the receiver, and become readable when their time has come.
class simulated_streams : public simulated_network {
public:
    /// Every socket of the host fails from now on (errc::other), and its peers hear nothing of it;
    /// what it had sent and is under way is lost.
    void crash(const ip_address& host) noexcept {
        note(happening::crashed, 0, 0);
        hosts_.set_down(host, true);
        const auto down = simulated_hosts::host_of(host);
        sockets_.for_each([&](simulated_socket& each) {
            if (simulated_hosts::host_of(each.local.address()) != down) return;
            each.dead = true;
            break_off(each, EIO);
        });
    }
    /// Sockets can be opened there again; who sends to a connection of before gets a reset.
    void restart(const ip_address& host) noexcept {
        note(happening::restarted, 0, 0);
        hosts_.set_down(host, false);
    }

protected:
    using simulated_network::simulated_network;

    /// What lies ahead of connections.
    void happen_to(simulated_socket& socket, const simulated_event& event) noexcept {
        switch (event.what) {
        case happening::segment:
        case happening::end: arrive(socket, event); break;
        case happening::reset:
            if (reachable(socket.remote, socket.local)) break_off(socket, ECONNRESET);
            break;
        case happening::connection_request: receive_request(socket, event.amount); break;
        case happening::connected: become_connected(socket, event.amount); break;
        case happening::refused:
            if (is_connecting(socket, event.amount)) fail_connect(socket, ECONNREFUSED);
            break;
        case happening::window: tell(socket); break;
        case happening::retransmission: send_again(socket); break;
        case happening::keep_alive_probe: probe(socket, event.amount); break;
        case happening::mishap: strike(socket, static_cast<fault>(event.amount)); break;
        default: break;
        }
    }

    /// The count of bytes that went out, `blocked` where there is no room, or a negated error
    /// number.
    std::intptr_t transmit(simulated_socket& sender, std::span<const std::byte> bytes) noexcept {
        if (sender.broken) return -(sender.broken == ECONNRESET ? EPIPE : sender.broken);
        if (sender.stage == simulated_stage::connecting) return blocked;
        if (sender.stage != simulated_stage::connected) return -ENOTCONN;
        if (sender.end_sent) return -EPIPE;
        if (bytes.empty()) return 0;
        const auto room = free_room(sender);
        if (room == 0) return blocked;
        const auto count = bytes.size() < room ? bytes.size() : room;
        auto* const receiver = receiver_of(sender);
        if (!receiver) {
            begin_retransmission(sender);
            sender.unanswered_bytes += count;
            return static_cast<std::intptr_t>(count);
        }
        if (!receiver->incoming.push(bytes.first(count))) return -ENOBUFS;
        schedule(happening::segment, arrival_in_order(sender, *receiver, count), receiver->self,
                 count);
        return static_cast<std::intptr_t>(count);
    }
    /// Whether a write would move bytes, or fail at once.
    bool has_room(const simulated_socket& sender) noexcept {
        if (sender.stage == simulated_stage::connecting) return false;
        return free_room(sender) > 0;
    }
    /// The count of bytes taken, 0 at the end, `blocked`, or a negated error number.
    std::intptr_t take_bytes(simulated_socket& socket, std::span<std::byte> place) noexcept {
        if (socket.arrived == 0) {
            if (socket.receiving_ended) return 0;
            if (socket.broken) {
                // A system tells it once, and then the end; a host that has crashed is no system.
                socket.receiving_ended = !socket.dead;
                return -socket.broken;
            }
            if (socket.stage == simulated_stage::connecting) return blocked;
            if (socket.stage != simulated_stage::connected) return -ENOTCONN;
            return socket.end_arrived ? 0 : blocked;
        }
        const auto bytes =
            socket.incoming.front(place.size() < socket.arrived ? place.size() : socket.arrived);
        if (!bytes.empty()) std::memcpy(place.data(), bytes.data(), bytes.size());
        socket.incoming.pop(bytes.size());
        socket.arrived -= bytes.size();
        auto* const sender = sockets_.find(socket.peer);
        if (sender && sender->waiting[static_cast<int>(direction::send)]) {
            schedule(happening::window, arrival(socket.local, socket.remote), sender->self);
        }
        return static_cast<std::intptr_t>(bytes.size());
    }

    /// 0, or the error number that it fails with at once.
    int begin_connect(simulated_socket& client, const endpoint& peer) noexcept {
        if (client.broken) return client.broken;
        if (client.stage == simulated_stage::connected) return EISCONN;
        if (client.stage != simulated_stage::idle) return EINVAL;
        if (peer.address().family() != client.family) return EAFNOSUPPORT;
        client.remote = peer.address().is_any()
                            ? endpoint(ip_address::loopback(client.family), peer.port())
                            : peer;
        if (client.local.port() == 0) {
            const endpoint own{ip_address::loopback(client.family), 0};
            if (const int failed = bind_to(client, own)) return failed;
        }
        if (is_taken(client)) return EADDRNOTAVAIL;
        client.stage = simulated_stage::connecting;
        client.connect_began = now_;
        send_request(client, now_);
        return 0;
    }
    /// It was cancelled; the socket can try anew.
    void abandon_connect(simulated_socket& client) noexcept {
        if (client.stage != simulated_stage::connecting) return;
        reset_peer_of(client);
        client.peer = {};
        client.stage = simulated_stage::idle;
        ++client.connect_attempt;
    }

    void end_sending(simulated_socket& socket) noexcept {
        if (socket.stage != simulated_stage::connected || socket.end_sent || socket.broken) return;
        socket.end_sent = true;
        auto* const peer = sockets_.find(socket.peer);
        if (peer) schedule(happening::end, arrival_in_order(socket, *peer, 0), peer->self);
    }
    /// The peer sees the end, or a reset where bytes were left unread or the socket lingers for no
    /// time.
    void leave(simulated_socket& socket) noexcept {
        while (socket.first_connection) {
            auto& unaccepted = socket.pop_connection();
            reset_peer_of(unaccepted);
            forget(unaccepted);
        }
        const bool lost_bytes = socket.incoming.size() > 0 && !socket.receiving_ended;
        const bool abrupt = socket.linger.value && socket.linger.time.count() == 0;
        if (socket.stage == simulated_stage::connecting || lost_bytes || abrupt) {
            reset_peer_of(socket);
        } else {
            end_sending(socket);
        }
    }
    void forget(simulated_socket& socket) noexcept {
        if (socket.number != handle::none) sockets_.close(socket);
        sockets_.remove(socket);
    }
    void watch(simulated_socket& socket) noexcept {
        socket.unanswered_probes = 0;
        ++socket.probing;
        if (!socket.keep_alive.value || socket.stage != simulated_stage::connected) return;
        schedule(happening::keep_alive_probe, now_ + socket.keep_alive.idle, socket.self,
                 socket.probing);
    }

private:
    // tcp(7): how long Linux sends a segment again (tcp_retries2), and asks for a connection
    // (tcp_syn_retries).
    static constexpr duration longest_silence = std::chrono::minutes(15);
    static constexpr duration longest_connect = std::chrono::seconds(127);
    static constexpr duration shortest_pause = std::chrono::milliseconds(200);
    static constexpr duration longest_pause = std::chrono::seconds(60);

    /// Null where nobody is there who knows the connection.
    simulated_socket* receiver_of(const simulated_socket& sender) noexcept {
        auto* const receiver = sockets_.find(sender.peer);
        return receiver && !receiver->dead ? receiver : nullptr;
    }
    /// What nobody receives lies with the sender.
    std::size_t free_room(const simulated_socket& sender) noexcept {
        auto* const receiver = receiver_of(sender);
        auto room = static_cast<std::size_t>(sender.send_room.bytes);
        if (receiver) room += static_cast<std::size_t>(receiver->receive_room.bytes);
        const auto taken = receiver ? receiver->incoming.size() : sender.unanswered_bytes;
        return taken < room ? room - taken : 0;
    }
    /// What is sent later arrives later, also where something is lost and sent again.
    time_point arrival_in_order(simulated_socket& sender, simulated_socket& receiver,
                                std::size_t bytes) noexcept {
        auto when = arrival(sender.local, sender.remote, bytes, sender.busy_until);
        for (auto pause = shortest_pause; pause < longest_pause; pause *= 2) {
            if (!is_lost(sender.local, sender.remote, fault::lost_segment)) break;
            when += pause;
        }
        if (when <= receiver.last_arrival) when = receiver.last_arrival + duration(1);
        return receiver.last_arrival = when;
    }
    void break_off(simulated_socket& socket, int number) noexcept {
        if (socket.broken) return;
        socket.broken = number;
        tell(socket);
    }
    void reset_peer_of(const simulated_socket& socket) noexcept {
        auto* const peer = sockets_.find(socket.peer);
        if (!peer || socket.dead || socket.cut_off) return;
        schedule(happening::reset, arrival(socket.local, socket.remote), peer->self);
    }

    void arrive(simulated_socket& receiver, const simulated_event& event) noexcept {
        auto* const sender = sockets_.find(receiver.peer);
        if (receiver.dead) {
            if (sender) begin_retransmission(*sender);
            return;
        }
        // Nobody is left who would send it again.
        if (receiver.broken || (sender && sender->dead)) return;
        const bool out_of_order =
            event.what == happening::end && receiver.arrived < receiver.incoming.size();
        if (receiver.cut_off || out_of_order || !reachable(receiver.remote, receiver.local)) {
            if (receiver.blocked_since == never) receiver.blocked_since = now_;
            if (gives_up(sender, receiver.blocked_since)) return;
            schedule(event.what,
                     after_pause_since(receiver.blocked_since, shortest_pause, longest_pause),
                     event.of, event.amount);
            return;
        }
        receiver.blocked_since = never;
        if (event.what == happening::end) {
            receiver.end_arrived = true;
        } else {
            const auto on_their_way = receiver.incoming.size() - receiver.arrived;
            receiver.arrived += event.amount < on_their_way ? event.amount : on_their_way;
        }
        if (sender) sender->unanswered_probes = 0;
        tell(receiver);
    }
    /// Whether what is sent in vain since then is given up; null is a sender that has closed.
    bool gives_up(simulated_socket* sender, time_point since) noexcept {
        const auto own = sender ? saturate(sender->time_limit.value) : duration::zero();
        if (now_ - since < (own > duration::zero() ? own : longest_silence)) return false;
        if (sender) break_off(*sender, ETIMEDOUT);
        return true;
    }

    /// The peer does not know the connection any more.
    void begin_retransmission(simulated_socket& sender) noexcept {
        if (sender.unanswered_since != never || sender.broken) return;
        sender.unanswered_since = now_;
        const auto there = arrival(sender.local, sender.remote) - now_;
        schedule(happening::retransmission, now_ + 2 * there, sender.self);
    }
    void send_again(simulated_socket& sender) noexcept {
        if (!sender.cut_off && reachable(sender.local, sender.remote)) {
            break_off(sender, ECONNRESET);
        } else if (!gives_up(&sender, sender.unanswered_since)) {
            schedule(happening::retransmission,
                     after_pause_since(sender.unanswered_since, shortest_pause, longest_pause),
                     sender.self);
        }
    }
    void probe(simulated_socket& socket, std::uint64_t series) noexcept {
        if (series != socket.probing || socket.broken) return;
        const auto* const peer = sockets_.find(socket.peer);
        const bool answered = !socket.cut_off && reachable(socket.local, socket.remote);
        if (answered && (!peer || peer->dead)) return break_off(socket, ECONNRESET);
        socket.unanswered_probes = answered ? 0 : socket.unanswered_probes + 1;
        if (socket.unanswered_probes > static_cast<unsigned>(socket.keep_alive.probes)) {
            return break_off(socket, ETIMEDOUT);
        }
        schedule(happening::keep_alive_probe,
                 now_ + (answered ? socket.keep_alive.idle : socket.keep_alive.interval),
                 socket.self, series);
    }

    /// Whether another connection has the same two ends. connect(2).
    bool is_taken(const simulated_socket& client) noexcept {
        return sockets_.has([&](const simulated_socket& each) {
            return &each != &client && !each.dead && !each.broken &&
                   (each.stage == simulated_stage::connecting ||
                    each.stage == simulated_stage::connected) &&
                   each.local == client.local && each.remote == client.remote;
        });
    }
    static bool is_connecting(const simulated_socket& socket, std::uint64_t attempt) noexcept {
        return socket.stage == simulated_stage::connecting && socket.connect_attempt == attempt;
    }
    void send_request(simulated_socket& client, time_point when) noexcept {
        const auto way = arrival(client.local, client.remote) - now_;
        schedule(happening::connection_request, when + way, client.self, client.connect_attempt);
    }
    void receive_request(simulated_socket& client, std::uint64_t attempt) noexcept {
        if (!is_connecting(client, attempt)) return;
        auto* const listener = bound_to(client.remote, simulated_stage::listening);
        const bool lost = !reachable(client.local, client.remote) ||
                          is_lost(client.local, client.remote, fault::lost_segment) ||
                          (listener && listener->connections_waiting > listener->backlog);
        auto* const accepted = lost || !listener ? nullptr : sockets_.make();
        if (lost || (listener && !accepted)) {
            if (now_ - client.connect_began >= longest_connect) {
                return fail_connect(client, ETIMEDOUT);
            }
            send_request(client, after_pause_since(client.connect_began, std::chrono::seconds(1),
                                                   std::chrono::seconds(32)));
        } else if (!listener || faults_.strikes(fault::refused_connection)) {
            if (accepted) sockets_.remove(*accepted);
            schedule(happening::refused, arrival(client.remote, client.local), client.self,
                     attempt);
        } else {
            complete_request(client, *listener, *accepted);
        }
    }
    void complete_request(simulated_socket& client, simulated_socket& listener,
                          simulated_socket& accepted) noexcept {
        accepted.stage = simulated_stage::connected;
        accepted.family = listener.family;
        accepted.local = as_seen_by(listener.family, client.remote);
        accepted.remote = as_seen_by(listener.family, client.local);
        accepted.peer = client.self;
        accepted.delay = listener.delay;
        accepted.keep_alive = listener.keep_alive;
        accepted.receive_room = listener.receive_room;
        accepted.send_room = listener.send_room;
        client.peer = accepted.self;
        watch(accepted);
        listener.push_connection(accepted);
        tell(listener);
        client.last_arrival = arrival(client.remote, client.local);
        schedule(happening::connected, client.last_arrival, client.self, client.connect_attempt);
    }
    void become_connected(simulated_socket& client, std::uint64_t attempt) noexcept {
        if (!is_connecting(client, attempt)) return;
        client.stage = simulated_stage::connected;
        watch(client);
        tell(client);
        for (const auto kind :
             {fault::connection_reset, fault::early_end, fault::half_open_peer}) {
            if (!faults_.has(kind) || !random_.one_in(4)) continue;
            schedule(happening::mishap, now_ + random_.up_to(a_while), client.self,
                     static_cast<std::uint64_t>(kind));
        }
    }
    void fail_connect(simulated_socket& client, int number) noexcept {
        client.stage = simulated_stage::idle;
        ++client.connect_attempt;
        break_off(client, number);
    }

    void strike(simulated_socket& client, fault kind) noexcept {
        auto* const server = sockets_.find(client.peer);
        if (!server || client.broken || server->broken || !faults_.has(kind)) return;
        faults_.count(kind);
        for (auto* end : {&client, server}) {
            if (kind == fault::connection_reset) break_off(*end, ECONNRESET);
            if (kind == fault::half_open_peer) end->cut_off = true;
            if (kind == fault::early_end) {
                // As if something between them had ended both halves.
                end->peer = {};
                end->arrived = end->incoming.size();
                end->end_arrived = true;
                tell(*end);
            }
        }
    }
};

}  // namespace coho
