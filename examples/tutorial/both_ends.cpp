#include <coho.hpp>
#include <array>
#include <cstdio>
using namespace std::chrono_literals;

// [side by side]
coho::task<bool> one_echo(coho::tcp_listener& listener) {
    std::array<std::byte, 64> buffer;
    auto stream = co_await listener.accept();
    if (!stream) co_return false;
    auto received = co_await stream->read_some(buffer);
    if (!received) co_return false;
    auto sent = co_await stream->write_all(std::span(buffer).first(*received));
    co_return bool(sent);
}

coho::task<bool> one_question(coho::endpoint server) {
    std::array<std::byte, 5> reply;
    auto stream = co_await coho::connect(server);
    if (!stream) co_return false;
    auto sent = co_await stream->write_all(coho::as_bytes("hello"));
    auto read = co_await stream->read_exactly(reply);
    co_return sent && read && coho::as_text(reply) == "hello";
}

coho::task<int> both() {
    auto listener = coho::tcp_listener::bind(coho::endpoint::loopback(0)).value();
    auto server = one_echo(listener);
    auto client = one_question(listener.local_endpoint());
    auto [served, asked] = co_await coho::when_all(std::move(server), std::move(client));
    std::printf("served: %d, asked: %d\n", served, asked);
    co_return served && asked ? 0 : 1;
}
// [end]

// [deadline]
coho::task<int> both_within_a_second() {
    auto done = co_await coho::timeout(1s, both());
    co_return done ? *done : 1;
}
// [end]

int main() { return coho::run(both_within_a_second); }
