#include "support/child_process.hpp"
#include "support/tasks.hpp"
#include "support/world.hpp"

#include <csignal>
#include <utility>

using namespace std::chrono_literals;
using support::number;
using support::some_turns;

namespace {

coho::task<> until_stop() { co_await coho::sleep_until(coho::never); }
coho::task<> await_other(coho::task<>& other) { co_await other; }

coho::task<> await_moved_from() {
    auto first = number(1);
    auto second = std::move(first);
    co_await second;
    co_await first;
}
coho::task<> await_at_once_twice() {
    auto shared = some_turns();
    auto first = await_other(shared);
    auto second = await_other(shared);
    co_await coho::when_all(std::move(first), std::move(second));
}
coho::task<> join(coho::task_group& group) { co_await group.join(); }
coho::task<> join_twice() {
    coho::task_group group;
    co_await group.spawn(until_stop);
    auto first = join(group);
    auto second = join(group);
    co_await coho::when_all(std::move(first), std::move(second));
}
coho::task<> spawn_in(coho::task_group& group) { co_await group.spawn(some_turns); }
coho::task<> lend_group() {
    coho::task_group group;
    co_await group.spawn(until_stop);
    coho::run<support::any_kernel>({.signals = {}}, spawn_in, group);
    group.request_stop();
    co_await group.join();
}

/// Starts it as a task would, and destroys it while it waits.
template <class Awaitable>
coho::task<> abandon(Awaitable waiting) {
    coho::stop_source stop;
    coho::environment inside{coho::event_loop::current(), &stop};
    {
        auto abandoned = std::move(waiting);
        (void)abandoned.start(inside, std::noop_coroutine());
    }
    co_return;
}

template <class Function, class... Arguments>
support::child_end end_of(Function function, Arguments... arguments) {
    return support::run_in_child([&] {
        return coho::run<support::any_kernel>({.signals = {}}, function, std::move(arguments)...);
    });
}

}  // namespace

TEST_CASE("awaiting a task that was moved from ends the program", "[task][death]") {
    const auto end = end_of(await_moved_from);
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("after it was moved from"));
}

TEST_CASE("awaiting a task that another awaits ends the program", "[task][death]") {
    const auto end = end_of(await_at_once_twice);
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("awaited twice"));
}

TEST_CASE("a group joined by two, or used in two schedulers, ends the program", "[group][death]") {
    const auto joined = end_of(join_twice);
    CHECK(joined.signal == SIGABRT);
    CHECK(joined.says("two tasks join"));
    const auto lent = end_of(lend_group);
    CHECK(lent.signal == SIGABRT);
    CHECK(lent.says("two schedulers"));
}

TEST_CASE("H1: what is destroyed while it waits ends the program", "[task][death][H1]") {
    const auto sleeping = end_of([] { return abandon(coho::sleep(1h)); });
    CHECK(sleeping.signal == SIGABRT);
    CHECK(sleeping.says("while it waits for its time"));
    const auto task = end_of([] { return abandon(until_stop()); });
    CHECK(task.signal == SIGABRT);
    CHECK(task.says("between its start and its end"));
    const auto limited = end_of([] { return abandon(coho::timeout(1h, until_stop())); });
    CHECK(limited.signal == SIGABRT);
    CHECK(limited.says("between its start and its end"));
    const auto both =
        end_of([] { return abandon(coho::when_all(until_stop(), some_turns())); });
    CHECK(both.signal == SIGABRT);
    CHECK(both.says("between its start and its end"));
}

TEST_CASE("what never started may be destroyed", "[task][H9]") {
    support::run([]() -> coho::task<> {
        coho::task_group group;
        {
            auto sleeping = coho::sleep(1h);
            auto limited = coho::timeout(1h, until_stop());
            auto both = coho::when_all(until_stop(), number(1));
            auto one = coho::race(until_stop(), coho::sleep(1h));
            [[maybe_unused]] auto spawning = group.spawn(until_stop);
            auto joining = group.join();
        }
        co_await coho::yield();
        CHECK(group.live() == 0);
    });
}

TEST_CASE("a task may be made before there is a scheduler, and moved into one", "[task]") {
    static constexpr auto await_given = [](coho::task<int> given) -> coho::task<int> {
        auto other = number(0);
        other = std::move(given);
        co_return co_await other;
    };
    auto early = number(7);
    coho::scheduler<support::any_kernel> world;
    CHECK(world.run(await_given, std::move(early)) == 7);
    CHECK(world.frames().live() == 0);
}
