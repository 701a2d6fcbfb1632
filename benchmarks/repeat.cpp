// Does one operation of tasks so many times and nothing else, for whoever counts instructions.
#include "operations.hpp"

#include <cstdlib>

namespace {

using simulated_stream = coho::basic_tcp_stream<coho::simulated>;

coho::task<> echo(simulated_stream stream) {
    // No larger than the message, for the simulated kernel looks at every byte that it is lent.
    std::array<std::byte, 64> buffer;
    while (auto received = co_await stream.read_some(buffer)) {
        auto sent = co_await stream.write_all(std::span(buffer).first(*received));
        if (!sent) break;
    }
}

coho::task<> serve(coho::basic_tcp_listener<coho::simulated>* listener) {
    auto accepted = co_await listener->accept();
    if (accepted) co_await echo(std::move(*accepted));
}

/// Both ends of an echo, on the simulated kernel: the same on every machine.
coho::task<> exchange(std::uint64_t times) {
    const auto where = coho::endpoint::loopback(7777);
    auto listener = coho::basic_tcp_listener<coho::simulated>::bind(where).value();
    coho::task_group servers;
    co_await servers.spawn(serve, &listener);
    auto connected = co_await simulated_stream::connect(where);
    auto stream = std::move(connected).value();
    std::array<std::byte, 64> message{};
    for (std::uint64_t i = 0; i < times; ++i) {
        auto sent = co_await stream.write_all(message);
        auto came = co_await stream.read_exactly(message);
        coho::check(sent && came, "an echo failed in a world without faults");
    }
    co_await stream.close();
    co_await servers.join();
}

int repeat(std::string_view name, std::uint64_t times) {
    if (name == "simulated-echo") {
        coho::scheduler<coho::simulated> world({.faults = coho::fault_set::none()});
        return world.run(exchange, times);
    }
    for (const auto& each : operations::all) {
        if (each.name == name) return coho::run<coho::epoll>(each.repeat, times);
    }
    std::fprintf(stderr, "there is no operation \"%.*s\"\n", int(name.size()), name.data());
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3) return repeat(argv[1], std::strtoull(argv[2], nullptr, 10));
    std::fputs("simulated-echo", stdout);
    for (const auto& each : operations::all) std::printf(" %s", each.name.data());
    std::puts("");
    return argc == 1 ? 0 : 2;
}
