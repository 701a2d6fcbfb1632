#include "sums.hpp"

// [main]
coho::task<> serve_here() {
    auto listener = coho::tcp_listener::bind(coho::endpoint::loopback(7777)).value();
    co_await serve(std::move(listener), read_carefully);
}

/// With "--serve" it is the server itself, on the kernel of this machine.
int main(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == "--serve") {
        return coho::run(serve_here);
    }
    return coho::simulate(argc, argv, [] { return world(read_carefully); }, a_bad_network());
}
// [end]
