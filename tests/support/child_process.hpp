#pragma once

#include <csignal>
#include <cstdlib>
#include <string>

#ifdef _WIN32
#include "catch.hpp"
#include "system.hpp"
#else
#include <cstdio>

#include <sys/wait.h>
#include <unistd.h>
#endif

/// Runs code in a child process: for what ends a process, changes its limits or depends on its
/// signals.
namespace support {

/// A child that takes longer than this is ended.
inline constexpr unsigned seconds_of_a_child = 60;

struct child_end {
    /// The exit status, or -1 where a signal ended it.
    int status = -1;
    /// The signal that ended it, or 0.
    int signal = 0;
    /// What it wrote to standard error.
    std::string errors;

    bool says(const char* words) const { return errors.find(words) != std::string::npos; }
};

#ifdef _WIN32

/// The name of a test case as a filter of Catch2.
inline std::string as_filter(const std::string& name) {
    std::string filter = "\"";
    for (const char each : name) {
        if (each == ',' || each == '[' || each == '\\') filter += '\\';
        filter += each;
    }
    return filter + '"';
}

/// Which call of run_in_child this is within its test case.
inline std::string next_call_of(const std::string& test_case) {
    static int calls = 0;
    static std::string last;
    if (test_case != last) calls = 0;
    last = test_case;
    return std::to_string(++calls);
}

/// Windows has no fork(): this program is started again for the same test case, where an earlier
/// call does nothing and this one runs the function. abort() ends it with status 3.
template <class Function>
child_end run_in_child(Function&& function) {
    const auto name = Catch::getResultCapture().getCurrentTestName();
    const auto number = next_call_of(name);
    if (const char* wanted = std::getenv("COHO_TEST_CHILD")) {
        if (number != wanted) return {};
        std::signal(SIGABRT, SIG_DFL);
        const auto status_of = [&]() noexcept -> int { return function(); };
        const int status = status_of();
        std::fflush(nullptr);
        ::TerminateProcess(::GetCurrentProcess(), static_cast<UINT>(status));
    }

    SECURITY_ATTRIBUTES inherited{sizeof inherited, nullptr, TRUE};
    HANDLE reading = nullptr, writing = nullptr;
    ::CreatePipe(&reading, &writing, &inherited, 0);
    ::SetHandleInformation(reading, HANDLE_FLAG_INHERIT, 0);
    STARTUPINFOA start{};
    start.cb = sizeof start;
    start.dwFlags = STARTF_USESTDHANDLES;
    start.hStdError = writing;
    PROCESS_INFORMATION child{};
    char program[MAX_PATH];
    ::GetModuleFileNameA(nullptr, program, MAX_PATH);
    auto command = '"' + std::string(program) + "\" " + as_filter(name);
    ::SetEnvironmentVariableA("COHO_TEST_CHILD", number.c_str());
    const bool made = ::CreateProcessA(program, command.data(), nullptr, nullptr, TRUE, 0, nullptr,
                                       nullptr, &start, &child);
    ::SetEnvironmentVariableA("COHO_TEST_CHILD", nullptr);
    ::CloseHandle(writing);
    if (!made) std::abort();
    child_end end;
    char buffer[512];
    DWORD count = 0;
    while (::ReadFile(reading, buffer, sizeof buffer, &count, nullptr) && count > 0) {
        end.errors.append(buffer, count);
    }
    // Lines of text end in two characters there.
    std::erase(end.errors, '\r');
    ::CloseHandle(reading);
    if (::WaitForSingleObject(child.hProcess, seconds_of_a_child * 1000) != WAIT_OBJECT_0) {
        ::TerminateProcess(child.hProcess, 99);
    }
    DWORD status = 0;
    ::GetExitCodeProcess(child.hProcess, &status);
    ::CloseHandle(child.hThread);
    ::CloseHandle(child.hProcess);
    if (status == 3) end.signal = SIGABRT;
    else end.status = static_cast<int>(status);
    return end;
}

#else

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
        ::alarm(seconds_of_a_child);
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

#endif

}  // namespace support
