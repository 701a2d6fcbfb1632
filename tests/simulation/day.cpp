// A day of a server with a thousand clients, each of which sends a sign of life every minute.

#include <coho.hpp>

#include <array>
#include <cstdio>

using namespace std::chrono_literals;
using coho::endpoint;
using coho::task;
using kernel = coho::simulated;
using stream = coho::basic_tcp_stream<kernel>;

namespace {

constexpr int clients = 1'000;
constexpr int minutes_of_a_day = 24 * 60;
std::uint64_t answered = 0;

task<> echo(stream connection) {
    std::array<std::byte, 64> buffer;
    while (auto received = co_await coho::timeout(90s, connection.read_some(buffer))) {
        auto sent = co_await connection.write_all(std::span(buffer).first(*received));
        if (!sent) break;
    }
}
task<> serve(endpoint where) {
    auto listener = coho::basic_tcp_listener<kernel>::bind(where).value();
    coho::task_group connections;
    while (auto accepted = co_await listener.accept()) {
        (void)accepted->set(coho::keep_alive{});
        co_await connections.spawn(echo, std::move(*accepted));
    }
    co_await connections.join();
}
task<> give_signs_of_life(endpoint where) {
    std::array<std::byte, 8> sign{};
    auto connection = (co_await stream::connect(where)).value();
    for (int minute = 0; minute < minutes_of_a_day; ++minute) {
        co_await coho::sleep(1min);
        auto sent = co_await connection.write_all(sign);
        auto received = co_await coho::timeout(10s, connection.read_exactly(sign));
        if (!sent || !received) break;
        ++answered;
    }
}
task<int> day() {
    const auto where = endpoint::loopback(7);
    coho::task_group server, everybody;
    co_await server.spawn(serve, where);
    for (int i = 0; i < clients; ++i) co_await everybody.spawn(give_signs_of_life, where);
    co_await everybody.join();
    server.request_stop();
    co_await server.join();
    co_return answered == std::uint64_t(clients) * minutes_of_a_day ? 0 : 1;
}

}  // namespace

int main() {
    coho::simulated_options options;
    options.faults = coho::fault_set::none();
    coho::scheduler<kernel> world(options);
    const int status = world.run(day);
    std::printf("%llu signs of life answered in %.1f hours of virtual time, trace %016llx\n",
                static_cast<unsigned long long>(answered),
                static_cast<double>(world.kernel().age().count()) / 3.6e12,
                static_cast<unsigned long long>(world.trace_hash()));
    return status;
}
