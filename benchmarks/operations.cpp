// Nanoseconds of each operation of tasks, on coho.
#include "operations.hpp"

#include <benchmark/benchmark.h>

static coho::task<> measure(benchmark::State& state, coho::task<> (*repeat)(std::uint64_t)) {
    constexpr std::uint64_t batch = 1000;
    while (state.KeepRunningBatch(batch)) co_await repeat(batch);
}

int main(int argc, char** argv) {
    for (const auto& each : operations::all) {
        benchmark::RegisterBenchmark(each.name.data(), [&each](benchmark::State& state) {
            coho::run<coho::epoll>(measure, std::ref(state), each.repeat);
        });
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    return benchmark::RunSpecifiedBenchmarks() > 0 ? 0 : 1;
}
