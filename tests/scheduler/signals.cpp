#include "support/child_process.hpp"
#include "support/tasks.hpp"
#include "support/world.hpp"

#include <atomic>
#include <csignal>
#include <stdexcept>
#include <thread>

using namespace std::chrono_literals;
using support::at_once;
using support::throwing;

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
extern "C" void handler_from_before(int) {}

std::atomic<int> handled = 0;
extern "C" void count_signal(int) { ++handled; }

/// Whether this process would die of the signal.
bool is_deadly(int number) {
    struct sigaction now {};
    ::sigaction(number, nullptr, &now);
    return now.sa_handler == SIG_DFL;
}

/// A program on a thread of its own, until it is asked to stop.
struct running_program {
    explicit running_program(coho::run_options options) {
        thread = std::thread([this, options] { coho::run<coho::epoll>(options, wait, *this); });
        while (!loop) std::this_thread::yield();
    }
    static coho::task<> wait(running_program& self) {
        self.loop = coho::event_loop::current();
        co_await coho::sleep_until(coho::never);
        self.stopped = true;
    }
    void end() {
        loop.load()->request_stop();
        thread.join();
    }
    std::thread thread;
    std::atomic<coho::event_loop*> loop = nullptr;
    std::atomic<bool> stopped = false;
};

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
        coho::run<coho::epoll>(at_once);
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

TEST_CASE("a signal of one's own choice ends the program at its second, as others do",
          "[signals]") {
    const auto end = support::run_in_child([] {
        return coho::run<coho::epoll>({.signals = {SIGUSR1}}, raise_twice, SIGUSR1, SIGUSR1);
    });
    CHECK(end.signal == SIGUSR1);
    // Those that were not chosen do what they do without coho.
    const auto other = support::run_in_child([] {
        return coho::run<coho::epoll>({.signals = {SIGUSR1}}, raise_and_wait, SIGINT);
    });
    CHECK(other.signal == SIGINT);
}

TEST_CASE("where no signals are chosen, the program's own handlers stay", "[signals]") {
    static constexpr auto raise_once = []() -> coho::task<int> {
        std::raise(SIGINT);
        const bool slept = co_await coho::sleep(1ms);
        co_return slept && handled == 1 ? 0 : 1;
    };
    const auto end = support::run_in_child([] {
        std::signal(SIGINT, &count_signal);
        return coho::run<coho::epoll>({.signals = {}}, raise_once);
    });
    CHECK(end.status == 0);
}

TEST_CASE("the handlers from before are put back after an exception too", "[signals]") {
    const auto end = support::run_in_child([] {
        std::signal(SIGTERM, &handler_from_before);
        coho::run<coho::epoll>(throwing, "thrown by the program");
        return std::signal(SIGTERM, SIG_DFL) == &handler_from_before && is_deadly(SIGINT) ? 0 : 1;
    });
    CHECK(end.status == 0);
}

TEST_CASE("a signal wakes a loop that sleeps, on whichever thread it arrives", "[signals]") {
    const auto end = support::run_in_child([] {
        running_program program({});
        ::kill(::getpid(), SIGTERM);
        program.thread.join();
        return program.stopped ? 0 : 1;
    });
    CHECK(end.status == 0);
}

TEST_CASE("a program in a program: the signal reaches both, and all is put back", "[signals]") {
    static constexpr auto outer = []() -> coho::task<int> {
        const int inner = coho::run<coho::epoll>(raise_and_wait, SIGINT);
        const bool slept = co_await coho::sleep(1h);
        co_return slept ? 1 : inner;
    };
    const auto end = support::run_in_child([] {
        const int status = coho::run<coho::epoll>(outer);
        return is_deadly(SIGINT) && is_deadly(SIGTERM) ? status : 2;
    });
    CHECK(end.status == 0);
}

TEST_CASE("more signals than eight are refused", "[signals]") {
    CHECK_THROWS_AS(coho::signal_set({1, 2, 3, 4, 5, 6, 7, 8, 9}), std::length_error);
    const coho::signal_set none({});
    CHECK(none.begin() == none.end());
}

TEST_CASE("programs on two threads, the first ends first: the second still hears signals",
          "[signals]") {
    const auto end = support::run_in_child([] {
        running_program first({});
        running_program second({});
        first.end();
        const bool heard = !is_deadly(SIGINT);
        second.end();
        return heard && is_deadly(SIGINT) ? 0 : 1;
    });
    CHECK(end.status == 0);
}

TEST_CASE("a program hears only of the signals that it has chosen", "[signals]") {
    const auto end = support::run_in_child([] {
        running_program chosen({.signals = {SIGINT}});
        running_program other({.signals = {SIGUSR1}});
        ::kill(::getpid(), SIGINT);
        chosen.thread.join();
        // Two turns of its loop: in the first of them it would have stopped.
        std::atomic<bool> turned = false;
        auto& loop = *other.loop.load();
        loop.post([&] { loop.post([&] { turned = true; }); });
        while (!turned && !other.stopped) std::this_thread::yield();
        const bool stopped = other.stopped;
        if (stopped) other.thread.join();
        else other.end();
        return stopped ? 1 : 0;
    });
    CHECK(end.status == 0);
}
