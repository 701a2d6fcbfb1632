#include "support/kernels.hpp"
#include "support/world.hpp"

#include <array>

#include <unistd.h>

using namespace std::chrono_literals;

namespace {

/// A pipe that is always ready: one end never empty, so that every wait for it is over at once.
struct full_pipe {
    full_pipe() {
        if (::pipe(ends) != 0 || ::write(ends[1], "x", 1) != 1) std::abort();
    }
    ~full_pipe() {
        ::close(ends[0]);
        ::close(ends[1]);
    }
    int ends[2];
};

template <class Backend>
coho::task<> always_ready(bool& others_ran, int& turns) {
    full_pipe pipe;
    auto end = coho::basic_foreign_handle<Backend>::watch(coho::handle(pipe.ends[0])).value();
    while (!others_ran) {
        auto ready = co_await end.readable();
        CHECK(ready);
        ++turns;
    }
}
coho::task<> others(bool& ran) {
    for (int i = 0; i < 10; ++i) co_await coho::yield();
    co_await coho::sleep(1us);
    ran = true;
}

}  // namespace

TEMPLATE_TEST_CASE("a stream that is always ready does not starve timers nor other tasks",
                   "[fairness][H30]", COHO_TEST_KERNELS) {
    static constexpr auto both = []() -> coho::task<> {
        bool ran = false;
        int turns = 0;
        auto first = always_ready<TestType>(ran, turns);
        auto second = others(ran);
        co_await coho::when_all(std::move(first), std::move(second));
        CHECK(ran);
        CHECK(turns > 0);
    };
    support::run_on<TestType>(both);
}

TEMPLATE_TEST_CASE("a loop that spins still sees timers, posts and stop", "[spin]", coho::epoll,
                   coho::io_uring) {
    static constexpr auto program = []() -> coho::task<int> {
        auto& own = co_await coho::inherited();
        const bool first = co_await coho::sleep(2ms);
        bool posted = false;
        own.loop->post([&] {
            posted = true;
            coho::event_loop::current()->request_stop();
        });
        const bool second = co_await coho::sleep_until(coho::never);
        co_return first && posted && !second ? 0 : 1;
    };
    CHECK(coho::run<TestType>({.spin = 1ms, .signals = {}}, program) == 0);
    CHECK(coho::run<TestType>({.spin = 1h, .signals = {}}, program) == 0);
}
