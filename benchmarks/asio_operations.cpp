// Nanoseconds of the same operations on standalone Asio, by the names that operations.hpp gives.
#include <asio.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <benchmark/benchmark.h>

using asio::use_awaitable;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;

static asio::awaitable<int> one() { co_return 1; }
static asio::awaitable<void> nothing() { co_return; }

static asio::awaitable<void> call(benchmark::State& state) {
    for (auto each : state) {
        (void)each;
        benchmark::DoNotOptimize(co_await one());
    }
}

static asio::awaitable<void> yield(benchmark::State& state) {
    for (auto each : state) {
        (void)each;
        co_await asio::post(use_awaitable);
    }
}

static asio::awaitable<void> spawn_and_join(benchmark::State& state) {
    auto executor = co_await asio::this_coro::executor;
    for (auto each : state) {
        (void)each;
        co_await asio::co_spawn(executor, nothing(), use_awaitable);
    }
}

static asio::awaitable<void> when_all(benchmark::State& state) {
    for (auto each : state) {
        (void)each;
        co_await (one() && one());
    }
}

static asio::awaitable<void> race(benchmark::State& state) {
    for (auto each : state) {
        (void)each;
        co_await (one() || one());
    }
}

static asio::awaitable<void> timeout(benchmark::State& state) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    for (auto each : state) {
        (void)each;
        timer.expires_after(30s);
        co_await (one() || timer.async_wait(use_awaitable));
    }
}

// Setting a new time cancels, and queues the handler of the wait before.
static asio::awaitable<void> timer(benchmark::State& state) {
    auto executor = co_await asio::this_coro::executor;
    auto& context = static_cast<asio::io_context&>(asio::query(executor, asio::execution::context));
    std::vector<asio::steady_timer> timers;
    for (int i = 0; i < 1000; ++i) timers.emplace_back(context);
    std::size_t next = 0;
    const auto begin = std::chrono::steady_clock::now() + 30s;
    for (auto each : state) {
        (void)each;
        auto& rearmed = timers[next++ % timers.size()];
        rearmed.expires_at(begin + next * 100ns);
        rearmed.async_wait([](asio::error_code) {});
        if (next % 100 == 0) co_await asio::post(use_awaitable);
    }
}

int main(int argc, char** argv) {
    const struct {
        const char* name;
        asio::awaitable<void> (*measure)(benchmark::State&);
    } all[] = {{"call", call},         {"yield", yield}, {"spawn-and-join", spawn_and_join},
               {"when-all", when_all}, {"race", race},   {"timer", timer},
               {"timeout", timeout}};
    for (const auto& each : all) {
        benchmark::RegisterBenchmark(each.name, [&each](benchmark::State& state) {
            asio::io_context context(1);
            asio::co_spawn(context, each.measure(state), asio::detached);
            context.run();
        });
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    return benchmark::RunSpecifiedBenchmarks() > 0 ? 0 : 1;
}
