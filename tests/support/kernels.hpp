#pragma once

#include <coho.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string_view>

/// The kernels that the same tests run on: TEMPLATE_TEST_CASE("...", "[...]", COHO_TEST_KERNELS).
namespace support {

/// The simulated kernel. On its loopback, as on a real one, what was sent is there in the next turn.
/// Without faults, or with those that no right program notices where COHO_TEST_FAULTS is "harmless".
/// simulated_peer blocks on it: what completes meanwhile is set aside for the loop.
struct simulated : coho::simulated {
    explicit simulated(const options& = {}) : coho::simulated(chosen()) {}

    void wait(coho::deadline until, coho::operation_queue& completed) noexcept {
        if (!set_aside_.empty()) until = coho::long_ago;
        completed.take_all(set_aside_);
        coho::simulated::wait(until, completed);
    }
    /// The world goes on, until something completes or the time has come; nobody is resumed.
    void go_on(coho::deadline until) noexcept { coho::simulated::wait(until, set_aside_); }
    /// Whether that operation, which no coroutine awaits, is over; it is the caller's again then.
    bool takes_back(coho::operation& own) noexcept { return set_aside_.remove(own); }

    std::size_t unread_bytes(coho::handle socket) noexcept {
        return sockets_.find(socket)->arrived;
    }
    bool has_connection_waiting(coho::handle listener) noexcept {
        return sockets_.find(listener)->first_connection;
    }

private:
    static options chosen() {
        const char* variable = std::getenv("COHO_TEST_FAULTS");
        const std::string_view faults = variable ? variable : "";
        options wanted;
        wanted.network.latency = {};
        wanted.faults = coho::fault_set::none();
        if (faults == "harmless") {
            wanted.faults = coho::fault_set::harmless();
            // One of those that draw all of them; from the first turn to the last.
            wanted.seed = seed_of_all_harmless;
            wanted.faults_begin = {};
            wanted.faults_end = std::chrono::hours(1);
        } else if (!faults.empty()) {
            coho::give_up("COHO_TEST_FAULTS can only be harmless");
        }
        return wanted;
    }

    static constexpr std::uint64_t seed_of_all_harmless = 7;

    coho::operation_queue set_aside_;
};

#ifdef _WIN32

using any_kernel = coho::iocp;

#else

/// For what does not depend on the kernel.
using any_kernel = coho::epoll;

/// io_uring without one of its optional features, which COHO_TEST_WITHOUT names: the same program
/// is run once for each, for to compile it for each would take long.
struct io_uring : coho::io_uring {
    explicit io_uring(const options& = {}) : coho::io_uring(chosen()) {}

private:
    static options chosen() {
        const char* variable = std::getenv("COHO_TEST_WITHOUT");
        const std::string_view without = variable ? variable : "";
        options wanted;
        if (without == "multishot_accept") wanted.multishot_accept = false;
        else if (without == "deferred_task_work") wanted.deferred_task_work = false;
        // So short that the queues are full all the time.
        else if (without == "long_queues") wanted.entries = 2;
        else if (!without.empty()) coho::give_up("COHO_TEST_WITHOUT names no feature of io_uring");
        return wanted;
    }
};

/// A kernel that cannot be used, for the tests of choosing another.
struct unusable : coho::epoll {
    static constexpr std::string_view kernel_name = "unusable";
    explicit unusable(const options& = {}) {
        throw coho::failure({coho::errc::not_supported, {"cannot use a kernel made unusable"}});
    }
};
using either_second = coho::either<unusable, coho::epoll>;

#endif

/// A real kernel, which COHO_BACKEND chooses, with the faults that no right program notices, in
/// another mixture for each scheduler; COHO_TEST_SEED asks for one of them.
struct faulty : coho::faulty<coho::native> {
    explicit faulty(const options& = {}) : coho::faulty<coho::native>(chosen()) {}

private:
    static options chosen() {
        static std::atomic<std::uint64_t> next_seed = 1;
        const char* variable = std::getenv("COHO_TEST_SEED");
        options wanted;
        wanted.seed = variable ? std::strtoull(variable, nullptr, 10) : next_seed++;
        wanted.faults = coho::fault_set::harmless();
        return wanted;
    }
};

}  // namespace support

// For what a simulated kernel does not have:
// - other threads, which wake a loop, connect or send at a time of their own (three of H2 in cancel;
//   post and threads of the scheduler);
// - processes, signals and descriptors that children inherit (process; close-on-exec in options);
// - descriptors by number, taken anew, doubled, limited or watched (descriptors, starved, fairness);
// - options that the system is asked for itself (two in options);
// - names (names), and addresses that no machine has: there, each address is a host (errors);
// - a heap of which only the library takes (heap).
#ifdef _WIN32
#define COHO_TEST_REAL_KERNELS coho::iocp
#else
#define COHO_TEST_REAL_KERNELS support::io_uring, coho::epoll, coho::native, support::faulty
#endif
#define COHO_TEST_KERNELS COHO_TEST_REAL_KERNELS, support::simulated
