// [client]
#include <coho.hpp>
#include <array>
#include <cstdio>

coho::task<int> ask() {
    std::array<std::byte, 512> reply;
    auto stream = co_await coho::connect("localhost", 7777);
    if (!stream) {
        std::fprintf(stderr, "%s\n", stream.error().message().c_str());
        co_return 1;
    }
    auto sent = co_await stream->write_all(coho::as_bytes("hello\n"));
    auto count = co_await stream->read_some(reply);
    if (!sent || !count) co_return 1;
    const auto text = coho::as_text(std::span(reply).first(*count));
    std::printf("the server says: %.*s", static_cast<int>(text.size()), text.data());
    co_return 0;
}

int main() { return coho::run(ask); }
// [end]
