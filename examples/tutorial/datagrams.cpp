// [datagrams]
#include <coho.hpp>
#include <array>
#include <cstdio>
using namespace std::chrono_literals;

coho::task<int> ask_by_datagram(coho::endpoint server) {
    std::array<std::byte, 512> buffer;
    auto socket = coho::udp_socket::bind(coho::endpoint::loopback(0)).value();
    for (int attempt = 1; attempt <= 3; ++attempt) {
        auto sent = co_await socket.send_to(coho::as_bytes("hello\n"), server);
        auto reply = co_await coho::timeout(1s, socket.receive_from(buffer));
        if (sent && reply) {
            std::printf("%s answers\n", to_string(reply->from).c_str());
            co_return 0;
        }
        std::printf("no answer to attempt %d\n", attempt);
    }
    co_return 1;
}

int main() { return coho::run(ask_by_datagram, coho::endpoint::loopback(7777)); }
// [end]
