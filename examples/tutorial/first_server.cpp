// [server]
#include <coho.hpp>
#include <array>
#include <cstdio>

coho::task<int> serve_one() {
    std::array<std::byte, 512> buffer;
    auto listener = coho::tcp_listener::bind(coho::endpoint::loopback(7777)).value();
    auto stream = co_await listener.accept();
    if (!stream) co_return 1;
    std::printf("a client at %s\n", to_string(stream->remote_endpoint()).c_str());
    while (auto received = co_await stream->read_some(buffer)) {
        auto sent = co_await stream->write_all(std::span(buffer).first(*received));
        if (!sent) break;
    }
    co_return 0;
}

int main() { return coho::run(serve_one); }
// [end]
