#pragma once

#include "world.hpp"

#include <optional>

namespace worlds {

/// Sends a numbered stream in pieces of many sizes, and checks what comes back; in the end it ends
/// its side in order, or just closes.
inline task<> talk_to_echo(world* here, std::uint64_t number, std::uint64_t from, endpoint to) {
    std::array<std::byte, 5000> piece, reply;
    std::uint64_t place = 0;
    const auto pieces = 1 + here->random.below(40);
    bool all = true;
    try {
        auto connection = co_await connect_from(from, to);
        for (std::uint64_t i = 0; i < pieces && connection; ++i) {
            const auto size = 1 + here->random.below(piece.size());
            const auto out = std::span(piece).first(size), in = std::span(reply).first(size);
            fill(out, number, place);
            auto sent = co_await coho::timeout(40s, connection->write_all(out));
            auto received = co_await coho::timeout(40s, connection->read_exactly(in));
            all = sent && received;
            if (!all) break;
            if (!matches(in, number, place)) here->broke(bytes_as_they_were_sent);
            place += size;
            if (here->random.one_in(4)) co_await coho::sleep(here->random.up_to(2s));
        }
        if (connection && all && here->random.one_in(2)) {
            auto ended = connection->shutdown_send();
            auto after = co_await coho::timeout(40s, connection->read_some(reply));
            if (after) here->broke(bytes_as_they_were_sent);
            all = all && ended;
        }
        all = all && connection;
    } catch (const std::bad_alloc&) {
        all = false;
    }
    if (!all && here->is_calm()) here->broke(all_bytes_where_nothing_breaks);
}

inline task<> echo_world(world* here, company* programs) {
    const endpoint where(host(here->random.below(2)), 7);
    const auto clients = 1 + here->random.below(12);
    const auto serve = here->random.one_in(2) ? &echo : &echo_leases;
    co_await programs->servers.spawn(serve_on<task<> (*)(stream)>, here, where, serve);
    for (std::uint64_t i = 0; i < clients; ++i) {
        co_await programs->clients.spawn(talk_to_echo, here, i + 1, i % 3, where);
        if (here->random.one_in(2)) co_await coho::sleep(here->random.up_to(1s));
    }
}

/// One direction of a proxy: to the end, which it passes on.
inline task<> pump(stream* from, stream* to) {
    std::array<std::byte, 1000> buffer;
    while (auto received = co_await coho::timeout(60s, from->read_some(buffer))) {
        const auto bytes = std::span<const std::byte>(buffer).first(*received);
        auto sent = co_await coho::timeout(60s, to->write_all(bytes));
        if (!sent) break;
    }
    (void)to->shutdown_send();
}
struct forward_to {
    endpoint where;

    task<> operator()(stream client) const {
        coho::task_group directions;
        std::optional<stream> server;
        try {
            auto connected = co_await coho::timeout(20s, stream::connect(where));
            if (connected) server.emplace(std::move(*connected));
        } catch (const std::bad_alloc&) {
        }
        if (server) {
            co_await directions.spawn(pump, &client, &*server);
            co_await directions.spawn(pump, &*server, &client);
        }
        co_await directions.join();
    }
};
/// Sends all, then reads all: what comes back is the beginning of what was sent.
inline task<> talk_through_proxy(world* here, std::uint64_t number, endpoint to) {
    std::array<std::byte, 4096> buffer;
    const auto size = 1 + here->random.below(100'000);
    std::uint64_t sent = 0, received = 0;
    try {
        auto connection = co_await connect_from(number % 3, to);
        while (connection && sent < size) {
            const auto left = size - sent;
            const auto piece =
                std::span(buffer).first(left < buffer.size() ? left : buffer.size());
            fill(piece, number, sent);
            auto written = co_await coho::timeout(40s, connection->write_some(piece));
            if (!written) break;
            sent += *written;
        }
        if (connection) (void)connection->shutdown_send();
        while (connection) {
            auto count = co_await coho::timeout(90s, connection->read_some(buffer));
            if (!count) break;
            const auto bytes = std::span<const std::byte>(buffer).first(*count);
            if (!matches(bytes, number, received)) here->broke(bytes_as_they_were_sent);
            received += *count;
        }
    } catch (const std::bad_alloc&) {
    }
    if (received > sent) here->broke(bytes_as_they_were_sent);
    if (received < size && here->is_calm()) here->broke(all_bytes_where_nothing_breaks);
}

inline task<> proxy_world(world* here, company* programs) {
    const endpoint server(host(1), 7), proxy(host(2), 80);
    const auto clients = 1 + here->random.below(8);
    co_await programs->servers.spawn(serve_on<task<> (*)(stream)>, here, server, &echo);
    co_await programs->servers.spawn(serve_on<forward_to>, here, proxy, forward_to{server});
    for (std::uint64_t i = 0; i < clients; ++i) {
        co_await programs->clients.spawn(talk_through_proxy, here, i + 1, proxy);
    }
}

}  // namespace worlds
