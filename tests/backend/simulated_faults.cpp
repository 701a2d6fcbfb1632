// Each kind of fault of a simulated world, alone: that it happens, and that programs see it happen.

#include "catch.hpp"

#include <coho.hpp>

#include <array>
#include <new>
#include <set>

using namespace std::chrono_literals;
using coho::endpoint;
using coho::errc;
using coho::fault;
using coho::fault_set;
using coho::task;
using kernel = coho::simulated;
using stream = coho::basic_tcp_stream<kernel>;
using listener = coho::basic_tcp_listener<kernel>;
using udp_socket = coho::basic_udp_socket<kernel>;

namespace {

/// What a client and a server have met in some worlds.
struct seen {
    std::set<errc> connecting, sending, receiving, opening;
    std::uint64_t failed_accepts = 0;
    coho::duration longest_exchange{};
    coho::duration longest_nap{};
    bool short_read = false;
    bool no_memory = false;
    bool stopped = false;
    std::array<std::uint64_t, coho::fault_kinds> struck{};

    std::uint64_t count(fault kind) const { return struck[static_cast<std::size_t>(kind)]; }
    bool any_has(errc reason) const {
        return connecting.contains(reason) || sending.contains(reason) ||
               receiving.contains(reason);
    }
};

constexpr coho::ip_address server_host = coho::ip_address::v4({10, 0, 0, 1});
constexpr coho::ip_address client_host = coho::ip_address::v4({10, 0, 0, 2});
using message = std::array<std::byte, 1000>;

template <class Result>
errc end_of(const Result& outcome) {
    return outcome ? errc::none : outcome.error().reason();
}

task<> echo(stream connection, seen* what) {
    message bytes;
    while (auto received = co_await connection.read_some(bytes)) {
        what->short_read = what->short_read || *received < bytes.size();
        auto sent = co_await connection.write_all(std::span(bytes).first(*received));
        if (!sent) break;
    }
}
task<> serve(listener* listening, seen* what) {
    coho::task_group connections;
    try {
        while (auto accepted = co_await listening->accept()) {
            co_await connections.spawn(echo, std::move(*accepted), what);
        }
    } catch (const std::bad_alloc&) {
        what->no_memory = true;
    }
    const auto& met = listening->statistics();
    what->failed_accepts += met.skipped + met.starved;
    co_await connections.join();
}

/// One message there and back; false where the connection is good for nothing any more.
task<bool> exchange(stream& connection, seen* what) {
    message bytes{};
    const auto begin = coho::now();
    auto sent = co_await coho::timeout(20s, connection.write_all(bytes));
    what->sending.insert(end_of(sent));
    if (!sent) co_return false;
    auto received = co_await coho::timeout(20s, connection.read_exactly(bytes));
    what->receiving.insert(end_of(received));
    if (!received) co_return false;
    what->longest_exchange = (std::max)(what->longest_exchange, coho::now() - begin);
    co_return true;
}
task<> talk(seen* what) {
    const coho::connect_options options{.local = {client_host, 0}};
    auto connection = co_await stream::connect({server_host, 7}, options);
    what->connecting.insert(end_of(connection));
    for (int i = 0; connection && i < 10; ++i) {
        const bool goes_on = co_await exchange(*connection, what);
        if (!goes_on) break;
        const auto begin = coho::now();
        what->stopped = !co_await coho::sleep(300ms) || what->stopped;
        what->longest_nap = (std::max)(what->longest_nap, coho::now() - begin);
    }
}
task<> open_many(seen* what) {
    for (int i = 0; i < 10; ++i) {
        what->opening.insert(end_of(udp_socket::bind({client_host, 0})));
        co_await coho::yield();
    }
}

/// Serves and talks; all that may fail here is a listener before anything else has begun.
task<> live(seen* what) {
    auto bound = listener::bind({server_host, 7});
    REQUIRE(bound);
    coho::task_group servers;
    co_await servers.spawn(serve, &*bound, what);
    co_await coho::sleep(5ms);
    for (int round = 0; round < 5; ++round) {
        coho::task_group clients;
        try {
            for (int i = 0; i < 4; ++i) co_await clients.spawn(talk, what);
            co_await clients.spawn(open_many, what);
            co_await clients.join();
        } catch (const std::bad_alloc&) {
            what->no_memory = true;
        }
        co_await clients.join();
    }
    servers.request_stop();
    co_await servers.join();
}
/// Datagrams between two sockets, and their completions side by side.
task<> send_datagrams() {
    auto first = udp_socket::bind({client_host, 0}), second = udp_socket::bind({server_host, 0});
    std::array<std::byte, 8> bytes{}, here{}, there{};
    for (int i = 0; first && second && i < 50; ++i) {
        auto sent = co_await first->send_to(bytes, second->local_endpoint());
        auto back = co_await second->send_to(bytes, first->local_endpoint());
        if (!sent || !back) continue;
        (void)co_await coho::when_all(coho::timeout(1s, first->receive_from(here)),
                                      coho::timeout(1s, second->receive_from(there)));
    }
}

template <class World>
void run_world(fault_set faults, std::uint64_t seed, World world, seen& what) {
    coho::simulated_options options;
    options.seed = seed;
    options.faults = faults;
    coho::scheduler<kernel> loop(options);
    try {
        (void)loop.run(world);
    } catch (const std::bad_alloc&) {
        what.no_memory = true;
    }
    CHECK(loop.kernel().open_handles() == 0);
    CHECK(loop.frames().live() == 0);
    for (std::size_t i = 0; i < coho::fault_kinds; ++i) {
        what.struck[i] += loop.kernel().faults().struck(static_cast<fault>(i));
    }
}
/// What comes of one kind of fault, in the worlds of some seeds.
seen meet(fault kind) {
    seen what;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        run_world({kind}, seed, [&] { return live(&what); }, what);
        run_world({kind}, seed, [] { return send_datagrams(); }, what);
    }
    return what;
}

/// Whether what programs met is what such faults do; true of those that only a kernel's user sees.
bool is_seen(fault kind, const seen& what) {
    switch (kind) {
    case fault::short_transfer: return what.short_read;
    case fault::late_completion: return what.longest_exchange > 2ms;
    case fault::lost_segment:
    case fault::partition: return what.longest_exchange > 100ms;
    case fault::clock_jump: return what.longest_nap > 1s;
    case fault::stop_request: return what.stopped;
    case fault::failed_allocation: return what.no_memory;
    case fault::full_submission: return what.any_has(errc::not_enough_memory);
    case fault::connection_reset: return what.any_has(errc::connection_reset);
    case fault::early_end: return what.receiving.contains(errc::end_of_stream);
    case fault::half_open_peer: return what.receiving.contains(errc::timed_out);
    case fault::refused_connection:
        return what.connecting.contains(errc::connection_refused);
    case fault::exhausted_buffers:
        return what.sending.contains(errc::not_enough_memory) &&
               what.receiving.contains(errc::not_enough_memory);
    case fault::failed_accept: return what.failed_accepts == what.count(kind);
    case fault::failed_open:
        return what.opening ==
               std::set{errc::none, errc::too_many_descriptors, errc::not_enough_memory};
    default: return true;
    }
}

}  // namespace

TEST_CASE("simulated: without faults none strikes, and all goes well", "[simulated]") {
    seen what;
    run_world(fault_set::none(), 1, [&] { return live(&what); }, what);
    CHECK(what.connecting == std::set{errc::none});
    CHECK(what.sending == std::set{errc::none});
    CHECK(what.receiving == std::set{errc::none});
    CHECK(what.opening == std::set{errc::none});
    CHECK(what.longest_exchange < 2ms);
    CHECK(what.longest_nap < 302ms);
    CHECK(what.failed_accepts == 0);
    CHECK_FALSE((what.short_read || what.no_memory || what.stopped));
    for (const auto each : what.struck) CHECK(each == 0);
}

TEST_CASE("simulated: each kind of fault strikes where it was drawn, and programs see it",
          "[simulated]") {
    for (std::size_t i = 0; i < coho::fault_kinds; ++i) {
        const auto kind = static_cast<fault>(i);
        const auto what = meet(kind);
        INFO(coho::name_of(kind));
        for (std::size_t other = 0; other < coho::fault_kinds; ++other) {
            INFO(coho::name_of(static_cast<fault>(other)));
            CHECK((what.struck[other] > 0) == (other == i));
        }
        CHECK(is_seen(kind, what));
    }
}
