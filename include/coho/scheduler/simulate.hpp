#pragma once

#include "scheduler.hpp"

#include "../backend/simulated.hpp"
#include "../core/sanitizers.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

namespace coho {

/// Runs one task in many simulated worlds, one for each seed, and says which of them failed.
///
/// A world has failed where the task gives another status than 0, throws, or leaves a socket or a
/// coroutine frame behind, and where it came to a standstill: every task waited, and nothing more
/// could happen. One thread, and one simulation at a time.
class simulation {
public:
    explicit simulation(simulated_options options = {}) noexcept : options_(options) {}

    /// Runs the world of one seed. False where it failed, which is one line on standard error.
    template <class Function>
    bool run(std::uint64_t seed, Function world) {
        options_.seed = seed;
        running = this;
        call_after_report(&tell_seed);
        using handler = void (*)(int);
        std::array<handler, deaths.size()> before{};
        for (std::size_t i = 0; i < deaths.size(); ++i) {
            before[i] = std::signal(deaths[i], &died);
            // AddressSanitizer and others have more to say.
            const bool others = deaths[i] != SIGABRT && before[i] != SIG_DFL;
            if (others) std::signal(deaths[i], before[i]);
        }
        const auto why = failure_of(world);
        for (std::size_t i = 0; i < deaths.size(); ++i) std::signal(deaths[i], before[i]);
        running = nullptr;
        ++worlds_;
        if (why.empty()) return true;
        ++failed_;
        std::fprintf(stderr, "seed %llu failed: %s\n  %s\n  run it alone: --seed %llu --log\n",
                     printable(seed), why.c_str(), drawn_.c_str(), printable(seed));
        return false;
    }

    /// One line in all, and one for each kind of fault that has struck.
    void print_summary(std::FILE* to) const {
        std::fprintf(to, "%llu seeds, %llu failed; %llu turns, %.0f s of virtual time; "
                         "trace %016llx\n",
                     printable(worlds_), printable(failed_), printable(turns_),
                     static_cast<double>(age_.count()) / 1e9, printable(trace_));
        for (std::size_t i = 0; i < fault_kinds; ++i) {
            if (struck_[i] == 0) continue;
            const auto name = name_of(static_cast<fault>(i));
            std::fprintf(to, "%12llu %.*s\n", printable(struck_[i]),
                         static_cast<int>(name.size()), name.data());
        }
    }
    std::uint64_t failed() const noexcept { return failed_; }

private:
    static unsigned long long printable(std::uint64_t number) noexcept { return number; }

    /// Why the world failed; empty where it did not.
    template <class Function>
    std::string failure_of(Function& world) {
        scheduler<simulated> loop(options_);
        auto& kernel = loop.kernel();
        drawn_ = kernel.reason();
        std::string why;
        try {
            const int status = loop.run(world);
            if (status != 0) why = "it ended with status " + std::to_string(status);
        } catch (const std::exception& thrown) {
            why = std::string("it threw: ") + thrown.what();
        }
        if (why.empty() && kernel.standstills() > 0) {
            why = "it came to a standstill: every task waited for what could not happen";
        }
        if (why.empty() && kernel.open_handles() > 0) {
            why = std::to_string(kernel.open_handles()) + " sockets were never closed";
        }
        if (why.empty() && loop.frames().live() > 0) {
            why = std::to_string(loop.frames().live()) + " coroutine frames were never destroyed";
        }
        trace_ = scatter(trace_ ^ loop.trace_hash());
        turns_ += kernel.turns();
        age_ += kernel.age();
        for (std::size_t i = 0; i < fault_kinds; ++i) {
            struck_[i] += kernel.faults().struck(static_cast<fault>(i));
        }
        return why;
    }
    static void tell_seed() {
        if (!running) return;
        const auto& died = *std::exchange(running, nullptr);
        std::fprintf(stderr, "coho: %s; run it alone: --seed %llu --log\n", died.drawn_.c_str(),
                     printable(died.options_.seed));
    }
    static void died(int signal) {
        tell_seed();
        // Returning from here does again what it was, and ends the process as it would have.
        std::signal(signal, SIG_DFL);
    }

    static constexpr std::array deaths{SIGABRT, SIGSEGV, SIGFPE, SIGILL};
    static inline simulation* running = nullptr;

    simulated_options options_;
    std::string drawn_;
    std::uint64_t worlds_ = 0;
    std::uint64_t failed_ = 0;
    std::uint64_t turns_ = 0;
    std::uint64_t trace_ = 0;
    duration age_{};
    std::array<std::uint64_t, fault_kinds> struck_{};
};

/// The main function of a program that simulates: runs the world for seeds 1 to 1,000, or as its
/// arguments say, until one fails. `--seeds N` takes so many, `--first N` begins with another than
/// 1, `--seed N` runs that one alone, and `--log` writes all that happens to standard error. Gives
/// the exit status: 0, 1 where a world failed, 2 where the arguments are wrong.
template <class Function>
int simulate(int argc, const char* const* argv, Function world, simulated_options options = {}) {
    std::uint64_t first = 1, count = 1000;
    for (int i = 1; i < argc; ++i) {
        const std::string_view flag = argv[i];
        char* end = nullptr;
        const std::uint64_t number = i + 1 < argc ? std::strtoull(argv[i + 1], &end, 10) : 0;
        if (flag == "--log") {
            options.log = stderr;
            continue;
        }
        if (end && *end == '\0' && flag == "--seeds" && number > 0) count = number;
        else if (end && *end == '\0' && flag == "--first") first = number;
        else if (end && *end == '\0' && flag == "--seed") first = number, count = 1;
        else {
            std::fprintf(stderr, "usage: %s [--seeds COUNT] [--first SEED] [--seed SEED] [--log]\n",
                         argv[0]);
            return 2;
        }
        ++i;
    }
    simulation all(options);
    for (std::uint64_t i = 0; i < count; ++i) {
        if (!all.run(first + i, world)) break;
    }
    all.print_summary(stdout);
    return all.failed() ? 1 : 0;
}

}  // namespace coho
