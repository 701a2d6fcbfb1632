// Sends every datagram back to where it came from, until Ctrl-C.

#include "command_line.hpp"

#include <array>

struct udp_echo {
    template <class Backend>
    static coho::task<> serve(coho::endpoint where) {
        std::array<std::byte, 65536> buffer;
        auto socket = coho::basic_udp_socket<Backend>::bind(where).value();
        example::announce(socket.local_endpoint(),
                          coho::scheduler<Backend>::current().backend_name());
        while (auto datagram = co_await socket.receive_from(buffer)) {
            auto sent = co_await socket.send_to(datagram->bytes, datagram->from);
            // A datagram that cannot be sent is lost, as the network may lose any.
            if (!sent && sent.error() == coho::errc::cancelled) break;
        }
    }
};

int main(int count, char** words) {
    const char* usage = "udp_echo [--listen HOST:PORT] [--backend native|io_uring|epoll]";
    return example::run_listening<udp_echo>(usage, count, words);
}
