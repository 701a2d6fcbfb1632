#pragma once

#include <coho.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>

#ifndef _WIN32
#include <filesystem>
#include <iterator>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

/// What the tests ask of the system itself, by one name on every system.
namespace support {

#ifdef _WIN32

using socket_calls = coho::winsock_calls;
using descriptor = SOCKET;
inline constexpr int close_on_exec = 0, no_signal = 0, send_side = SD_SEND;

inline int last_number() noexcept { return ::WSAGetLastError(); }
inline void close_socket(descriptor which) noexcept { ::closesocket(which); }
inline descriptor accept_on(descriptor listener) noexcept {
    return ::accept(listener, nullptr, nullptr);
}
inline int poll_socket(::pollfd& asked) noexcept { return ::WSAPoll(&asked, 1, 0); }
inline int count_unread(descriptor of, int& count) noexcept {
    u_long unread = 0;
    const int failed = ::ioctlsocket(of, FIONREAD, &unread);
    count = static_cast<int>(unread);
    return failed;
}
inline bool is_reset(int number) noexcept {
    return number == WSAECONNRESET || number == WSAECONNABORTED;
}
inline bool is_inherited(coho::handle socket) noexcept {
    DWORD flags = 0;
    ::GetHandleInformation(reinterpret_cast<HANDLE>(socket), &flags);
    return flags & HANDLE_FLAG_INHERIT;
}
inline constexpr int buffer_factor = 1;
inline constexpr bool resets = false;
/// How the system wants a time limit of a socket.
using socket_time_limit = DWORD;
inline socket_time_limit time_limit_of(std::chrono::seconds span) noexcept {
    return static_cast<DWORD>(std::chrono::milliseconds(span).count());
}
inline std::size_t open_descriptors() noexcept {
    DWORD count = 0;
    ::GetProcessHandleCount(::GetCurrentProcess(), &count);
    return count;
}
/// Sockets of tests outside of any scheduler need it too.
inline const int winsock_started = [] {
    WSADATA data;
    return ::WSAStartup(MAKEWORD(2, 2), &data);
}();

#else

using socket_calls = coho::posix_sockets;
using descriptor = int;
inline constexpr int close_on_exec = SOCK_CLOEXEC, no_signal = MSG_NOSIGNAL, send_side = SHUT_WR;

inline int last_number() noexcept { return errno; }
inline void close_socket(descriptor which) noexcept { ::close(which); }
inline descriptor accept_on(descriptor listener) noexcept {
    return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
}
inline int poll_socket(::pollfd& asked) noexcept { return ::poll(&asked, 1, 0); }
inline int count_unread(descriptor of, int& count) noexcept { return ::ioctl(of, FIONREAD, &count); }
inline bool is_reset(int number) noexcept { return number == ECONNRESET; }
inline bool is_inherited(coho::handle socket) noexcept {
    return !(::fcntl(static_cast<int>(socket), F_GETFD) & FD_CLOEXEC);
}
inline constexpr int buffer_factor = 2;
inline constexpr bool resets = true;
using socket_time_limit = timeval;
inline socket_time_limit time_limit_of(std::chrono::seconds span) noexcept {
    return {span.count(), 0};
}
inline std::size_t open_descriptors() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

#endif

inline descriptor descriptor_of(coho::handle socket) noexcept {
    return static_cast<descriptor>(socket);
}

/// What a call of the system returned; throws where it failed.
template <class Number>
Number checked(Number returned) {
    // A socket of Windows is unsigned, and -1 is none.
    if (static_cast<std::intptr_t>(returned) < 0) {
        throw std::system_error(last_number(), std::system_category());
    }
    return returned;
}

/// For who holds thousands of sockets: the soft limit is often 1024.
inline void allow_many_descriptors() {
#ifndef _WIN32
    rlimit limit{};
    checked(::getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_cur >= 4096) return;
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    checked(::setrlimit(RLIMIT_NOFILE, &limit));
#endif
}

/// Calls the system again where it was interrupted, as it is by the work of an io_uring that ends.
template <class Call>
auto uninterrupted(Call call) {
    for (;;) {
        const auto returned = call();
        if (static_cast<std::intptr_t>(returned) >= 0 || last_number() != EINTR) return returned;
    }
}

}  // namespace support
