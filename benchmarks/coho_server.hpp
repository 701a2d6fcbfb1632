#pragma once

#include "../examples/command_line.hpp"
#include "sockets.h"

/// Serves every connection by a task of its own.
template <class Backend>
coho::task<> serve_each(coho::endpoint where,
                        coho::task<> (*serve)(coho::basic_tcp_stream<Backend>)) {
    auto listener = coho::basic_tcp_listener<Backend>::bind(where).value();
    coho::task_group connections;
    example::announce(listener.local_endpoint(),
                      coho::scheduler<Backend>::current().backend_name());
    while (auto accepted = co_await listener.accept())
        co_await connections.spawn(serve, std::move(*accepted));
    co_await connections.join();
}

/// Runs Program::serve<Backend>(endpoint) where the command line says.
template <class Program>
int run_server(int count, char** words) {
    raise_descriptor_limit();
    const char* usage = "[--listen HOST:PORT] [--backend native|io_uring|epoll] "
                        "[--spin MICROSECONDS] [--buffer-size BYTES] [--zero-copy-from BYTES], "
                        "the last on io_uring";
    return example::run_main(usage, [&] {
        auto where = coho::endpoint::loopback(7777);
        std::string_view kernel = "native";
        coho::run_options options;
        std::size_t zero_copy_from = 0;
        example::command_line line(count, words);
        while (const auto flag = line.next_flag()) {
            if (*flag == "--listen") where = line.endpoint();
            else if (*flag == "--backend") kernel = line.value();
            else if (*flag == "--spin") options.spin = std::chrono::microseconds(line.number());
            else if (*flag == "--buffer-size") options.buffers.size = line.number();
            else if (*flag == "--zero-copy-from") zero_copy_from = line.number();
            else line.unknown();
        }
        if (zero_copy_from == 0) return example::run_on<Program>(kernel, options, where);
        if (kernel == "epoll") throw example::usage_error("--zero-copy-from is for io_uring alone");
        coho::scheduler<coho::io_uring> loop({.zero_copy_from = zero_copy_from});
        loop.use_buffers(options.buffers);
        loop.spin_for(options.spin);
        return loop.run(Program::template serve<coho::io_uring>, where);
    });
}
