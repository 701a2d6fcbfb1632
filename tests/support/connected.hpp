#pragma once

#include "catch.hpp"

#include <coho.hpp>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/// Connected sockets over loopback, and a run that checks that nothing is left behind.
namespace support {

/// Who waits longer than this waits for ever.
inline constexpr std::chrono::seconds liveness{60};

/// errc::none where there is a value.
template <class T>
coho::errc reason_of(const coho::result<T>& outcome) noexcept {
    return outcome ? coho::errc::none : outcome.error().reason();
}

/// The error's sentence, empty where there is a value.
template <class T>
std::string message_of(const coho::result<T>& outcome) {
    return outcome ? std::string() : outcome.error().message();
}

inline std::size_t open_descriptors() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

template <class Function>
coho::task<> within_bounds(Function& function) {
    auto ended = co_await coho::timeout(liveness, function());
    CHECK(reason_of(ended) == coho::errc::none);
}

/// Runs the task that the function returns on a scheduler of its own, and checks that every
/// descriptor and frame is back afterwards.
template <class Backend, class Function>
void run_on(Function function) {
    const auto descriptors = open_descriptors();
    {
        coho::scheduler<Backend> loop;
        CHECK(loop.run(within_bounds<Function>, function) == 0);
        CHECK(loop.frames().live() == 0);
    }
    CHECK(open_descriptors() == descriptors);
}

/// What a call of the system returned; throws where it failed.
template <class Number>
Number checked(Number returned) {
    if (returned < 0) throw std::system_error(errno, std::system_category());
    return returned;
}

/// Calls the system again where it was interrupted, as it is by the work of an io_uring that ends.
template <class Call>
auto uninterrupted(Call call) {
    for (;;) {
        const auto returned = call();
        if (returned >= 0 || errno != EINTR) return returned;
    }
}

/// A blocking socket of the system, for the other side of what is tested.
class raw_socket {
public:
    explicit raw_socket(int type, coho::address_family family = coho::address_family::ipv4)
        : raw_socket(taken_over{
              checked(::socket(family == coho::address_family::ipv6 ? AF_INET6 : AF_INET,
                               type | SOCK_CLOEXEC, 0))}) {}
    raw_socket(raw_socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    raw_socket& operator=(raw_socket other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~raw_socket() { close(); }

    static raw_socket connected_to(const coho::endpoint& peer) {
        raw_socket socket(SOCK_STREAM, peer.address().family());
        socket.connect(peer);
        return socket;
    }
    static raw_socket bound(int type, const coho::endpoint& where = coho::endpoint::loopback(0)) {
        raw_socket socket(type, where.address().family());
        const coho::socket_address address(where);
        checked(::bind(socket.descriptor_, address.data(), address.size()));
        return socket;
    }
    static raw_socket listening(int backlog = 100) {
        auto socket = bound(SOCK_STREAM);
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
        return raw_socket(taken_over{checked(uninterrupted([this] {
                return ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC);
            }))});
    }

    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto sent = checked(uninterrupted([&] {
                return ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
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
    std::string receive_to_end() {
        std::string bytes;
        for (;;) {
            const auto more = receive(1 << 16);
            if (more.empty()) return bytes;
            bytes += more;
        }
    }
    /// Whether the stream is over, by an end or a reset; waits for either of them or a byte.
    bool is_over() {
        char byte;
        const auto received = receive_some(&byte, 1);
        return received == 0 || (received < 0 && errno == ECONNRESET);
    }
    void shutdown_send() { checked(::shutdown(descriptor_, SHUT_WR)); }
    void set(int name, int value) {
        checked(::setsockopt(descriptor_, SOL_SOCKET, name, &value, sizeof value));
    }
    void close() noexcept {
        if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
    }
    /// The peer gets a reset instead of an end.
    void reset() {
        const linger at_once{1, 0};
        checked(::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
        close();
    }

    coho::endpoint local_endpoint() const {
        return coho::posix_sockets::local_endpoint(static_cast<coho::handle>(descriptor_));
    }
    int descriptor() const noexcept { return descriptor_; }

private:
    struct taken_over {
        int descriptor;
    };
    ssize_t receive_some(char* place, std::size_t most) {
        return uninterrupted([&] { return ::recv(descriptor_, place, most, 0); });
    }
    explicit raw_socket(taken_over from) : descriptor_(from.descriptor) {
        const timeval limit{liveness.count(), 0};
        checked(::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
        checked(::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
    }

    int descriptor_;
};

/// Two ends of one connection, both of coho.
template <class Backend>
struct stream_pair {
    coho::basic_tcp_stream<Backend> client;
    coho::basic_tcp_stream<Backend> server;
};
template <class Backend>
coho::task<stream_pair<Backend>> connect_pair(coho::endpoint where = coho::endpoint::loopback(0)) {
    auto listener = coho::basic_tcp_listener<Backend>::bind(where).value();
    auto [accepted, connected] = co_await coho::when_all(
        listener.accept(), coho::connect<Backend>(listener.local_endpoint()));
    stream_pair<Backend> both{std::move(connected).value(), std::move(accepted).value()};
    co_return std::move(both);
}

/// A stream of coho whose peer is a blocking socket.
template <class Backend>
struct stream_and_peer {
    coho::basic_tcp_stream<Backend> stream;
    raw_socket peer;
};
template <class Backend>
coho::task<stream_and_peer<Backend>> accept_peer() {
    auto listener = coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    auto peer = raw_socket::connected_to(listener.local_endpoint());
    auto accepted = co_await listener.accept();
    stream_and_peer<Backend> both{std::move(accepted).value(), std::move(peer)};
    co_return std::move(both);
}

/// So many bytes of a stream as text; shorter where it ended before.
template <class Stream>
coho::task<std::string> receive_text(Stream& stream, std::size_t count) {
    std::string text(count, '\0');
    std::size_t filled = 0;
    while (filled < count) {
        const auto rest = std::as_writable_bytes(std::span(text)).subspan(filled);
        auto received = co_await stream.read_some(rest);
        if (!received) break;
        filled += *received;
    }
    text.resize(filled);
    co_return text;
}

/// Bytes that the system has received for a socket and nobody has read.
inline int unread_bytes(coho::handle socket) {
    int count = 0;
    checked(::ioctl(coho::descriptor_of(socket), FIONREAD, &count));
    return count;
}

/// Bytes of which no two neighbours within 251 are equal, so that a lost, doubled or overtaken one
/// shows.
inline std::string counting_bytes(std::size_t count, std::size_t first = 0) {
    std::string bytes(count, '\0');
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>((first + i) % 251);
    return bytes;
}

}  // namespace support

template <>
struct Catch::StringMaker<coho::errc> {
    static std::string convert(coho::errc reason) {
        return '"' + std::string(coho::describe(reason)) + '"';
    }
};
