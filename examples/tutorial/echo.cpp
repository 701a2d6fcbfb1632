// [server]
#include <coho.hpp>
#include <array>
#include <cstdio>
using namespace std::chrono_literals;

coho::task<> echo(coho::tcp_stream stream) {
    std::array<std::byte, 16384> buffer;
    while (auto received = co_await coho::timeout(30s, stream.read_some(buffer))) {
        auto bytes = std::span(buffer).first(*received);
        auto sent = co_await coho::timeout(30s, stream.write_all(bytes));
        if (!sent) break;
    }
}

coho::task<> serve(coho::endpoint where) {
    auto listener = coho::tcp_listener::bind(where).value();
    coho::task_group connections({.max_live = 10'000, .drain = 5s});
    std::printf("listening on %s\n", to_string(listener.local_endpoint()).c_str());
    while (auto accepted = co_await listener.accept())
        co_await connections.spawn(echo, std::move(*accepted));
    co_await listener.close();
    co_await connections.join();
}

int main() { return coho::run(serve, coho::endpoint::loopback(7777)); }
// [end]
