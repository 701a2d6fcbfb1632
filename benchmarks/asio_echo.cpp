// An echo server on standalone Asio's coroutines, written as Asio's own examples are.
#include "sockets.h"

#include <array>
#include <asio.hpp>

using asio::use_awaitable;
using asio::ip::tcp;

static asio::awaitable<void> echo(tcp::socket stream) {
    std::array<char, buffer_size> bytes;
    try {
        for (;;) {
            auto count = co_await stream.async_read_some(asio::buffer(bytes), use_awaitable);
            co_await asio::async_write(stream, asio::buffer(bytes, count), use_awaitable);
        }
    } catch (const asio::system_error&) {
        // The peer has gone, which is how every connection ends.
    }
}

static asio::awaitable<void> serve(tcp::acceptor& acceptor) {
    for (;;) {
        auto stream = co_await acceptor.async_accept(use_awaitable);
        stream.set_option(tcp::no_delay(true));
        asio::co_spawn(acceptor.get_executor(), echo(std::move(stream)), asio::detached);
    }
}

int main(int argc, char** argv) {
    // One thread, and Asio is told so: it then spares itself much of its locking.
    asio::io_context context(1);
    tcp::acceptor acceptor(context, tcp::v4(), listen_as("Asio", argc, argv));
    asio::co_spawn(context, serve(acceptor), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    context.run();
}
