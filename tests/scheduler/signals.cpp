#include "support/child_process.hpp"
#include "support/world.hpp"

#include <csignal>
#include <thread>

using namespace std::chrono_literals;

namespace {

/// Raises the signal, and goes on until stop is asked.
coho::task<int> raise_and_wait(int number) {
    std::raise(number);
    const bool slept = co_await coho::sleep_until(coho::never);
    co_return slept ? 1 : 0;
}
/// Raises the first, and the second once stop is asked, and is not impressed.
coho::task<int> raise_twice(int first, int second) {
    std::raise(first);
    co_await coho::sleep_until(coho::never);
    std::raise(second);
    co_return 0;
}
coho::task<> nothing() { co_return; }

extern "C" void handler_from_before(int) {}

}  // namespace

TEMPLATE_TEST_CASE("the first signal asks the program to stop", "[signals]", coho::epoll,
                   coho::io_uring, coho::native) {
    for (const int number : {SIGINT, SIGTERM}) {
        const auto end =
            support::run_in_child([=] { return coho::run<TestType>(raise_and_wait, number); });
        CHECK(end.signal == 0);
        CHECK(end.status == 0);
    }
}

TEST_CASE("the second signal ends the program, whichever the first was", "[signals]") {
    for (const int first : {SIGINT, SIGTERM}) {
        for (const int second : {SIGINT, SIGTERM}) {
            const auto end = support::run_in_child(
                [=] { return coho::run<coho::epoll>(raise_twice, first, second); });
            CHECK(end.signal == second);
        }
    }
}

TEST_CASE("other signals may be chosen, or none", "[signals]") {
    const auto chosen = support::run_in_child(
        [] { return coho::run<coho::epoll>({.signals = {SIGUSR1}}, raise_and_wait, SIGUSR1); });
    CHECK(chosen.status == 0);
    const auto none = support::run_in_child(
        [] { return coho::run<coho::epoll>({.signals = {}}, raise_and_wait, SIGTERM); });
    CHECK(none.signal == SIGTERM);
}

TEST_CASE("the handlers from before are put back", "[signals]") {
    const auto end = support::run_in_child([] {
        std::signal(SIGINT, &handler_from_before);
        coho::run<coho::epoll>(nothing);
        return std::signal(SIGINT, SIG_DFL) == &handler_from_before ? 0 : 1;
    });
    CHECK(end.status == 0);
}

TEST_CASE("a signal stops every scheduler that waits for it", "[signals]") {
    const auto end = support::run_in_child([] {
        static std::atomic<int> waiting = 0;
        static constexpr auto wait = []() -> coho::task<int> {
            ++waiting;
            const bool slept = co_await coho::sleep_until(coho::never);
            co_return slept ? 1 : 0;
        };
        int first = 1, second = 1;
        std::thread other([&] { first = coho::run<coho::epoll>(wait); });
        std::thread another([&] { second = coho::run<coho::io_uring>(wait); });
        while (waiting != 2) std::this_thread::yield();
        ::kill(::getpid(), SIGTERM);
        other.join();
        another.join();
        return first + second;
    });
    CHECK(end.status == 0);
}
