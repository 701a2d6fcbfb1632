#pragma once

#include <coho.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string_view>

/// The kernels that the same tests run on: TEMPLATE_TEST_CASE("...", "[...]", COHO_TEST_KERNELS).
namespace support {

/// The simulated kernel. On its loopback, as on a real one, what was sent is there a turn later.
/// Without faults, or with all that no right program notices where COHO_TEST_FAULTS is "harmless".
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
    void allow_more_handles(std::size_t count) noexcept {
        options_.most_handles = open_handles() + count;
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
            wanted.seed = seed_of_all(wanted.faults);
            // From the first turn to the last.
            wanted.faults_begin = {};
            wanted.faults_end = std::chrono::hours(1);
        } else if (!faults.empty()) {
            coho::give_up("COHO_TEST_FAULTS can only be harmless");
        }
        return wanted;
    }

    /// The first seed, from COHO_TEST_SEED on, that draws all of those faults.
    static std::uint64_t seed_of_all(coho::fault_set wanted) {
        const char* variable = std::getenv("COHO_TEST_SEED");
        for (std::uint64_t seed = variable ? std::strtoull(variable, nullptr, 10) : 1;; ++seed) {
            coho::seeded_generator random(seed);
            if (coho::fault_plan(wanted, random).drawn() == wanted) return seed;
        }
    }

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
        else if (without == "buffer_ring") wanted.buffer_ring = false;
        else if (without == "copies") wanted.zero_copy_from = 1;
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

// COHO_TEST_REAL_KERNELS is for what a simulated kernel does not have:
// - other threads, which send, read and connect at times of their own (cancel: three of H2, which
//   time out), or post to a loop, wake and stop it (post and threads of the scheduler);
// - signals, children, and descriptors that these inherit (process; close-on-exec in options);
// - descriptors that are doubled, put under a number of one's choice or seen by another epoll
//   (descriptors); it gives numbers anew only by chance, as tests/simulation has it;
// - names to look up (names), and addresses of nobody, for each is a host (one in errors);
// - a heap of its own: what it keeps for a network counts as the library's (heap).
#ifdef _WIN32
#define COHO_TEST_REAL_KERNELS coho::iocp
#elif defined(COHO_TEST_SINGLE_KERNELS)
#define COHO_TEST_REAL_KERNELS support::io_uring, coho::epoll
#else
#define COHO_TEST_REAL_KERNELS support::io_uring, coho::epoll, coho::native, support::faulty
#endif
#define COHO_TEST_KERNELS COHO_TEST_REAL_KERNELS, support::simulated
