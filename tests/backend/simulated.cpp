#include "catch.hpp"

#include <coho.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

using namespace std::chrono_literals;
using coho::as_bytes;
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

constexpr coho::ip_address host(std::uint8_t number) {
    return coho::ip_address::v4({10, 0, 0, number});
}

kernel& network() { return coho::scheduler<kernel>::current().kernel(); }

coho::simulated_options calm() {
    coho::simulated_options options;
    options.faults = fault_set::none();
    return options;
}

/// Runs a world, and checks that it leaves nothing behind.
template <class Function>
std::uint64_t run(const coho::simulated_options& options, Function function) {
    coho::scheduler<kernel> world(options);
    CHECK(world.run(function) == 0);
    CHECK(world.kernel().open_handles() == 0);
    CHECK(world.kernel().standstills() == 0);
    CHECK(world.frames().live() == 0);
    return world.trace_hash();
}

struct pair {
    stream client;
    stream server;
};
task<pair> connect_to(listener& listening, coho::ip_address client_host) {
    const coho::connect_options options{.local = {client_host, 0}};
    auto [accepted, connected] = co_await coho::when_all(
        listening.accept(), stream::connect(listening.local_endpoint(), options));
    pair both{std::move(connected).value(), std::move(accepted).value()};
    co_return std::move(both);
}
task<pair> connect_pair(coho::ip_address client_host, coho::ip_address server_host) {
    auto listening = listener::bind({server_host, 7}).value();
    co_return co_await connect_to(listening, client_host);
}

task<> talk() {
    std::array<std::byte, 100> out{}, in;
    auto ends = co_await connect_pair(host(1), host(2));
    for (int i = 0; i < 20; ++i) {
        (void)co_await coho::timeout(1s, ends.client.write_all(out));
        (void)co_await coho::timeout(1s, ends.server.read_exactly(in));
        co_await coho::sleep(1ms);
    }
}

task<errc> read_in_vain(stream& connection) {
    std::array<std::byte, 16> buffer;
    auto received = co_await connection.read_some(buffer);
    co_return received ? errc::none : received.error().reason();
}

/// Closes it while another task reads from it, and has its number taken again at once.
task<pair> replace(stream& old, listener& listening) {
    co_await coho::yield();
    co_await old.close();
    co_return co_await connect_to(listening, host(1));
}

}  // namespace

TEST_CASE("simulated: the same seed gives the same run, another seed another", "[simulated]") {
    const auto hash_of = [](std::uint64_t seed) {
        coho::simulated_options options{.seed = seed};
        options.faults = fault_set::harmless();
        return run(options, talk);
    };
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CHECK(hash_of(seed) == hash_of(seed));
        CHECK(hash_of(seed) != hash_of(seed + 1));
    }
}

TEST_CASE("simulated: a run is the same with every compiler and on every system", "[simulated]") {
    coho::simulated_options options{.seed = 7};
    options.faults = fault_set::harmless();
    // What a change of the simulated kernel may change, and nothing else.
    CHECK(run(options, talk) == 0x12cc4571643b860d);
}

TEST_CASE("simulated: bytes take the time of their link", "[simulated]") {
    run(calm(), []() -> task<> {
        std::array<std::byte, 5000> out{}, in;
        network().link(host(1), host(2), {.latency = 20ms});
        auto ends = co_await connect_pair(host(1), host(2));
        auto begin = coho::now();
        auto sent = co_await ends.client.write_all(out);
        auto received = co_await ends.server.read_exactly(in);
        CHECK((sent && received));
        CHECK(coho::now() - begin >= 20ms);
        CHECK(coho::now() - begin < 21ms);
        network().link(host(1), host(2), {.latency = 1ms, .bytes_per_second = 10'000});
        begin = coho::now();
        sent = co_await ends.client.write_all(out);
        received = co_await ends.server.read_exactly(in);
        CHECK((sent && received));
        CHECK(coho::now() - begin >= 500ms);
        CHECK(coho::now() - begin < 510ms);
    });
}

TEST_CASE("simulated: where no link was made, each socket sends so many bytes a second",
          "[simulated]") {
    auto options = calm();
    options.network.bytes_per_second = 10'000;
    run(options, []() -> task<> {
        std::array<std::byte, 100> piece{};
        std::array<std::byte, 10'000> all;
        auto ends = co_await connect_pair(host(1), host(2));
        const auto begin = coho::now();
        auto send = [&]() -> task<> {
            for (int i = 0; i < 100; ++i) {
                auto sent = co_await ends.client.write_all(piece);
                CHECK(sent);
            }
        };
        auto [nothing, received] = co_await coho::when_all(send(), ends.server.read_exactly(all));
        CHECK(received);
        CHECK(coho::now() - begin >= 1s);
        CHECK(coho::now() - begin < 1100ms);
    });
}

TEST_CASE("simulated: a connection is the only one between its two ends", "[simulated]") {
    run(calm(), []() -> task<> {
        auto listening = listener::bind({host(1), 7}).value();
        const coho::connect_options options{.local = {host(2), 5000}};
        auto first = co_await stream::connect(listening.local_endpoint(), options);
        CHECK(first);
        auto second = co_await stream::connect(listening.local_endpoint(), options);
        CHECK(second.error() == errc::address_not_available);
        co_await first->close();
        auto third = co_await stream::connect(listening.local_endpoint(), options);
        CHECK(third);
    });
}

TEST_CASE("simulated: a stream over a link that loses packets is late and whole", "[simulated]") {
    run(calm(), []() -> task<> {
        std::array<std::byte, 1> one{};
        network().link(host(1), host(2), {.latency = 1ms, .loss = 0.3});
        auto ends = co_await connect_pair(host(1), host(2));
        const auto begin = coho::now();
        for (int i = 0; i < 200; ++i) {
            one[0] = static_cast<std::byte>(i);
            auto sent = co_await ends.client.write_all(one);
            auto received = co_await ends.server.read_exactly(one);
            CHECK((sent && received));
            CHECK(one[0] == static_cast<std::byte>(i));
        }
        CHECK(coho::now() - begin > 5s);
    });
}

TEST_CASE("simulated: nothing passes a partition, and all of a stream once it has healed",
          "[simulated]") {
    run(calm(), []() -> task<> {
        std::array<std::byte, 5> in;
        auto ends = co_await connect_pair(host(1), host(2));
        network().partition(host(1), host(2));
        auto sent = co_await ends.client.write_all(as_bytes("hello"));
        CHECK(sent);
        auto early = co_await coho::timeout(30s, ends.server.read_exactly(in));
        CHECK(early.error() == errc::timed_out);
        network().heal(host(1), host(2));
        auto late = co_await coho::timeout(60s, ends.server.read_exactly(in));
        CHECK(late);
        CHECK(coho::as_text(in) == "hello");
    });
}

TEST_CASE("simulated: who sends into a partition for too long is told so", "[simulated]") {
    run(calm(), []() -> task<> {
        std::array<std::byte, 5> in, also_in;
        auto ends = co_await connect_pair(host(1), host(2));
        CHECK(ends.client.set(coho::user_timeout{90s}));
        // Each time it is set the silence counts anew, and once.
        for (int i = 0; i < 3; ++i) CHECK(ends.server.set(coho::keep_alive{true, 60s, 10s, 6}));
        network().partition(host(1), host(2));
        auto begin = coho::now();
        auto time_of_silence = [&]() -> task<coho::duration> {
            auto nothing = co_await ends.server.read_some(also_in);
            CHECK(nothing.error() == errc::timed_out);
            co_return coho::now() - begin;
        };
        auto sent = co_await ends.client.write_all(as_bytes("hello"));
        CHECK(sent);
        auto [answer, silence] =
            co_await coho::when_all(ends.client.read_some(in), time_of_silence());
        CHECK(answer.error() == errc::timed_out);
        CHECK(silence >= 120s);
        CHECK(silence < 121s);
        CHECK(coho::now() - begin >= 90s);
        CHECK(coho::now() - begin < 4min);
        auto refused = co_await stream::connect({host(2), 7}, {.local = {host(1), 0}});
        CHECK(refused.error() == errc::timed_out);
    });
}

TEST_CASE("simulated: a host that crashes is silent, and knows nothing once it is back",
          "[simulated]") {
    run(calm(), []() -> task<> {
        std::array<std::byte, 5> in;
        auto ends = co_await connect_pair(host(1), host(2));
        network().crash(host(2));
        auto there = co_await ends.server.read_some(in);
        CHECK(there.error() == errc::other);
        auto silence = co_await coho::timeout(60s, ends.client.read_some(in));
        CHECK(silence.error() == errc::timed_out);
        network().restart(host(2));
        auto sent = co_await ends.client.write_all(as_bytes("hello"));
        CHECK(sent);
        auto reset = co_await coho::timeout(60s, ends.client.read_some(in));
        CHECK(reset.error() == errc::connection_reset);
        CHECK(listener::bind({host(2), 8}));
    });
}

TEST_CASE("simulated: what a host had sent is lost when it crashes", "[simulated]") {
    run(calm(), []() -> task<> {
        std::array<std::byte, 5> in;
        network().link(host(1), host(2), {.latency = 1s});
        auto ends = co_await connect_pair(host(1), host(2));
        auto sent = co_await ends.server.write_all(as_bytes("hello"));
        CHECK(sent);
        network().crash(host(2));
        co_await coho::sleep(10s);
        network().restart(host(2));
        auto silence = co_await coho::timeout(1h, ends.client.read_some(in));
        CHECK(silence.error() == errc::timed_out);
    });
}

TEST_CASE("simulated: who sends to a host that has crashed fills a buffer, and waits",
          "[simulated]") {
    run(calm(), []() -> task<> {
        const std::string bytes(1 << 20, 'x');
        auto ends = co_await connect_pair(host(1), host(2));
        network().crash(host(2));
        auto some = co_await ends.client.write_some(as_bytes(bytes));
        CHECK(std::move(some).value_or(0) > 0);
        auto more = co_await coho::timeout(60s, ends.client.write_all(as_bytes(bytes)));
        CHECK(more.error() == errc::timed_out);
        network().restart(host(2));
        auto begin = coho::now();
        auto reset = co_await ends.client.write_some(as_bytes(bytes));
        CHECK(reset.error() == errc::connection_reset);
        CHECK(coho::now() - begin < 3min);
    });
}

TEST_CASE("simulated: a world in which nothing can happen is asked to stop", "[simulated]") {
    coho::scheduler<kernel> world(calm());
    CHECK(world.run([]() -> task<> {
        auto listening = listener::bind(endpoint::loopback(7)).value();
        auto accepted = co_await listening.accept();
        CHECK(accepted.error() == errc::cancelled);
    }) == 0);
    CHECK(world.kernel().standstills() == 1);
}

TEST_CASE("simulated: a listener outlives a lack of descriptors", "[simulated][H25]") {
    auto options = calm();
    options.most_handles = 3;
    run(options, []() -> task<> {
        auto listening = listener::bind(endpoint::loopback(7)).value();
        auto first = co_await stream::connect(endpoint::loopback(7));
        auto second = co_await stream::connect(endpoint::loopback(7));
        CHECK(first);
        CHECK(second);
        auto third = co_await stream::connect(endpoint::loopback(7));
        CHECK(third.error() == errc::too_many_descriptors);
        auto starved = co_await coho::timeout(1s, listening.accept());
        CHECK(starved.error() == errc::timed_out);
        CHECK(listening.statistics().starved > 0);
        co_await second->close();
        auto accepted = co_await coho::timeout(1s, listening.accept());
        CHECK(accepted);
    });
}

TEST_CASE("simulated: datagrams are lost, doubled and overtaken, and never damaged",
          "[simulated]") {
    coho::simulated_options options{.seed = 3};
    options.faults = {fault::lost_datagram, fault::doubled_datagram, fault::overtaken_datagram};
    options.faults_end = 1h;
    // A seed that has drawn all three.
    while (coho::simulated(options).faults().drawn() != options.faults) ++options.seed;
    run(options, []() -> task<> {
        std::array<int, 500> arrivals{};
        std::array<std::byte, 100> buffer;
        int overtaken = 0, last = -1;
        auto sender = udp_socket::bind({host(1), 0}).value();
        auto receiver = udp_socket::bind({host(2), 53}).value();
        co_await coho::sleep(2ms);
        for (int i = 0; i < 500; ++i) {
            const auto text = std::to_string(i);
            auto sent = co_await sender.send_to(as_bytes(text), receiver.local_endpoint());
            CHECK(sent);
            if (i % 10 == 0) co_await coho::sleep(1ms);
        }
        for (;;) {
            auto arrived = co_await coho::timeout(60s, receiver.receive_from(buffer));
            if (!arrived) break;
            CHECK(arrived->from == sender.local_endpoint());
            const int number = std::stoi(std::string(coho::as_text(arrived->bytes)));
            ++arrivals.at(static_cast<std::size_t>(number));
            overtaken += number < last;
            last = number;
        }
        int lost = 0, doubled = 0;
        for (const int count : arrivals) lost += count == 0, doubled += count == 2;
        CHECK(lost > 0);
        CHECK(doubled > 0);
        CHECK(overtaken > 0);
    });
}

TEST_CASE("simulated: each datagram of a batch has its own fate", "[simulated][batches]") {
    coho::simulated_options options{.seed = 3};
    options.faults = {fault::lost_datagram, fault::doubled_datagram, fault::overtaken_datagram};
    options.faults_end = 1h;
    while (coho::simulated(options).faults().drawn() != options.faults) ++options.seed;
    run(options, []() -> task<> {
        constexpr std::size_t count = 640;
        std::array<std::byte, 4 * count> numbers;
        std::array<std::byte, 65'535> buffer;
        std::array<int, count> arrivals{};
        int overtaken = 0, last = -1;
        std::size_t largest = 0;
        auto sender = udp_socket::bind({host(1), 0}).value();
        auto receiver = udp_socket::bind({host(2), 53}).value();
        auto sending = sender.batches();
        auto receiving = receiver.batches();
        for (int i = 0; i < int(count); ++i) std::memcpy(&numbers[4 * std::size_t(i)], &i, 4);
        co_await coho::sleep(2ms);
        auto sent = co_await sending.send(numbers, 4, receiver.local_endpoint());
        CHECK(sent);
        for (;;) {
            auto batch = co_await coho::timeout(60s, receiving.receive(buffer));
            if (!batch) break;
            CHECK(batch->from == sender.local_endpoint());
            for (const auto datagram : *batch) {
                int number = -1;
                REQUIRE(datagram.size() == 4);
                std::memcpy(&number, datagram.data(), 4);
                ++arrivals.at(static_cast<std::size_t>(number));
                overtaken += number < last;
                last = number;
            }
            largest = std::max(largest, batch->count());
        }
        int lost = 0, doubled = 0;
        for (const int each : arrivals) lost += each == 0, doubled += each == 2;
        CHECK(lost > 0);
        CHECK(lost < int(count));
        CHECK(doubled > 0);
        CHECK(overtaken > 0);
        CHECK(largest > 1);
        CHECK(largest <= 64);
    });
}

TEST_CASE("H5: nothing asked of a closed stream ends on the next one of its number",
          "[simulated][H5]") {
    coho::simulated_options options;
    options.faults = fault_set::harmless();
    options.faults_end = 1h;
    int reused = 0;
    for (options.seed = 1; options.seed <= 100; ++options.seed) {
        run(options, [&reused]() -> task<> {
            auto listening = listener::bind({host(2), 7}).value();
            auto ends = co_await connect_to(listening, host(1));
            for (int round = 0; round < 100; ++round) {
                const auto cookie = "connection " + std::to_string(round);
                std::string told(cookie.size(), '.');
                const auto number = ends.client.native_handle();
                auto [sent, read] = co_await coho::when_all(
                    ends.server.write_all(as_bytes(cookie)),
                    ends.client.read_exactly(std::as_writable_bytes(std::span(told))));
                CHECK((sent && read));
                CHECK(told == cookie);
                auto [nothing, next] = co_await coho::when_all(
                    read_in_vain(ends.client), replace(ends.client, listening));
                CHECK(nothing != errc::none);
                ends = std::move(next);
                reused += ends.client.native_handle() == number;
            }
        });
    }
    // Else this has tested nothing.
    CHECK(reused > 100);
}

TEST_CASE("H27: a peer that is gone without a word costs its limit of time and no more",
          "[simulated][H27]") {
    run(calm(), []() -> task<> {
        std::array<std::byte, 16> buffer;
        const std::string more_than_fits(1 << 20, '.');
        auto ends = co_await connect_pair(host(1), host(2));
        const auto open = network().open_handles();
        network().partition(host(1), host(2));
        auto begin = coho::now();
        auto silence = co_await coho::timeout(30s, ends.server.read_some(buffer));
        CHECK(silence.error() == errc::timed_out);
        CHECK(coho::now() - begin >= 30s);
        CHECK(coho::now() - begin < 30s + 2 * coho::timer_queue::tick);
        begin = coho::now();
        auto stuck = co_await coho::timeout(
            30s, ends.server.write_all(as_bytes(more_than_fits)));
        CHECK(stuck.error() == errc::timed_out);
        CHECK(coho::now() - begin >= 30s);
        CHECK(coho::now() - begin < 30s + 2 * coho::timer_queue::tick);
        co_await ends.server.close();
        CHECK(network().open_handles() == open - 1);
    });
}

TEST_CASE("simulated: a whole transfer is whole however short its parts are",
          "[simulated][H17]") {
    coho::simulated_options options;
    options.faults = fault_set::harmless().without(fault::accept_ahead);
    for (options.seed = 1; options.seed <= 100; ++options.seed) {
        run(options, []() -> task<> {
            std::string out(300'000, '\0'), in(300'000, '.');
            for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(i % 251);
            auto ends = co_await connect_pair(host(1), host(2));
            auto [sent, received] = co_await coho::when_all(
                ends.client.write_all(as_bytes(out)),
                ends.server.read_exactly(std::as_writable_bytes(std::span(in))));
            CHECK(sent);
            CHECK(received);
            CHECK((in == out));
        });
    }
}

TEST_CASE("simulated: simulate() says which seed failed, and takes one alone", "[simulated]") {
    const auto fails_at_five = []() -> task<int> { co_return network().seed() == 5 ? 1 : 0; };
    const auto run_with = [&](std::initializer_list<const char*> arguments) {
        return coho::simulate(static_cast<int>(arguments.size()), arguments.begin(), fails_at_five);
    };
    CHECK(run_with({"program", "--seeds", "4"}) == 0);
    CHECK(run_with({"program", "--seeds", "10"}) == 1);
    CHECK(run_with({"program", "--seed", "5"}) == 1);
    CHECK(run_with({"program", "--seed", "6"}) == 0);
    CHECK(run_with({"program", "--first", "6", "--seeds", "100"}) == 0);
    CHECK(run_with({"program", "--seeds"}) == 2);
    CHECK(run_with({"program", "--colour", "1"}) == 2);
}
