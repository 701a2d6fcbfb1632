#include "support/kernels.hpp"
#include "support/raw_socket.hpp"
#include "support/world.hpp"

#include <array>

using namespace std::chrono_literals;

namespace {

/// A connection with a byte that nobody takes, so that every wait for it is over at once.
struct unread_connection {
    unread_connection() { writer.send("x"); }
    support::raw_socket listener = support::raw_socket::listening();
    support::raw_socket writer = support::raw_socket::connected_to(listener.local_endpoint());
    support::raw_socket reader = listener.accept();
};

template <class Backend>
coho::task<> always_ready(bool& others_ran, int& turns) {
    const unread_connection connection;
    const auto watched = connection.reader.native_handle();
    auto end = coho::basic_foreign_handle<Backend>::watch(watched).value();
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

TEMPLATE_TEST_CASE("H30: a stream that is always ready does not starve timers nor other tasks",
                   "[fairness][H30]", COHO_TEST_REAL_KERNELS) {
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

TEMPLATE_TEST_CASE("a loop that spins still sees timers, posts and stop", "[spin]",
                   COHO_TEST_KERNELS) {
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
