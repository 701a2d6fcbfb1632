#include "support/child_process.hpp"
#include "support/tasks.hpp"
#include "support/world.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;
using support::at_once;
using support::throwing;

namespace {

coho::task<int> seven() { co_return 7; }
coho::task<coho::result<void>> success() { co_return coho::result<void>(); }
coho::task<coho::result<void>> failing() {
    co_return coho::error({coho::errc::address_in_use}, {"cannot start"});
}

}  // namespace

TEMPLATE_TEST_CASE("run gives the exit status that the task means", "[run]", COHO_TEST_KERNELS) {
    CHECK(coho::run<TestType>(at_once) == 0);
    CHECK(coho::run<TestType>(seven) == 7);
    CHECK(coho::run<TestType>(success) == 0);
    CHECK(coho::run<TestType>({.spin = 50us, .signals = {}}, seven) == 7);
}

TEST_CASE("a failure of the program is one line on standard error and status 1", "[run]") {
    const auto thrown =
        support::run_in_child([] { return coho::run(throwing, "thrown by the program"); });
    CHECK(thrown.status == 1);
    CHECK(thrown.errors == "thrown by the program\n");
    const auto failed = support::run_in_child([] { return coho::run(failing); });
    CHECK(failed.status == 1);
    CHECK(failed.says("cannot start: the address is in use"));
    CHECK(std::count(failed.errors.begin(), failed.errors.end(), '\n') == 1);
}

TEST_CASE("a scheduler runs one task after another, and within another's", "[run]") {
    coho::scheduler<support::any_kernel> world;
    CHECK(world.run(seven) == 7);
    CHECK(world.run(at_once) == 0);
    CHECK(coho::event_loop::current() == nullptr);
    static constexpr auto outer = []() -> coho::task<int> {
        auto* const own = coho::event_loop::current();
        const int inner = coho::run<support::any_kernel>({.signals = {}}, seven);
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

TEST_CASE("a function that throws instead of giving a task is a line and status 1", "[run]") {
    static constexpr auto refuse = [](const std::string& why) -> coho::task<> {
        throw std::runtime_error(why);
    };
    static constexpr auto refuse_at_once = [](const std::string& why) {
        if (!why.empty()) throw std::runtime_error(why);
        return at_once();
    };
    const auto in_task = support::run_in_child([] { return coho::run(refuse, "in the task"); });
    CHECK(in_task.status == 1);
    CHECK(in_task.errors == "in the task\n");
    const auto before =
        support::run_in_child([] { return coho::run(refuse_at_once, "before the task"); });
    CHECK(before.status == 1);
    CHECK(before.errors == "before the task\n");
}

TEST_CASE("an exception of any type is a line and status 1", "[run]") {
    static constexpr auto throw_number = []() -> coho::task<> {
        co_await coho::yield();
        throw 42;
    };
    const auto end = support::run_in_child([] { return coho::run(throw_number); });
    CHECK(end.status == 1);
    CHECK(std::count(end.errors.begin(), end.errors.end(), '\n') == 1);
}

TEMPLATE_TEST_CASE("what the task throws comes out of scheduler::run, which can run again",
                   "[run]", COHO_TEST_KERNELS) {
    coho::scheduler<TestType> world;
    CHECK_THROWS_AS(world.run(throwing, "thrown by the program"), std::runtime_error);
    CHECK(coho::event_loop::current() == nullptr);
    CHECK(world.frames().live() == 0);
    CHECK(world.run(seven) == 7);
}

TEST_CASE("stop that was asked before the run reaches the run", "[run][H10]") {
    static constexpr auto ask = []() -> coho::task<int> {
        const bool stop = co_await coho::stop_requested();
        const bool slept = co_await coho::sleep(1h);
        co_return stop && !slept ? 0 : 1;
    };
    static constexpr auto after_a_turn = []() -> coho::task<int> {
        co_await coho::yield();
        co_return co_await ask();
    };
    coho::scheduler<support::any_kernel> world;
    world.request_stop();
    CHECK(world.run(after_a_turn) == 0);
}
