#pragma once

#include "../examples/command_line.hpp"
#include "sockets.h"

/// Runs Program::serve<Backend>(endpoint) where the command line says.
template <class Program>
int run_server(int count, char** words) {
    raise_descriptor_limit();
    const char* usage = "[--listen HOST:PORT] [--backend native|io_uring|epoll]";
    return example::run_listening<Program>(usage, count, words);
}
