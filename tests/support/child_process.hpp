#pragma once

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

/// Runs code in a child process: for what ends a process, changes its limits or depends on its
/// signals.
namespace support {

struct child_end {
    /// The exit status, or -1 where a signal ended it.
    int status = -1;
    /// The signal that ended it, or 0.
    int signal = 0;
    /// What it wrote to standard error.
    std::string errors;

    bool says(const char* words) const { return errors.find(words) != std::string::npos; }
};

/// Calls the function in a fork of this process and waits for its end. The function returns the
/// exit status.
template <class Function>
child_end run_in_child(Function&& function) {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
        // Catch2 handles these to report a failed test; here they shall end the child.
        for (const int number : {SIGABRT, SIGSEGV, SIGINT, SIGTERM, SIGFPE, SIGILL}) {
            std::signal(number, SIG_DFL);
        }
        // What it throws must not reach Catch2, which would go on with the other tests here.
        const auto status_of = [&]() noexcept -> int { return function(); };
        ::_exit(status_of());
    }
    ::close(ends[1]);
    child_end end;
    char buffer[512];
    for (ssize_t count = 0; (count = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
        end.errors.append(buffer, static_cast<std::size_t>(count));
    }
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status)) end.status = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    return end;
}

}  // namespace support
