#pragma once

#include "datagram_message.hpp"
#include "posix_errors.hpp"
#include "request.hpp"
#include "socket_calls.hpp"

namespace coho {

constexpr int descriptor_of(handle socket) noexcept { return static_cast<int>(socket); }

/// The system's memory pieces for a vectored request, without the first `skipped` bytes.
class memory_pieces {
public:
    template <class Bytes>
    memory_pieces(const std::array<std::span<Bytes>, request::most_pieces>& pieces,
                  std::size_t count, std::size_t skipped) noexcept {
        request::for_each_piece(pieces, count, skipped, [this](std::byte* data, std::size_t size) {
            pieces_[count_++] = {data, size};
            bytes_ += size;
        });
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

/// What the calls on sockets need of a POSIX system.
struct posix_system {
    static int descriptor(handle socket) noexcept { return descriptor_of(socket); }
    static int last_number() noexcept { return errno; }
};

/// The calls on sockets that never wait, for the kernels of POSIX systems. Numbers are those of
/// errno.
class posix_sockets : public socket_calls<posix_system> {
public:
    static error describe(int number) noexcept { return describe_posix(number); }

    static accept_advice after_failed_accept(int number) noexcept {
        return after_failed_accept_posix(number);
    }

    /// The peer sees the end at once, although the descriptor stays.
    static void disconnect(handle socket) noexcept { ::shutdown(descriptor_of(socket), SHUT_RDWR); }
    static int shutdown(handle socket, direction side) noexcept {
        return number_of(::shutdown(descriptor_of(socket),
                                    side == direction::send ? SHUT_WR : SHUT_RD));
    }

    /// Where the system has none, or will not, all works too.
    static void prefer_large_pages(std::span<std::byte> memory) noexcept {
        ::madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
    }

    /// Lets a port be bound again while connections of an earlier listener fade out (TIME_WAIT).
    static int reuse_address(handle socket) noexcept {
        return put(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    }

    /// Linux 5.0. What divides datagrams is older (4.18), and ignored in silence before that.
    static int batch_datagrams(handle socket) noexcept {
        return put(socket, IPPROTO_UDP, udp_joined, 1);
    }

    using socket_calls::get;
    using socket_calls::set;
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
    static int get(handle socket, user_timeout& option) noexcept {
        int milliseconds = 0;
        const int number = get_number(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
        option.value = std::chrono::milliseconds(milliseconds);
        return number;
    }

protected:
    static std::intptr_t open_descriptor(address_family family, socket_kind kind,
                                         int flags) noexcept {
        const int descriptor = ::socket(family == address_family::ipv6 ? AF_INET6 : AF_INET,
                                        (kind == socket_kind::stream ? SOCK_STREAM : SOCK_DGRAM) |
                                            SOCK_CLOEXEC | flags,
                                        0);
        return descriptor < 0 ? -errno : descriptor;
    }
};

}  // namespace coho
