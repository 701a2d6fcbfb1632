#pragma once

// The one place that chooses by system: its kernel, and how it makes threads and hears of signals.
#ifdef _WIN32
#include "console_handlers.hpp"
#include "iocp.hpp"
#include "winsock_calls.hpp"
#include "windows_thread.hpp"
#else
#include "either.hpp"
#include "epoll.hpp"
#include "io_uring.hpp"
#include "posix_thread.hpp"
#include "signal_handlers.hpp"
#endif

namespace coho {

#ifdef _WIN32
/// Windows' I/O completion ports, by way of the system's own calls.
using iocp = basic_iocp<winsock_calls>;
/// The kernel of this system.
using native = iocp;
#else
/// The kernel of this system, chosen when the program starts.
using native = either<io_uring, epoll>;
#endif

static_assert(backend<native>);

}  // namespace coho
