// An echo server on coho that does no more than its peers here do: without the time limits that
// examples/echo_server has, so that instructions compare.

#include "coho_server.hpp"

#include <array>

struct plain_echo {
    template <class Backend>
    static coho::task<> echo(coho::basic_tcp_stream<Backend> stream) {
        std::array<std::byte, buffer_size> buffer;
        while (auto received = co_await stream.read_some(buffer)) {
            auto sent = co_await stream.write_all(std::span(buffer).first(*received));
            if (!sent) break;
        }
    }

    template <class Backend>
    static coho::task<> serve(coho::endpoint where) {
        return serve_each<Backend>(where, echo<Backend>);
    }
};

int main(int count, char** words) { return run_server<plain_echo>(count, words); }
