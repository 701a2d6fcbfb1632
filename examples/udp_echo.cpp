// Sends every datagram back to where it came from, until Ctrl-C.

#include "command_line.hpp"

#include <array>

struct udp_echo {
    template <class Backend>
    static coho::task<> echo(coho::basic_udp_socket<Backend>& socket) {
        std::array<std::byte, 65536> buffer;
        while (auto datagram = co_await socket.receive_from(buffer)) {
            auto sent = co_await socket.send_to(datagram->bytes, datagram->from);
            // A datagram that cannot be sent is lost, as the network may lose any.
            if (!sent && sent.error() == coho::errc::cancelled) break;
        }
    }

    // [batches]
    template <class Backend>
    static coho::task<> echo_batches(coho::basic_udp_socket<Backend>& socket) {
        std::array<std::byte, 65536> buffer;
        auto batches = socket.batches();
        while (auto batch = co_await batches.receive(buffer)) {
            auto sent = co_await batches.send(batch->bytes, batch->size, batch->from);
            if (!sent && sent.error() == coho::errc::cancelled) break;
        }
    }
    // [end]

    template <class Backend>
    static coho::task<> serve(coho::endpoint where, bool in_batches) {
        auto socket = coho::basic_udp_socket<Backend>::bind(where).value();
        example::announce(socket.local_endpoint(),
                          coho::scheduler<Backend>::current().backend_name());
        const auto speak = in_batches ? echo_batches<Backend> : echo<Backend>;
        co_await speak(socket);
    }
};

int main(int count, char** words) {
    const char* usage = "udp_echo [--listen HOST:PORT] [--backend native|io_uring|epoll] "
                        "[--batches: many datagrams by one call]";
    return example::run_main(usage, [&] {
        auto where = coho::endpoint::loopback(7777);
        std::string_view kernel = "native";
        bool in_batches = false;
        example::command_line line(count, words);
        while (const auto flag = line.next_flag()) {
            if (*flag == "--listen") where = line.endpoint();
            else if (*flag == "--backend") kernel = line.value();
            else if (*flag == "--batches") in_batches = true;
            else line.unknown();
        }
        return example::run_on<udp_echo>(kernel, {}, where, in_batches);
    });
}
