#pragma once

#include <atomic>

namespace coho {

/// What other threads leave for a loop: work, and the wish that it stop. A loop that sleeps is
/// woken for it. Work is linked through its `next`, and ended by `work.finish(work, run)`.
///
/// Atomic is std::atomic, but where tests/model runs all this in every order there is.
template <class Work, template <class> class Atomic = std::atomic>
class mailbox {
public:
    /// Any thread, also within a signal handler; allocates nothing. The loop may end meanwhile, not
    /// before.
    template <class Wake>
    void post(Work& work, Wake wake) noexcept {
        const sender within(*this);
        Work* top = posted_.load(std::memory_order_relaxed);
        do {
            work.next = top;
        } while (!posted_.compare_exchange_weak(top, &work, std::memory_order_release,
                                                std::memory_order_relaxed));
        // The loop takes the whole stack at once, so one wake is enough for all that came before
        // it.
        if (!top) wake();
    }
    /// Any thread, also within a signal handler.
    template <class Wake>
    void request_stop(Wake wake) noexcept {
        const sender within(*this);
        stop_asked_.store(true, std::memory_order_release);
        wake();
    }

    // The rest is for the loop's thread. What it learns through these relaxed loads may be old, but
    // not as old as the wake that ended its sleep.

    bool empty() const noexcept {
        return !posted_.load(std::memory_order_relaxed) &&
               !stop_asked_.load(std::memory_order_relaxed);
    }
    /// Whether stop was asked since this was last called.
    bool take_stop() noexcept {
        return stop_asked_.load(std::memory_order_relaxed) &&
               stop_asked_.exchange(false, std::memory_order_acquire);
    }
    /// Finishes what was posted, first come first served.
    void finish_posted(bool run) {
        if (!posted_.load(std::memory_order_relaxed)) return;
        Work* latest = posted_.exchange(nullptr, std::memory_order_acquire);
        Work* first = nullptr;
        while (latest) {
            Work* before = latest->next;
            latest->next = first;
            first = latest;
            latest = before;
        }
        while (first) {
            auto& work = *first;
            first = work.next;
            work.finish(work, run);
        }
    }
    /// Before what senders use goes, which is this and what wakes the loop: waits for those within
    /// post() or request_stop().
    void await_senders() const noexcept {
        while (senders_.load(std::memory_order_acquire) != 0) {}
    }

private:
    /// Keeps the loop alive while another thread is about to wake it. That a sender came need not
    /// be published: what it sends says so.
    class sender {
    public:
        explicit sender(mailbox& to) noexcept : to_(to) {
            to_.senders_.fetch_add(1, std::memory_order_relaxed);
        }
        sender(const sender&) = delete;
        ~sender() { to_.senders_.fetch_sub(1, std::memory_order_release); }

    private:
        mailbox& to_;
    };

    Atomic<int> senders_ = 0;
    Atomic<Work*> posted_ = nullptr;
    Atomic<bool> stop_asked_ = false;
};

}  // namespace coho
