#pragma once

#include "world.hpp"

#include <cstring>
#include <optional>

namespace worlds {

using message = std::array<std::byte, 16>;

inline message message_of(std::uint64_t number) noexcept {
    message made;
    const auto answer = coho::scatter(number);
    std::memcpy(made.data(), &number, 8);
    std::memcpy(made.data() + 8, &answer, 8);
    return made;
}

/// Answers each message with the same one, of which it checks both halves.
inline task<> answer(stream connection) {
    message request;
    while (co_await coho::timeout(30s, connection.read_exactly(request))) {
        std::uint64_t number;
        std::memcpy(&number, request.data(), 8);
        const auto reply = message_of(number + 1);
        auto sent = co_await coho::timeout(30s, connection.write_all(reply));
        if (!sent) break;
    }
}
inline task<coho::result<void>> exchange(stream* connection, const message* request,
                                         message* reply) {
    auto sent = co_await connection->write_all(*request);
    if (!sent) co_return sent;
    auto received = co_await connection->read_exactly(*reply);
    co_return received;
}
/// Asks until it is answered: a connection that fails or is too slow gives way to another.
inline task<> ask_until_answered(world* here, std::uint64_t from, endpoint to) {
    std::optional<stream> connection;
    const auto questions = 1 + here->random.below(40);
    const auto give_up_at = coho::now() + patience;
    auto pause = coho::duration(100ms);
    bool asked_to_stop = false;
    std::uint64_t answered = 0;
    while (answered < questions && coho::now() < give_up_at && !asked_to_stop) {
        const auto request = message_of(here->random.next());
        std::uint64_t number;
        std::memcpy(&number, request.data(), 8);
        message reply{};
        bool came = false;
        try {
            if (!connection) {
                auto connected = co_await connect_from(from, to);
                if (connected) connection.emplace(std::move(*connected));
            }
            if (connection) {
                auto done =
                    co_await coho::timeout(2s, exchange(&*connection, &request, &reply));
                came = bool(done);
            }
        } catch (const std::bad_alloc&) {
        }
        if (came) {
            if (reply != message_of(number + 1)) here->broke(bytes_as_they_were_sent);
            ++answered;
            pause = 100ms;
            asked_to_stop = !co_await coho::sleep(here->random.up_to(5s));
        } else {
            // What comes late must not be taken for the next answer.
            connection.reset();
            asked_to_stop = !co_await coho::sleep(pause);
            if (pause < 5s) pause *= 2;
        }
    }
    if (answered < questions && here->must_answer()) here->broke(an_answer_to_every_request);
}

inline task<> request_world(world* here, company* programs) {
    const endpoint where(host(1), 80);
    const auto clients = 1 + here->random.below(10);
    co_await programs->servers.spawn(serve_on<task<> (*)(stream)>, here, where, &answer);
    for (std::uint64_t i = 0; i < clients; ++i) {
        co_await programs->clients.spawn(ask_until_answered, here, i % 4, where);
    }
}

/// Cuts the network and crashes the server's host, and repairs both again.
inline task<> disturb(world* here, coho::ip_address victim) {
    const auto times = 1 + here->random.below(4);
    for (std::uint64_t i = 0; i < times; ++i) {
        co_await coho::sleep(here->random.up_to(10s));
        const auto client = host(here->random.below(4));
        if (here->random.one_in(2)) {
            network().partition(client, victim);
            co_await coho::sleep(here->random.up_to(30s));
            network().heal(client, victim);
        } else {
            network().crash(victim);
            co_await coho::sleep(here->random.up_to(30s));
            network().restart(victim);
        }
    }
}
inline task<> disaster_world(world* here, company* programs) {
    const endpoint where(host(9), 80);
    const auto clients = 1 + here->random.below(8);
    network().link(host(1), host(9), {.latency = 20ms, .jitter = 5ms, .loss = 0.02});
    network().link(host(2), host(9), {.latency = 1ms, .bytes_per_second = 10'000});
    co_await programs->servers.spawn(serve_on<task<> (*)(stream)>, here, where, &answer);
    co_await programs->clients.spawn(disturb, here, where.address());
    for (std::uint64_t i = 0; i < clients; ++i) {
        co_await programs->clients.spawn(ask_until_answered, here, i % 4, where);
    }
}

inline task<> answer_batches(udp_socket* socket) {
    std::array<std::byte, 4000> buffer;
    auto batches = socket->batches();
    for (;;) {
        auto arrived = co_await batches.receive(buffer);
        if (!arrived && arrived.error() == errc::cancelled) break;
        if (arrived) (void)co_await batches.send(arrived->bytes, arrived->size, arrived->from);
    }
}
/// Keeps each buffer for a while, so that other sockets wait for one.
inline task<> answer_leases(udp_socket* socket, world* here) {
    auto incoming = socket->incoming();
    for (;;) {
        auto arrived = co_await incoming.next();
        if (!arrived && arrived.error() == errc::cancelled) break;
        if (!arrived) continue;
        co_await coho::sleep(here->random.up_to(5ms));
        (void)co_await socket->send_to(std::move(arrived->lease), arrived->from);
    }
}
inline task<> answer_one_by_one(udp_socket* socket) {
    std::array<std::byte, 2000> buffer;
    for (;;) {
        auto arrived = co_await socket->receive_from(buffer);
        if (!arrived && arrived.error() == errc::cancelled) break;
        if (arrived) (void)co_await socket->send_to(arrived->bytes, arrived->from);
    }
}
enum class speech { one_by_one, in_batches, in_leases };
inline task<> answer_datagrams(world* here, endpoint where, speech how) {
    bool goes_on = true;
    while (goes_on) {
        auto socket = udp_socket::bind(where);
        // Memory for its frame may be denied.
        try {
            if (socket && how == speech::one_by_one) co_await answer_one_by_one(&*socket);
            if (socket && how == speech::in_batches) co_await answer_batches(&*socket);
            if (socket && how == speech::in_leases) co_await answer_leases(&*socket, here);
        } catch (const std::bad_alloc&) {
        }
        goes_on = co_await coho::sleep(20ms);
    }
}
inline constexpr std::size_t longest_question = 1308;
/// Each datagram again and again until it has come back.
inline task<> send_until_answered(world* here, std::uint64_t from, endpoint to) {
    std::array<std::byte, 1400> out, in;
    const auto give_up_at = coho::now() + patience;
    std::uint64_t answered = 0, number = 0;
    const auto questions = 1 + here->random.below(40);
    bool goes_on = true;
    while (goes_on && answered < questions && coho::now() < give_up_at) {
        auto socket = udp_socket::bind({host(from), 0});
        while (goes_on && socket && answered < questions && coho::now() < give_up_at) {
            const auto datagram =
                std::span(out).first(9 + here->random.below(longest_question - 8));
            const auto identity = from << 32 | ++number;
            std::memcpy(datagram.data(), &identity, 8);
            fill(datagram.subspan(8), identity, 0);
            (void)co_await socket->send_to(datagram, to);
            bool came = false, waits = true;
            while (waits && !came) {
                auto arrived = co_await coho::timeout(500ms, socket->receive_from(in));
                waits = bool(arrived);
                if (!arrived) break;
                std::uint64_t its = 0;
                if (arrived->bytes.size() > 8) std::memcpy(&its, arrived->bytes.data(), 8);
                if (arrived->bytes.size() <= 8 || arrived->truncated ||
                    !matches(arrived->bytes.subspan(8), its, 0)) {
                    here->broke(bytes_as_they_were_sent);
                }
                came = its == identity;
            }
            if (came) ++answered;
            goes_on = co_await coho::sleep(here->random.up_to(300ms));
        }
        goes_on = goes_on && co_await coho::sleep(50ms);
    }
    if (answered < questions && here->must_answer()) here->broke(an_answer_to_every_request);
}
inline task<> datagram_world(world* here, company* programs) {
    const auto clients = 1 + here->random.below(8);
    auto how = static_cast<speech>(coho::scatter(network().seed()) % 3);
    // What is cut is never answered.
    const auto& buffers = coho::scheduler<kernel>::current().buffers();
    if (how == speech::in_leases && buffers.buffer_size() < longest_question) {
        how = speech::one_by_one;
    }
    const std::uint16_t servers = how == speech::in_leases ? 3 : 1;
    for (std::uint16_t i = 0; i < servers; ++i) {
        const endpoint where(host(1), static_cast<std::uint16_t>(53 + i));
        co_await programs->servers.spawn(answer_datagrams, here, where, how);
    }
    for (std::uint64_t i = 0; i < clients; ++i) {
        const endpoint where(host(1), static_cast<std::uint16_t>(53 + i % servers));
        co_await programs->clients.spawn(send_until_answered, here, i % 4, where);
    }
}

}  // namespace worlds
