#pragma once

#include "request.hpp"

#include "../core/error.hpp"

#include <cerrno>

namespace coho {

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
    // What mingw-w64 does not know.
#ifdef EHOSTDOWN
    case EHOSTDOWN:
#endif
    case EHOSTUNREACH: return {errc::host_unreachable, number};
    case EPERM:
    case EACCES: return {errc::permission_denied, number};
    case ENOENT:
    case ENOTDIR: return {errc::file_not_found, number};
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

/// accept(2) hands on errors of the new connection, which say nothing of the listener.
constexpr accept_advice after_failed_accept_posix(int number) noexcept {
    switch (number) {
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case EINTR:
    case ENETDOWN:
    case ENETUNREACH:
#ifdef EHOSTDOWN
    case EHOSTDOWN:
#endif
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

}  // namespace coho
