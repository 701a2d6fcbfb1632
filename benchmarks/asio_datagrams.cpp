// Sends every datagram back, on standalone Asio's coroutines.
#include "sockets.h"

#include <array>
#include <asio.hpp>

using asio::use_awaitable;
using asio::ip::udp;

static asio::awaitable<void> echo(udp::socket& socket) {
    static std::array<char, longest_datagram> bytes;
    for (;;) {
        udp::endpoint from;
        auto count =
            co_await socket.async_receive_from(asio::buffer(bytes), from, use_awaitable);
        co_await socket.async_send_to(asio::buffer(bytes, count), from, use_awaitable);
    }
}

int main(int argc, char** argv) {
    asio::io_context context(1);
    udp::socket socket(context, udp::v4(), bind_as("Asio", argc, argv, SOCK_DGRAM));
    asio::co_spawn(context, echo(socket), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    context.run();
}
