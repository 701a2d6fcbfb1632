#pragma once

#include <coho.hpp>

#include <array>
#include <cstdint>
#include <span>

// [server]
using namespace std::chrono_literals;

using request = std::array<std::uint32_t, 2>;
using reply = std::array<std::uint32_t, 1>;

template <class Numbers>
std::span<std::byte> bytes_of(Numbers& numbers) { return std::as_writable_bytes(std::span(numbers)); }

/// Adds two numbers, again and again. What reads them is given, for the sake of this page.
template <class Backend, class Read>
coho::task<> add(coho::basic_tcp_stream<Backend> stream, Read read) {
    request numbers{};
    while (co_await coho::timeout(10s, read(stream, bytes_of(numbers)))) {
        reply sum{numbers[0] + numbers[1]};
        auto sent = co_await coho::timeout(10s, stream.write_all(bytes_of(sum)));
        if (!sent) break;
    }
}

template <class Backend, class Read>
coho::task<> serve(coho::basic_tcp_listener<Backend> listener, Read read) {
    coho::task_group connections({.max_live = 100, .drain = 1s});
    while (auto accepted = co_await listener.accept())
        co_await connections.spawn(add<Backend, Read>, std::move(*accepted), read);
    co_await connections.join();
}
// [end]

// [careful]
inline constexpr auto read_carefully = [](auto& stream, std::span<std::byte> message) {
    return stream.read_exactly(message);
};
// [end]

// [client]
using simulated_stream = coho::basic_tcp_stream<coho::simulated>;

/// How many answers it got, of ten; below 0 where one was wrong.
inline coho::task<int> ask(coho::ip_address from, coho::endpoint where) {
    request numbers{40, 2};
    reply sum{};
    auto stream = co_await simulated_stream::connect(where, {.local = {from, 0}});
    int answers = 0;
    for (; stream && answers < 10; ++answers) {
        numbers[0] += 1000;
        auto sent = co_await stream->write_all(bytes_of(numbers));
        auto came = co_await coho::timeout(5s, stream->read_exactly(bytes_of(sum)));
        if (!sent || !came) break;
        if (sum[0] != numbers[0] + numbers[1]) co_return -1;
        co_await coho::sleep(1s);
    }
    co_return answers;
}
// [end]

// [world]
template <class Read>
coho::task<int> world(Read read) {
    const coho::endpoint where(coho::ip_address::v4({10, 0, 0, 1}), 7777);
    auto listener = coho::basic_tcp_listener<coho::simulated>::bind(where).value();
    coho::task_group server;
    co_await server.spawn(serve<coho::simulated, Read>, std::move(listener), read);
    auto [first, second] =
        co_await coho::when_all(ask(coho::ip_address::v4({10, 0, 0, 2}), where),
                                ask(coho::ip_address::v4({10, 0, 0, 3}), where));
    // Bad days last for 30 seconds. Whoever asks later is answered, unless stop was asked before.
    int late = 10;
    if (co_await coho::sleep(30s)) late = co_await ask(coho::ip_address::v4({10, 0, 0, 4}), where);
    server.request_stop();
    co_await server.join();
    co_return first >= 0 && second >= 0 && late == 10 ? 0 : 1;
}
// [end]

// [network]
/// All faults but one: these clients do not catch std::bad_alloc.
inline coho::simulated_options a_bad_network() {
    coho::simulated_options options;
    options.faults = coho::fault_set::all().without(coho::fault::failed_allocation);
    return options;
}
// [end]
