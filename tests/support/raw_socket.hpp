#pragma once

#include "system.hpp"

#include <coho.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace support {

/// Who waits longer than this waits for ever.
inline constexpr std::chrono::seconds liveness{60};

/// What blocking sockets do alike, of the system or of a simulated world.
template <class Socket>
class blocking_peer {
public:
    static Socket connected_to(const coho::endpoint& peer) {
        Socket socket(coho::socket_kind::stream, peer.address().family());
        socket.connect(peer);
        return socket;
    }
    std::string receive_to_end() {
        std::string bytes;
        for (;;) {
            const auto more = static_cast<Socket&>(*this).receive(1 << 16);
            if (more.empty()) return bytes;
            bytes += more;
        }
    }
};

/// A blocking socket of the system, for the other side of what is tested.
class raw_socket : public blocking_peer<raw_socket> {
public:
    /// Wine ends a stream in order where Windows would reset it (SO_LINGER of zero).
    static constexpr bool resets = support::resets;
    /// By how much the system enlarges the buffers that it is asked for.
    static constexpr int buffer_factor = support::buffer_factor;

    explicit raw_socket(coho::socket_kind kind,
                        coho::address_family family = coho::address_family::ipv4)
        : raw_socket(taken_over{checked(
              ::socket(family == coho::address_family::ipv6 ? AF_INET6 : AF_INET,
                       (kind == coho::socket_kind::stream ? SOCK_STREAM : SOCK_DGRAM) |
                           close_on_exec,
                       0))}) {}
    raw_socket(raw_socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, none)) {}
    raw_socket& operator=(raw_socket other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~raw_socket() { close(); }

    static raw_socket bound(coho::socket_kind kind,
                            const coho::endpoint& where = coho::endpoint::loopback(0)) {
        raw_socket socket(kind, where.address().family());
        const coho::socket_address address(where);
        checked(::bind(socket.descriptor_, address.data(), address.size()));
        return socket;
    }
    static raw_socket listening(int backlog = 100) {
        auto socket = bound(coho::socket_kind::stream);
        checked(::listen(socket.descriptor_, backlog));
        return socket;
    }

    void connect(const coho::endpoint& peer) {
        const coho::socket_address address(peer);
        checked(uninterrupted([&] {
            const int failed = ::connect(descriptor_, address.data(), address.size());
            // The second try meets what the first has begun.
            if (failed && errno == EALREADY) errno = EINTR;
            return failed && errno == EISCONN ? 0 : failed;
        }));
    }
    raw_socket accept() {
        return raw_socket(
            taken_over{checked(uninterrupted([this] { return accept_on(descriptor_); }))});
    }

    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto sent = checked(uninterrupted([&] {
                return ::send(descriptor_, bytes.data(), static_cast<int>(bytes.size()),
                              no_signal);
            }));
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    /// Of a stream: so many bytes, or fewer where it ends before.
    std::string receive(std::size_t count) {
        std::string bytes(count, '\0');
        std::size_t filled = 0;
        while (filled < count) {
            const auto received = checked(receive_some(bytes.data() + filled, count - filled));
            if (received == 0) break;
            filled += static_cast<std::size_t>(received);
        }
        bytes.resize(filled);
        return bytes;
    }
    /// Whether the stream is over, by an end or a reset; waits for either of them or a byte.
    bool is_over() {
        char byte;
        const auto received = receive_some(&byte, 1);
        return received == 0 || (received < 0 && support::is_reset(last_number()));
    }
    /// Whether a reset has ended the stream; waits for that, an end or a byte.
    bool is_reset() {
        char byte;
        return receive_some(&byte, 1) < 0 && support::is_reset(last_number());
    }
    void shutdown_send() { checked(::shutdown(descriptor_, send_side)); }
    void set(int name, int value) {
        put(name, value);
    }
    void close() noexcept {
        if (descriptor_ != none) close_socket(std::exchange(descriptor_, none));
    }
    /// The peer gets a reset instead of an end. It also keeps no port for a minute, neither here
    /// nor there: a test of hundreds of connections ends them so, or a fast machine runs out.
    void reset() {
        put(SO_LINGER, linger{1, 0});
        close();
    }

    coho::endpoint local_endpoint() const {
        return socket_calls::local_endpoint(native_handle());
    }
    support::descriptor descriptor() const noexcept { return descriptor_; }
    coho::handle native_handle() const noexcept { return static_cast<coho::handle>(descriptor_); }

    // What a look from outside tells of sockets of coho.
    /// Bytes that the system has received for a socket and nobody has read.
    static std::size_t unread_bytes(coho::handle socket) {
        int count = 0;
        checked(count_unread(support::descriptor_of(socket), count));
        return static_cast<std::size_t>(count);
    }
    static bool has_connection_waiting(coho::handle listener) {
        pollfd asked{support::descriptor_of(listener), POLLIN, 0};
        return checked(poll_socket(asked)) == 1;
    }
    /// Everything that is open here, for differences.
    static std::size_t open_sockets() { return open_descriptors(); }

private:
    struct taken_over {
        support::descriptor descriptor;
    };
    static constexpr auto none = static_cast<support::descriptor>(-1);

    std::intptr_t receive_some(char* place, std::size_t most) {
        return uninterrupted([&]() -> std::intptr_t {
            return ::recv(descriptor_, place, static_cast<int>(most), 0);
        });
    }
    template <class Value>
    void put(int name, const Value& value) {
        checked(::setsockopt(descriptor_, SOL_SOCKET, name, reinterpret_cast<const char*>(&value),
                             sizeof value));
    }
    explicit raw_socket(taken_over from) : descriptor_(from.descriptor) {
        put(SO_RCVTIMEO, time_limit_of(liveness));
        put(SO_SNDTIMEO, time_limit_of(liveness));
    }

    support::descriptor descriptor_;
};

}  // namespace support
