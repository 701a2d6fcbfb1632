// What belongs to the whole process: its signals, its children, its threads.

#include "support/child_process.hpp"
#include "support/connected.hpp"
#include "support/kernels.hpp"
#include "support/temporary_file.hpp"

#include <array>
#include <csignal>
#include <thread>

#include <sys/time.h>

using namespace std::chrono_literals;
using coho::as_bytes;
using coho::errc;
using coho::task;
using support::reason_of;

namespace {

/// Ends a child in which something is not so, with the words on standard error.
void demand(bool holds, const char* words) {
    if (holds) return;
    std::fprintf(stderr, "not so: %s\n", words);
    ::_exit(1);
}

/// Ends without having said anything of what is wrong.
void check_success(const support::child_end& end) {
    CHECK(end.status == 0);
    CHECK(end.signal == 0);
    CHECK(end.errors == "");
}

template <class Backend>
task<> echo(coho::basic_tcp_stream<Backend>& stream) {
    std::array<std::byte, 4096> buffer;
    while (auto received = co_await stream.read_some(buffer)) {
        auto sent = co_await stream.write_all(std::span(buffer).first(*received));
        if (!sent) break;
    }
}

/// Sends text and takes it back, so many times, then ends the stream. `halfway` is called once,
/// with half of one text on its way.
template <class Backend, class Function>
task<> exchange(coho::basic_tcp_stream<Backend>& stream, int rounds, Function halfway) {
    const auto text = support::counting_bytes(1000);
    for (int i = 0; i < rounds; ++i) {
        auto sent = co_await stream.write_all(as_bytes(text).first(500));
        demand(bool(sent), "the first half is sent");
        if (i == rounds / 2) halfway();
        auto sent_rest = co_await stream.write_all(as_bytes(text).subspan(500));
        demand(bool(sent_rest), "the second half is sent");
        const auto back = co_await support::receive_text(stream, text.size());
        demand(back == text, "what was sent comes back");
    }
    demand(bool(stream.shutdown_send()), "the stream is ended");
}

template <class Backend, class Function>
task<> echo_and_exchange(int rounds, Function halfway) {
    auto pair = co_await support::connect_pair<Backend>();
    co_await coho::when_all(echo<Backend>(pair.server),
                            exchange<Backend, Function>(pair.client, rounds, halfway));
}

/// Sleeps in the kernel, and so long that signals come.
template <class Backend>
task<> wait_in_vain() {
    auto socket = coho::basic_udp_socket<Backend>::bind(coho::endpoint::loopback(0)).value();
    std::array<std::byte, 8> buffer;
    auto received = co_await coho::timeout(5ms, socket.receive_from(buffer));
    demand(reason_of(received) == errc::timed_out, "the time passes");
}

bool is_blocked_sigpipe() {
    sigset_t blocked;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
    return ::sigismember(&blocked, SIGPIPE);
}
void block_sigpipe() {
    sigset_t broken_pipe;
    ::sigemptyset(&broken_pipe);
    ::sigaddset(&broken_pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
}
bool is_pending_sigpipe() {
    sigset_t pending;
    ::sigpending(&pending);
    return ::sigismember(&pending, SIGPIPE);
}

/// Writes in one way to a peer that has reset the connection, until that is told.
template <class Backend, class Write>
task<> write_after_reset(Write write) {
    auto link = co_await support::accept_peer<Backend>();
    const auto text = support::counting_bytes(100'000);
    link.peer.reset();
    // The first may tell of the reset, and only those that follow raise SIGPIPE.
    for (int i = 0; i < 3; ++i) {
        auto written = co_await write(link.stream, as_bytes(text));
        demand(!written && written.error() == errc::connection_reset, "the write tells the reset");
    }
}

}  // namespace

TEMPLATE_TEST_CASE("H19: writing to a peer that is gone raises no SIGPIPE, whichever way",
                   "[conformance][process][H19]", COHO_TEST_REAL_KERNELS) {
    using stream = coho::basic_tcp_stream<TestType>;
    using bytes = std::span<const std::byte>;
    const auto some = [](stream& to, bytes text) { return to.write_some(text); };
    const auto all = [](stream& to, bytes text) { return to.write_all(text); };
    const auto pieces = [](stream& to, bytes text) { return to.write_all(text, text); };
    const support::temporary_file made(100'000);
    const auto source = coho::file::open(made.path()).value();
    const auto from_file = [&](stream& to, bytes) { return to.send_file(source); };
    check_success(support::run_in_child([&] {
        std::signal(SIGPIPE, SIG_DFL);
        coho::scheduler<TestType> loop;
        loop.run(write_after_reset<TestType, decltype(some)>, some);
        loop.run(write_after_reset<TestType, decltype(all)>, all);
        loop.run(write_after_reset<TestType, decltype(pieces)>, pieces);
        loop.run(write_after_reset<TestType, decltype(from_file)>, from_file);
        return 0;
    }));
}

TEMPLATE_TEST_CASE("H19: a SIGPIPE of the program's own is left as it was",
                   "[conformance][process][H19][files]", COHO_TEST_REAL_KERNELS) {
    using stream = coho::basic_tcp_stream<TestType>;
    const support::temporary_file made(100'000);
    const auto source = coho::file::open(made.path()).value();
    const auto send = [&](stream& to, std::span<const std::byte>) { return to.send_file(source); };
    check_success(support::run_in_child([&] {
        std::signal(SIGPIPE, SIG_DFL);
        coho::scheduler<TestType> loop;
        loop.run(write_after_reset<TestType, decltype(send)>, send);
        demand(!is_blocked_sigpipe(), "the thread's mask is as it was");
        block_sigpipe();
        loop.run(write_after_reset<TestType, decltype(send)>, send);
        demand(is_blocked_sigpipe() && !is_pending_sigpipe(), "no signal waits for its time");
        std::raise(SIGPIPE);
        loop.run(write_after_reset<TestType, decltype(send)>, send);
        demand(is_pending_sigpipe(), "the one that waited waits on");
        return 0;
    }));
}

TEMPLATE_TEST_CASE("H20: a signal every millisecond disturbs nothing",
                   "[conformance][process][H20]", COHO_TEST_REAL_KERNELS) {
    static volatile std::sig_atomic_t signals;
    check_success(support::run_in_child([] {
        signals = 0;
        struct sigaction action {};
        action.sa_handler = [](int) { signals = signals + 1; };
        // Without SA_RESTART, so that system calls are interrupted.
        ::sigaction(SIGALRM, &action, nullptr);
        const itimerval each_millisecond{{0, 1000}, {0, 1000}};
        ::setitimer(ITIMER_REAL, &each_millisecond, nullptr);
        coho::scheduler<TestType> loop;
        const auto nothing = [] {};
        // Until enough of them have come, to a loop that works and to one that sleeps.
        while (signals < 100) {
            loop.run(echo_and_exchange<TestType, decltype(nothing)>, 100, nothing);
            loop.run(wait_in_vain<TestType>);
        }
        return 0;
    }));
}

TEMPLATE_TEST_CASE("H22: a child that ends at once after fork() leaves its parent's echo alone",
                   "[conformance][process][H22]", COHO_TEST_REAL_KERNELS) {
    const auto fork_and_end = [] {
        demand(support::run_in_child([] { return 3; }).status == 3, "the child ends");
    };
    check_success(support::run_in_child([&] {
        coho::scheduler<TestType> loop;
        loop.run(echo_and_exchange<TestType, decltype(fork_and_end)>, 10, fork_and_end);
        return 0;
    }));
}

TEMPLATE_TEST_CASE("H22: a program that a child executes inherits no socket, ring or epoll",
                   "[conformance][process][H22]", COHO_TEST_REAL_KERNELS) {
    const auto fork_and_execute = [] {
        const auto end = support::run_in_child([] {
            const char* script = "ls -l /proc/self/fd | grep -E 'socket:|anon_inode:' >&2; exit 0";
            ::execl("/bin/sh", "sh", "-c", script, nullptr);
            return 1;
        });
        demand(end.status == 0, "the child executes");
        std::fputs(end.errors.c_str(), stderr);
    };
    check_success(support::run_in_child([&] {
        coho::scheduler<TestType> loop;
        loop.run(echo_and_exchange<TestType, decltype(fork_and_execute)>, 10, fork_and_execute);
        return 0;
    }));
}

TEMPLATE_TEST_CASE("H22: a child may make a scheduler of its own", "[conformance][process][H22]",
                   COHO_TEST_REAL_KERNELS) {
    const auto fork_and_echo = [] {
        const auto end = support::run_in_child([] {
            const auto nothing = [] {};
            coho::scheduler<TestType> loop;
            loop.run(echo_and_exchange<TestType, decltype(nothing)>, 10, nothing);
            return 0;
        });
        demand(end.status == 0, "the child echoes");
    };
    check_success(support::run_in_child([&] {
        coho::scheduler<TestType> loop;
        loop.run(echo_and_exchange<TestType, decltype(fork_and_echo)>, 10, fork_and_echo);
        return 0;
    }));
}

TEMPLATE_TEST_CASE("H23: a scheduler that is run by another thread than its own is told so",
                   "[conformance][process][H23]", COHO_TEST_REAL_KERNELS) {
    const auto end = support::run_in_child([] {
        coho::scheduler<TestType> loop;
        std::thread([&] { loop.run(wait_in_vain<TestType>); }).join();
        return 0;
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("another thread"));
}
