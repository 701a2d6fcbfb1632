#include "support/child_process.hpp"
#include "support/world.hpp"

#include <algorithm>
#include <stdexcept>

using namespace std::chrono_literals;

namespace {

coho::task<> nothing() { co_return; }
coho::task<int> seven() { co_return 7; }
coho::task<coho::result<void>> success() { co_return coho::result<void>(); }
coho::task<coho::result<void>> failing() {
    co_return coho::error({coho::errc::address_in_use}, {"cannot start"});
}
coho::task<> throwing() {
    co_await coho::yield();
    throw std::runtime_error("thrown by the program");
}

}  // namespace

TEMPLATE_TEST_CASE("run gives the exit status that the task means", "[run]", coho::epoll,
                   coho::io_uring, coho::native) {
    CHECK(coho::run<TestType>(nothing) == 0);
    CHECK(coho::run<TestType>(seven) == 7);
    CHECK(coho::run<TestType>(success) == 0);
    CHECK(coho::run<TestType>({.spin = 50us, .signals = {}}, seven) == 7);
}

TEST_CASE("a failure of the program is one line on standard error and status 1", "[run]") {
    const auto thrown = support::run_in_child([] { return coho::run(throwing); });
    CHECK(thrown.status == 1);
    CHECK(thrown.errors == "thrown by the program\n");
    const auto failed = support::run_in_child([] { return coho::run(failing); });
    CHECK(failed.status == 1);
    CHECK(failed.says("cannot start: the address is in use"));
    CHECK(std::count(failed.errors.begin(), failed.errors.end(), '\n') == 1);
}

TEST_CASE("a scheduler runs one task after another, and within another's", "[run]") {
    coho::scheduler<coho::epoll> world;
    CHECK(world.run(seven) == 7);
    CHECK(world.run(nothing) == 0);
    CHECK(coho::event_loop::current() == nullptr);
    static constexpr auto outer = []() -> coho::task<int> {
        auto* const own = coho::event_loop::current();
        const int inner = coho::run<coho::epoll>({.signals = {}}, seven);
        co_return coho::event_loop::current() == own ? inner : 0;
    };
    CHECK(world.run(outer) == 7);
}

TEST_CASE("a task's own arguments live as long as it runs", "[run]") {
    const std::string text(100, 't');
    auto lambda = [text](const std::string& other) -> coho::task<int> {
        co_await coho::yield();
        co_return text == other ? 0 : 1;
    };
    CHECK(coho::run(std::move(lambda), std::string(100, 't')) == 0);
}
