#pragma once

#include <coho.hpp>

#include <string>

/// The kernels that the same tests run on: TEMPLATE_TEST_CASE("...", "[...]", COHO_TEST_KERNELS).
namespace support {

struct io_uring_without_multishot : coho::io_uring {
    explicit io_uring_without_multishot(const options& = {})
        : coho::io_uring({.multishot_accept = false}) {}
};
struct io_uring_without_deferred_work : coho::io_uring {
    explicit io_uring_without_deferred_work(const options& = {})
        : coho::io_uring({.deferred_task_work = false}) {}
};
/// Queues so short that they are full all the time.
struct io_uring_with_short_queues : coho::io_uring {
    explicit io_uring_with_short_queues(const options& = {}) : coho::io_uring({.entries = 2}) {}
};
/// A composition whose second kernel is the one that is used.
struct unusable : coho::epoll {
    static constexpr std::string_view kernel_name = "unusable";
    explicit unusable(const options& = {}) {
        throw coho::failure({coho::errc::not_supported, {"cannot use a kernel made unusable"}});
    }
};
using either_second = coho::either<unusable, coho::epoll>;

}  // namespace support

#define COHO_TEST_KERNELS                                                                   \
    coho::io_uring, support::io_uring_without_multishot,                                    \
        support::io_uring_without_deferred_work, support::io_uring_with_short_queues,       \
        coho::epoll, support::either_second, coho::native
