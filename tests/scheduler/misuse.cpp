#include "support/child_process.hpp"
#include "support/world.hpp"

#include <csignal>
#include <thread>

namespace {

template <class Backend>
coho::task<> listen() {
    auto listener = coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    co_return;
}
template <class Backend>
coho::task<> accept_on(coho::basic_tcp_listener<Backend>& listener) {
    auto accepted = co_await listener.accept();
    CHECK_FALSE(accepted);
}
/// Makes a listener here, and lets another scheduler's task use it.
template <class Backend>
coho::task<> lend() {
    auto listener = coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    coho::run<Backend>({.signals = {}}, accept_on<Backend>, listener);
    co_return;
}
template <class Backend>
coho::task<> fork_and_go_on() {
    const pid_t child = ::fork();
    if (child != 0) {
        int status = 0;
        ::waitpid(child, &status, 0);
        if (WIFSIGNALED(status)) std::raise(WTERMSIG(status));
    }
    co_await coho::sleep(std::chrono::milliseconds(1));
}

}  // namespace

TEST_CASE("sockets outside of a scheduler, or of another kernel, end the program", "[misuse]") {
    const auto outside = support::run_in_child([] {
        auto listener = coho::tcp_listener::bind(coho::endpoint::loopback(0));
        return listener ? 0 : 1;
    });
    CHECK(outside.signal == SIGABRT);
    CHECK(outside.says("outside of run()"));
    const auto other =
        support::run_in_child([] { return coho::run<coho::epoll>(listen<coho::io_uring>); });
    CHECK(other.signal == SIGABRT);
    CHECK(other.says("under the scheduler of another"));
}

TEMPLATE_TEST_CASE("a socket in a task of another scheduler ends the program", "[misuse]",
                   coho::epoll, coho::io_uring, coho::native) {
    const auto end = support::run_in_child([] { return coho::run<TestType>(lend<TestType>); });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("task of another scheduler"));
}

TEST_CASE("H23: io_uring on another thread than its own ends the program", "[misuse][H23]") {
    const auto end = support::run_in_child([] {
        coho::scheduler<coho::io_uring> world;
        std::thread other([&] { world.run(listen<coho::io_uring>); });
        std::thread another([&] { world.run(fork_and_go_on<coho::io_uring>); });
        other.join();
        another.join();
        return 0;
    });
    CHECK(end.signal == SIGABRT);
}

TEMPLATE_TEST_CASE("H22: a scheduler in a child after fork ends the child", "[misuse][H22]",
                   coho::epoll, coho::io_uring, coho::native) {
    const auto end =
        support::run_in_child([] { return coho::run<TestType>(fork_and_go_on<TestType>); });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("after fork()"));
}
