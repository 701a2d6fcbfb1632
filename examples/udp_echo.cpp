// Sends every datagram back to where it came from, until Ctrl-C.

#include "command_line.hpp"

#include <array>

enum class speech { one_by_one, in_batches, in_leases };

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

    // [leases]
    template <class Backend>
    static coho::task<> echo_leases(coho::basic_udp_socket<Backend>& socket) {
        auto incoming = socket.incoming();
        while (auto datagram = co_await incoming.next()) {
            auto sent = co_await socket.send_to(std::move(datagram->lease), datagram->from);
            if (!sent && sent.error() == coho::errc::cancelled) break;
        }
    }
    // [end]

    template <class Backend>
    static coho::task<> serve(coho::endpoint where, speech how) {
        auto socket = coho::basic_udp_socket<Backend>::bind(where).value();
        example::announce(socket.local_endpoint(),
                          coho::scheduler<Backend>::current().backend_name());
        if (how == speech::one_by_one) co_await echo(socket);
        if (how == speech::in_batches) co_await echo_batches(socket);
        if (how == speech::in_leases) co_await echo_leases(socket);
    }
};

int main(int count, char** words) {
    const char* usage = "udp_echo [--listen HOST:PORT] [--backend native|io_uring|epoll] "
                        "[--batches: many datagrams by one call] "
                        "[--leases: no buffer while it is silent]";
    return example::run_main(usage, [&] {
        auto where = coho::endpoint::loopback(7777);
        std::string_view kernel = "native";
        auto how = speech::one_by_one;
        example::command_line line(count, words);
        while (const auto flag = line.next_flag()) {
            if (*flag == "--listen") where = line.endpoint();
            else if (*flag == "--backend") kernel = line.value();
            else if (*flag == "--batches") how = speech::in_batches;
            else if (*flag == "--leases") how = speech::in_leases;
            else line.unknown();
        }
        // As large as a datagram can be.
        const coho::run_options options{.buffers = {.count = 16, .size = 65536}};
        return example::run_on<udp_echo>(kernel, options, where, how);
    });
}
