#pragma once

#include "options.hpp"
#include "request.hpp"

#include <cerrno>
#include <cstring>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace coho {

constexpr int descriptor_of(handle socket) noexcept { return static_cast<int>(socket); }

/// An endpoint as the system calls want it, and back.
class socket_address {
public:
    socket_address() noexcept : size_(sizeof v6_), v6_{} {}
    explicit socket_address(const endpoint& where) noexcept : socket_address() {
        const auto& bytes = where.address().bytes();
        if (where.address().is_v6()) {
            v6_.sin6_family = AF_INET6;
            v6_.sin6_port = htons(where.port());
            std::memcpy(&v6_.sin6_addr, bytes.data(), 16);
            v6_.sin6_scope_id = where.address().zone();
        } else {
            v4_.sin_family = where.address().is_v4() ? AF_INET : AF_UNSPEC;
            v4_.sin_port = htons(where.port());
            std::memcpy(&v4_.sin_addr, bytes.data(), 4);
            size_ = sizeof v4_;
        }
    }

    endpoint where() const noexcept {
        if (any_.sa_family == AF_INET6) {
            std::array<std::uint8_t, 16> bytes;
            std::memcpy(bytes.data(), &v6_.sin6_addr, 16);
            return {ip_address::v6(bytes, v6_.sin6_scope_id), ntohs(v6_.sin6_port)};
        }
        if (any_.sa_family == AF_INET) {
            std::array<std::uint8_t, 4> bytes;
            std::memcpy(bytes.data(), &v4_.sin_addr, 4);
            return {ip_address::v4(bytes), ntohs(v4_.sin_port)};
        }
        return {};
    }

    sockaddr* data() noexcept { return &any_; }
    const sockaddr* data() const noexcept { return &any_; }
    socklen_t& size() noexcept { return size_; }
    socklen_t size() const noexcept { return size_; }

private:
    socklen_t size_;
    union {
        sockaddr any_;
        sockaddr_in v4_;
        sockaddr_in6 v6_;
    };
};

/// The system's memory pieces for a vectored request, without the first `skipped` bytes.
class memory_pieces {
public:
    template <class Bytes>
    memory_pieces(const std::array<std::span<Bytes>, request::most_pieces>& pieces,
                  std::size_t count, std::size_t skipped) noexcept {
        for (std::size_t i = 0; i < count; ++i) {
            const auto cut = skipped < pieces[i].size() ? skipped : pieces[i].size();
            skipped -= cut;
            if (cut == pieces[i].size()) continue;
            const auto rest = pieces[i].subspan(cut);
            pieces_[count_++] = {const_cast<std::byte*>(rest.data()), rest.size()};
            bytes_ += rest.size();
        }
    }
    msghdr message() noexcept {
        msghdr header{};
        header.msg_iov = pieces_.data();
        header.msg_iovlen = count_;
        return header;
    }
    std::size_t bytes() const noexcept { return bytes_; }

private:
    std::array<iovec, request::most_pieces> pieces_;
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
};

/// The error numbers of POSIX as portable errors: the only such table for these systems.
inline error describe_posix(int number) noexcept {
    switch (number) {
    case 0: return {errc::none, number};
    case ECANCELED: return {errc::cancelled, number};
    case ETIMEDOUT: return {errc::timed_out, number};
    case ECONNREFUSED: return {errc::connection_refused, number};
    // A write that meets a connection closed before: reset for the first, EPIPE for those that
    // follow.
    case EPIPE:
    case ECONNRESET: return {errc::connection_reset, number};
    case ECONNABORTED: return {errc::connection_aborted, number};
    case ENOTCONN: return {errc::not_connected, number};
    case EISCONN: return {errc::already_connected, number};
    case EADDRINUSE: return {errc::address_in_use, number};
    case EADDRNOTAVAIL: return {errc::address_not_available, number};
    case ENETDOWN:
    case ENETUNREACH: return {errc::network_unreachable, number};
    case EHOSTDOWN:
    case EHOSTUNREACH: return {errc::host_unreachable, number};
    case EPERM:
    case EACCES: return {errc::permission_denied, number};
    case EMFILE:
    case ENFILE: return {errc::too_many_descriptors, number};
    case EAGAIN:
    case ENOSPC:
    case ENOBUFS:
    case ENOMEM: return {errc::not_enough_memory, number};
    case EMSGSIZE: return {errc::message_too_large, number};
    case EINVAL: return {errc::invalid_argument, number};
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOPROTOOPT:
    case ENOSYS:
    case EOPNOTSUPP: return {errc::not_supported, number};
    case EBADF: return {errc::closed, number};
    default: return {errc::other, number};
    }
}

/// The calls on sockets that never wait, for the kernels of POSIX systems. Numbers returned are 0
/// or errno.
class posix_sockets {
public:
    static error describe(int number) noexcept { return describe_posix(number); }

    /// accept(2) hands on errors of the new connection, which say nothing of the listener.
    static accept_advice after_failed_accept(int number) noexcept {
        switch (number) {
        case ECONNABORTED:
        case EPROTO:
        case EPERM:
        case EINTR:
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENOPROTOOPT:
        case EOPNOTSUPP: return accept_advice::go_on;
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case ENOBUFS:
        case ENOSPC:
        case EAGAIN: return accept_advice::back_off;
        default: return accept_advice::give_up;
        }
    }

    static int bind(handle socket, endpoint where) noexcept {
        const socket_address address(where);
        return number_of(::bind(descriptor_of(socket), address.data(), address.size()));
    }
    static int shutdown(handle socket, direction side) noexcept {
        return number_of(::shutdown(descriptor_of(socket),
                                    side == direction::send ? SHUT_WR : SHUT_RD));
    }
    /// The peer sees the end at once, although the descriptor stays.
    static void disconnect(handle socket) noexcept { ::shutdown(descriptor_of(socket), SHUT_RDWR); }

    static endpoint local_endpoint(handle socket) noexcept {
        socket_address address;
        return ::getsockname(descriptor_of(socket), address.data(), &address.size()) == 0
                   ? address.where()
                   : endpoint();
    }
    static endpoint remote_endpoint(handle socket) noexcept {
        socket_address address;
        return ::getpeername(descriptor_of(socket), address.data(), &address.size()) == 0
                   ? address.where()
                   : endpoint();
    }

    /// Lets a port be bound again while connections of an earlier listener fade out (TIME_WAIT).
    static int reuse_address(handle socket) noexcept {
        return put(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    static int v6_only(handle socket, bool only) noexcept {
        return put(socket, IPPROTO_IPV6, IPV6_V6ONLY, int(only));
    }

    static int set(handle socket, no_delay option) noexcept {
        return put(socket, IPPROTO_TCP, TCP_NODELAY, int(option.value));
    }
    static int set(handle socket, keep_alive option) noexcept {
        int number = put(socket, SOL_SOCKET, SO_KEEPALIVE, int(option.value));
        if (number == 0 && option.value) {
            number = put(socket, IPPROTO_TCP, TCP_KEEPIDLE, int(option.idle.count()));
            if (number == 0) {
                number = put(socket, IPPROTO_TCP, TCP_KEEPINTVL, int(option.interval.count()));
            }
            if (number == 0) number = put(socket, IPPROTO_TCP, TCP_KEEPCNT, option.probes);
        }
        return number;
    }
    static int set(handle socket, user_timeout option) noexcept {
        return put(socket, IPPROTO_TCP, TCP_USER_TIMEOUT,
                   static_cast<unsigned>(option.value.count()));
    }
    static int set(handle socket, linger option) noexcept {
        return put(socket, SOL_SOCKET, SO_LINGER,
                   ::linger{int(option.value), static_cast<int>(option.time.count())});
    }
    static int set(handle socket, receive_buffer_size option) noexcept {
        return put(socket, SOL_SOCKET, SO_RCVBUF, option.bytes);
    }
    static int set(handle socket, send_buffer_size option) noexcept {
        return put(socket, SOL_SOCKET, SO_SNDBUF, option.bytes);
    }
    static int set(handle socket, broadcast option) noexcept {
        return put(socket, SOL_SOCKET, SO_BROADCAST, int(option.value));
    }
    static int set(handle socket, hop_limit option) noexcept {
        return local_endpoint(socket).address().is_v6()
                   ? put(socket, IPPROTO_IPV6, IPV6_UNICAST_HOPS, option.value)
                   : put(socket, IPPROTO_IP, IP_TTL, option.value);
    }

    static int get(handle socket, no_delay& option) noexcept {
        return get_number(socket, IPPROTO_TCP, TCP_NODELAY, option.value);
    }
    static int get(handle socket, keep_alive& option) noexcept {
        return get_number(socket, SOL_SOCKET, SO_KEEPALIVE, option.value);
    }
    static int get(handle socket, user_timeout& option) noexcept {
        int milliseconds = 0;
        const int number = get_number(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
        option.value = std::chrono::milliseconds(milliseconds);
        return number;
    }
    static int get(handle socket, linger& option) noexcept {
        ::linger value{};
        const int number = take(socket, SOL_SOCKET, SO_LINGER, value);
        option = {value.l_onoff != 0, std::chrono::seconds(value.l_linger)};
        return number;
    }
    static int get(handle socket, receive_buffer_size& option) noexcept {
        return get_number(socket, SOL_SOCKET, SO_RCVBUF, option.bytes);
    }
    static int get(handle socket, send_buffer_size& option) noexcept {
        return get_number(socket, SOL_SOCKET, SO_SNDBUF, option.bytes);
    }
    static int get(handle socket, broadcast& option) noexcept {
        return get_number(socket, SOL_SOCKET, SO_BROADCAST, option.value);
    }
    static int get(handle socket, hop_limit& option) noexcept {
        return local_endpoint(socket).address().is_v6()
                   ? get_number(socket, IPPROTO_IPV6, IPV6_UNICAST_HOPS, option.value)
                   : get_number(socket, IPPROTO_IP, IP_TTL, option.value);
    }

protected:
    static int number_of(int returned) noexcept { return returned < 0 ? errno : 0; }

    static std::intptr_t open_descriptor(address_family family, socket_kind kind,
                                         int flags) noexcept {
        const int descriptor = ::socket(family == address_family::ipv6 ? AF_INET6 : AF_INET,
                                        (kind == socket_kind::stream ? SOCK_STREAM : SOCK_DGRAM) |
                                            SOCK_CLOEXEC | flags,
                                        0);
        return descriptor < 0 ? -errno : descriptor;
    }

private:
    template <class Value>
    static int put(handle socket, int level, int name, const Value& value) noexcept {
        return number_of(::setsockopt(descriptor_of(socket), level, name, &value, sizeof value));
    }
    template <class Value>
    static int take(handle socket, int level, int name, Value& value) noexcept {
        socklen_t size = sizeof value;
        return number_of(::getsockopt(descriptor_of(socket), level, name, &value, &size));
    }
    template <class Number>
    static int get_number(handle socket, int level, int name, Number& number) noexcept {
        int value = 0;
        const int failed = take(socket, level, name, value);
        number = static_cast<Number>(value);
        return failed;
    }
};

}  // namespace coho
