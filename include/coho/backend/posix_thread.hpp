#pragma once

#include <pthread.h>
#include <signal.h>

namespace coho {

/// Runs work(argument) on a thread of its own that nobody joins. False where there is none to be
/// had.
///
/// It blocks every signal, so that signals reach the threads of the program. <thread> would do as
/// well, but costs every includer a tenth of its compile time.
inline bool start_helper_thread(void* (*work)(void*), void* argument) noexcept {
    pthread_attr_t attributes;
    if (::pthread_attr_init(&attributes) != 0) return false;
    ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const int failed = ::pthread_create(&thread, &attributes, work, argument);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_attr_destroy(&attributes);
    return failed == 0;
}

}  // namespace coho
