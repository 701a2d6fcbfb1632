#pragma once

#include <coho.hpp>

#include <array>
#include <new>

/// What the programs that run in simulated worlds share.
namespace worlds {

using namespace std::chrono_literals;
using coho::endpoint;
using coho::errc;
using coho::task;
using kernel = coho::simulated;
using stream = coho::basic_tcp_stream<kernel>;
using listener = coho::basic_tcp_listener<kernel>;
using udp_socket = coho::basic_udp_socket<kernel>;

/// What must hold whatever the network and the kernel do. A world gives `kept`, or the number of the
/// first promise that was broken.
enum promise : int {
    kept = 0,
    bytes_as_they_were_sent = 11,
    all_bytes_where_nothing_breaks = 12,
    an_answer_to_every_request = 13,
    an_end_within_bounds = 14,
    no_timer_is_early = 15,
    a_stop_is_told_as_one = 16,
    memory_where_none_is_denied = 17,
    a_listener_survives = 18,
    a_close_ends_what_waits = 19,
    a_stop_is_heard_at_once = 20,
    buffers_come_home = 21,
};

/// Longer than any timeout of a program, and any patience of TCP.
inline constexpr auto bound = 2h;
/// More than all drains of a world, and the jumps of its clock meanwhile.
inline constexpr auto longest_drain = 5min;
/// Until when a client tries again: well after the last fault.
inline constexpr auto patience = 30min;

inline kernel& network() { return coho::scheduler<kernel>::current().kernel(); }

struct world {
    void broke(promise which) noexcept {
        if (broken == kept) broken = which;
    }
    /// Whether only such faults were drawn as no right program notices.
    bool is_calm() const { return coho::fault_set::harmless().contains(network().faults().drawn()); }
    bool is_stopped() const {
        return network().faults().drawn().contains(coho::fault::stop_request);
    }
    bool may_lack_memory() const {
        return network().faults().drawn().contains(coho::fault::failed_allocation);
    }
    /// Whether the programs go on to their own end.
    bool must_answer() const {
        return !is_stopped() && !may_lack_memory();
    }

    coho::seeded_generator random;
    promise broken = kept;
};

/// Host number n; 0 is loopback.
inline coho::ip_address host(std::uint64_t number) {
    return number == 0 ? coho::ip_address::loopback()
                       : coho::ip_address::v4({10, 0, 0, static_cast<std::uint8_t>(number)});
}

/// The byte at a place of a numbered stream, so that a lost, doubled or overtaken one shows.
inline std::byte byte_at(std::uint64_t number, std::uint64_t place) noexcept {
    return static_cast<std::byte>(coho::scatter(number * 0x1000193 + place / 8) >> place % 8 * 8);
}
inline void fill(std::span<std::byte> bytes, std::uint64_t number, std::uint64_t place) noexcept {
    for (auto& each : bytes) each = byte_at(number, place++);
}
inline bool matches(std::span<const std::byte> bytes, std::uint64_t number,
                    std::uint64_t place) noexcept {
    for (const auto each : bytes) {
        if (each != byte_at(number, place++)) return false;
    }
    return true;
}

/// Serves until stop is asked, each connection by a task of its own; what lack of descriptors or
/// memory ends begins again.
template <class Serve>
task<> serve_once(world* here, endpoint where, Serve serve) {
    coho::task_group connections({.max_live = 16, .drain = 2s});
    // No co_await may stand in a handler, and children must be joined.
    try {
        auto bound_there = listener::bind(where);
        // Some ask for a moment and ask again, so that connections race with the end of it.
        int moments = here->random.one_in(2) ? 64 : 0;
        while (bound_there) {
            const auto limit = moments > 0 ? here->random.up_to(50ms) : bound;
            auto accepted = co_await coho::timeout(limit, bound_there->accept());
            if (!accepted) {
                // errc::other is a host that has crashed.
                const auto why = accepted.error().reason();
                if (why == errc::timed_out && moments-- > 0) continue;
                if (why != errc::cancelled && why != errc::other) here->broke(a_listener_survives);
                break;
            }
            co_await connections.spawn(serve, std::move(*accepted));
        }
    } catch (const std::bad_alloc&) {
    }
    co_await connections.join();
}
template <class Serve>
task<> serve_on(world* here, endpoint where, Serve serve) {
    coho::task_group attempts;
    do {
        co_await attempts.spawn(serve_once<Serve>, here, where, serve);
        co_await attempts.join();
    } while (co_await coho::sleep(50ms));
}

inline task<> echo(stream connection) {
    std::array<std::byte, 1500> buffer;
    while (auto received = co_await coho::timeout(30s, connection.read_some(buffer))) {
        const auto bytes = std::span<const std::byte>(buffer).first(*received);
        auto sent = co_await coho::timeout(30s, connection.write_all(bytes));
        if (!sent) break;
    }
}

inline task<> echo_leases(stream connection) {
    auto incoming = connection.incoming();
    while (auto received = co_await coho::timeout(30s, incoming.next())) {
        auto sent = co_await coho::timeout(30s, connection.write_all(std::move(*received)));
        if (!sent) break;
    }
}

/// From a host of its own, with the patience of a person.
inline task<coho::result<stream>> connect_from(std::uint64_t from, endpoint to) {
    coho::connect_options options{.local = {host(from), 0}};
    if (from == 0) options = {};
    auto connected = co_await coho::timeout(20s, stream::connect(to, options));
    co_return std::move(connected);
}

/// The programs of a world. Servers are asked to stop once all clients have ended.
struct company {
    coho::task_group clients;
    coho::task_group servers;
};

}  // namespace worlds
