#pragma once

#include <cerrno>
#include <cstdint>

#include <pthread.h>
#include <signal.h>
#include <time.h>

namespace coho {

/// Makes a system call that raises SIGPIPE where the peer is gone, and takes that signal back: for
/// calls that have no MSG_NOSIGNAL. Other threads, and what the process does with the signal, are
/// left alone, and one that was pending before stays so. errno is the call's. signal(7).
template <class Call>
std::intptr_t without_sigpipe(Call&& system_call) noexcept {
    sigset_t broken_pipe, pending, before;
    ::sigemptyset(&broken_pipe);
    ::sigaddset(&broken_pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
    ::sigpending(&pending);
    const std::intptr_t returned = system_call();
    const int number = errno;
    if (!::sigismember(&pending, SIGPIPE)) {
        // Also where it has moved bytes: the peer may be gone since.
        const timespec no_time{};
        while (::sigtimedwait(&broken_pipe, nullptr, &no_time) < 0 && errno == EINTR) {}
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = number;
    return returned;
}

}  // namespace coho
