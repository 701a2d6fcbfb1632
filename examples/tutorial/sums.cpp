// [protocol]
#include <coho.hpp>
#include <cstdio>
#include <string>
using namespace std::chrono_literals;

// Request: two numbers and a newline. Reply: their sum and a newline.
coho::task<> answer(coho::tcp_stream stream) {
    std::string text;
    while (auto length = co_await coho::timeout(10s, stream.read_until(text, "\n", 100))) {
        int first = 0, second = 0;
        const bool good = std::sscanf(text.c_str(), "%d %d", &first, &second) == 2;
        text.erase(0, *length);
        const auto reply = good ? std::to_string(first + second) + "\n" : "two numbers, please\n";
        auto sent = co_await stream.write_all(coho::as_bytes(reply));
        if (!sent) break;
    }
}
// [end]

// [server]
coho::task<> serve(coho::endpoint where) {
    auto listener = coho::tcp_listener::bind(where).value();
    coho::task_group clients({.max_live = 100, .drain = 2s});
    std::printf("listening on %s\n", to_string(listener.local_endpoint()).c_str());
    while (auto accepted = co_await listener.accept())
        co_await clients.spawn(answer, std::move(*accepted));
    co_await clients.join();
}

int main() { return coho::run(serve, coho::endpoint::loopback(7777)); }
// [end]
