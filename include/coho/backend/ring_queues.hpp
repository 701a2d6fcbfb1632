#pragma once

#include "fork_mark.hpp"
#include "posix_errors.hpp"
#include "ring_data.hpp"

#include "../core/check.hpp"
#include "../core/clock.hpp"

#include <atomic>
#include <cstring>
#include <initializer_list>

#include <liburing.h>

namespace coho {

/// The two queues that are shared with the kernel, io_uring_setup(2): of submissions, and of what
/// completed.
class ring_queues {
public:
    /// Tries what io_uring is going to need, so that a system which allows it only in part shows
    /// here. Flags that this kernel does not know are left out. Throws coho::failure.
    ring_queues(unsigned entries, bool deferred_task_work) {
        if (const int failed = set_up(entries, deferred_task_work)) throw refusal(failed);
        if (const int failed = try_out()) {
            io_uring_queue_exit(&ring_);
            throw refusal(failed);
        }
        // Saves the kernel a look-up at each entry; without it (before Linux 5.18) all works too.
        io_uring_register_ring_fd(&ring_);
        // A child after fork() must not touch the queues.
        io_uring_ring_dontfork(&ring_);
    }
    ring_queues(const ring_queues&) = delete;
    ring_queues& operator=(const ring_queues&) = delete;
    ~ring_queues() { io_uring_queue_exit(&ring_); }

    ::io_uring& native() noexcept { return ring_; }
    void check_same_process() const noexcept { process_.check_same_process(); }

    bool supports(std::initializer_list<int> operations) noexcept {
        return find(operations) == 0;
    }

    /// Null only where the kernel takes no more submissions.
    io_uring_sqe* next_entry() noexcept {
        check_same_process();
        auto* entry = io_uring_get_sqe(&ring_);
        if (entry) return entry;
        io_uring_submit(&ring_);
        return io_uring_get_sqe(&ring_);
    }
    bool submit_cancel(std::uint64_t data) noexcept {
        auto* entry = next_entry();
        if (!entry) return false;
        io_uring_prep_cancel64(entry, data, 0);
        io_uring_sqe_set_flags(entry, IOSQE_CQE_SKIP_SUCCESS);
        io_uring_sqe_set_data64(entry, no_ring_data);
        return true;
    }

    bool has_completions() const noexcept { return io_uring_cq_ready(&ring_) > 0; }

    /// Submits, and sleeps until something completes or the time has come.
    void enter(deadline until) noexcept {
        int entered = 0;
        const auto left =
            until == never || until == long_ago ? duration::zero()
                                                       : until - std::chrono::steady_clock::now();
        if (until == never) {
            entered = io_uring_submit_and_wait(&ring_, 1);
        } else if (left > duration::zero()) {
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
            __kernel_timespec limit{seconds.count(), (left - seconds).count()};
            io_uring_cqe* first = nullptr;
            entered = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &limit, nullptr);
        } else if (io_uring_sq_ready(&ring_) > 0 || kernel_has_work()) {
            entered = io_uring_submit_and_get_events(&ring_);
        }
        check(entered != -EEXIST && entered != -EBADFD,
              "a scheduler on io_uring was used from another thread than the one that made it");
    }
    /// Calls take(data, outcome, flags) for each that has completed by now, and gives the kernel
    /// its slots back. What completes meanwhile is left for the next time, for it need not end.
    template <class Take>
    void reap(Take&& take) noexcept {
        const unsigned ready = io_uring_cq_ready(&ring_);
        unsigned head = 0, count = 0;
        io_uring_cqe* each = nullptr;
        io_uring_for_each_cqe(&ring_, head, each) {
            if (count == ready) break;
            ++count;
            take(each->user_data, each->res, each->flags);
        }
        io_uring_cq_advance(&ring_, count);
    }

private:
    static failure refusal(int number) {
        return failure({describe_posix(number),
                        {"cannot use io_uring, for the system answers \"", std::strerror(number),
                         "\" (containers and the sysctl kernel.io_uring_disabled often forbid it; "
                         "epoll works everywhere)"}});
    }

    /// 0 or errno.
    int set_up(unsigned entries, bool deferred_task_work) noexcept {
        const unsigned always = IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                                IORING_SETUP_TASKRUN_FLAG;
        int failed = -EINVAL;
        if (deferred_task_work) {
            failed = set_up(entries,
                            always | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
        }
        if (failed == -EINVAL) failed = set_up(entries, always | IORING_SETUP_COOP_TASKRUN);
        return -failed;
    }
    int set_up(unsigned entries, unsigned flags) noexcept {
        io_uring_params parameters{};
        parameters.flags = flags;
        parameters.cq_entries = 8 * entries;
        return io_uring_queue_init_params(entries, &ring_, &parameters);
    }

    /// 0 where the kernel has all of them, else errno: EPERM where it may not even be asked.
    int find(std::initializer_list<int> operations) noexcept {
        auto* const probe = io_uring_get_probe_ring(&ring_);
        if (!probe) return EPERM;
        bool has_all = true;
        for (const int each : operations) {
            has_all = has_all && io_uring_opcode_supported(probe, each);
        }
        io_uring_free_probe(probe);
        return has_all ? 0 : ENOSYS;
    }

    /// 0 or errno: whether the kernel is new enough, and may be entered as well as set up.
    int try_out() noexcept {
        const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
        if ((ring_.features & needed) != needed) return ENOSYS;
        const int missing =
            find({IORING_OP_ACCEPT, IORING_OP_CONNECT, IORING_OP_RECV, IORING_OP_SEND,
                  IORING_OP_RECVMSG, IORING_OP_SENDMSG, IORING_OP_POLL_ADD, IORING_OP_READ,
                  IORING_OP_ASYNC_CANCEL});
        if (missing) return missing;
        auto* entry = io_uring_get_sqe(&ring_);
        io_uring_prep_nop(entry);
        const int submitted = io_uring_submit_and_wait(&ring_, 1);
        if (submitted < 0) return -submitted;
        io_uring_cq_advance(&ring_, 1);
        return 0;
    }

    /// Completions that wait for this thread to ask, or that did not fit in the queue.
    bool kernel_has_work() const noexcept {
        const unsigned flags = std::atomic_ref(*ring_.sq.kflags).load(std::memory_order_relaxed);
        return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
    }

    ::io_uring ring_{};
    fork_mark process_;
};

}  // namespace coho
