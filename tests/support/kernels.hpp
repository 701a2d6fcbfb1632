#pragma once

#include <coho.hpp>

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

/// The kernels that the same tests run on: TEMPLATE_TEST_CASE("...", "[...]", COHO_TEST_KERNELS).
namespace support {

/// The simulated kernel on a good day: what conformance asks is what comes of no faults.
struct simulated : coho::simulated {
    explicit simulated(const options& = {}) : coho::simulated(calm()) {}

private:
    static options calm() {
        options wanted;
        wanted.faults = coho::fault_set::none();
        return wanted;
    }
};

/// A real kernel with the faults that no right program notices, in another mixture each time;
/// COHO_TEST_SEED asks for one of them.
template <class Kernel>
struct harmlessly_faulty : coho::faulty<Kernel> {
    explicit harmlessly_faulty(const coho::faulty_options<Kernel>& = {})
        : coho::faulty<Kernel>(chosen()) {}

private:
    static coho::faulty_options<Kernel> chosen() {
        static std::atomic<std::uint64_t> next_seed = 1;
        const char* variable = std::getenv("COHO_TEST_SEED");
        coho::faulty_options<Kernel> wanted;
        wanted.seed = variable ? std::stoull(variable) : next_seed++;
        wanted.faults = coho::fault_set::harmless();
        return wanted;
    }
};

#ifdef _WIN32

using any_kernel = coho::iocp;
using faulty_iocp = harmlessly_faulty<coho::iocp>;

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

using faulty_epoll = harmlessly_faulty<coho::epoll>;
using faulty_io_uring = harmlessly_faulty<coho::io_uring>;

#endif

}  // namespace support

#ifdef _WIN32
#define COHO_TEST_KERNELS coho::iocp
#define COHO_TEST_FAULTY_KERNELS support::faulty_iocp
#else
#define COHO_TEST_KERNELS support::io_uring, coho::epoll, coho::native
#define COHO_TEST_FAULTY_KERNELS support::faulty_io_uring, support::faulty_epoll
#endif
// For cases of which both ends are coho's. The others look at sockets from outside, with the system's own
// calls, count descriptors, or need threads and processes: what only a real kernel has.
#define COHO_TEST_ALL_KERNELS COHO_TEST_KERNELS, COHO_TEST_FAULTY_KERNELS, support::simulated
