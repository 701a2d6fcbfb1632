#pragma once

#include "allocation_guard.hpp"
#include "frame_pool.hpp"
#include "mailbox.hpp"
#include "operation.hpp"
#include "stop.hpp"
#include "timer.hpp"

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace coho {

/// The half of a scheduler that knows no kernel: who is ready, whose time has come, what other
/// threads posted. scheduler<Backend> adds the kernel. All of it belongs to the thread that runs
/// it, save where it says "any thread".
class event_loop {
public:
    event_loop(const event_loop&) = delete;
    event_loop& operator=(const event_loop&) = delete;

    /// The loop that runs on this thread, or null.
    // Never inlined: Clang before 17 keeps a thread_local's address over a suspension (LLVM
    // #47179).
    [[gnu::noinline]] static event_loop* current() noexcept { return current_; }

    /// This loop's clock; virtual where the kernel is simulated.
    time_point now() const noexcept {
        return virtual_now_ ? *virtual_now_ : std::chrono::steady_clock::now();
    }

    /// Work that another thread hands over. finish is called once, on the loop's thread: with true
    /// to do the work, with false where the loop ends before it came to it.
    struct posted_work {
        void (*finish)(posted_work&, bool run) = nullptr;
        posted_work* next = nullptr;
    };

    /// Any thread, also within a signal handler; allocates nothing. The loop may end meanwhile, not
    /// before.
    void post(posted_work& work) noexcept {
        mail_.post(work, [this] { wake_(*this); });
    }

    /// Any thread: the function is called on this loop's thread. Throws std::bad_alloc.
    template <std::move_constructible Function>
        requires std::invocable<Function&>
    void post(Function function) {
        struct owned_work : posted_work {
            explicit owned_work(Function&& from) : function(std::move(from)) {
                finish = [](posted_work& work, bool run) {
                    std::unique_ptr<owned_work> self(static_cast<owned_work*>(&work));
                    if (run) self->function();
                };
            }
            Function function;
        };
        allocation_guard::note("a posted function", sizeof(owned_work));
        post(static_cast<posted_work&>(*new owned_work(std::move(function))));
    }

    /// Any thread, also within a signal handler: asks the task that run() runs, and all below it,
    /// to stop.
    void request_stop() noexcept {
        mail_.request_stop([this] { wake_(*this); });
    }

    /// Resumes the waiter in this turn or a later one, first come first served.
    void resume_later(resumption& ready) noexcept { ready_.push(ready); }

    /// Destroys the coroutine frame once whoever runs now has returned to the loop.
    void destroy_later(resumption& ended) noexcept { ended_.push(ended); }

    /// Whether this is a scheduler of that kind; each kernel's has its own.
    bool runs_on(const void* kind) const noexcept { return kind_ == kind; }

    /// Any thread: whether it is the one that made this loop.
    bool is_own_thread() const noexcept { return own_thread_ == this_thread(); }

    timer_queue& timers() noexcept { return timers_; }
    frame_pool& frames() noexcept { return frames_; }

    /// Takes one from the number of operations that may finish at once before others have their
    /// turn; false where none is left, and the waiter should be queued instead.
    bool spend() noexcept { return --budget_ > 0; }

    /// Resumes a coroutine from within another one, unless that nests too deep for the stack; false
    /// where it was not resumed.
    bool resume_nested(std::coroutine_handle<> coroutine) noexcept {
        if (depth_ == depth_limit) return false;
        ++depth_;
        coroutine.resume();
        --depth_;
        return true;
    }

protected:
    event_loop(void (*wake)(event_loop&) noexcept, const void* kind) noexcept
        : wake_(wake), kind_(kind), timers_(now()) {}
    ~event_loop() = default;

    /// To be called before anything waits for time: the clock of a kernel that has its own.
    void use_clock(const time_point* virtual_now) noexcept {
        virtual_now_ = virtual_now;
        if (virtual_now) timers_ = timer_queue(*virtual_now);
    }

    /// Before what other threads use goes: waits for those that are within post() or
    /// request_stop(), and drops what they posted.
    void end_posting() {
        mail_.await_senders();
        mail_.finish_posted(false);
    }

    /// Marks the thread's current loop, and puts back the one before.
    class running {
    public:
        explicit running(event_loop& loop) noexcept : before_(std::exchange(current_, &loop)) {
            check(loop.is_own_thread(),
                  "a scheduler was run by another thread than the one that made it");
        }
        running(const running&) = delete;
        ~running() { current_ = before_; }

    private:
        event_loop* before_;
    };

    void resume_later(operation_queue& completed) noexcept { ready_.take_all(completed); }
    bool has_ready() const noexcept { return !ready_.empty(); }
    bool has_posted() const noexcept { return !mail_.empty(); }

    void destroy_ended() noexcept {
        while (!ended_.empty()) ended_.pop().waiter.destroy();
    }

    /// One turn without the kernel: what other threads want, timers, then those who are ready.
    void run_ready(stop_source& root) {
        if (mail_.take_stop()) root.request_stop();
        mail_.finish_posted(true);
        if (!timers_.empty()) timers_.advance(now());
        for (auto turns = resumptions_per_turn; turns > 0 && !ready_.empty(); --turns) {
            budget_ = budget_per_resumption;
            // The node dies with the frame it lies in, so nothing of it may be read after resuming.
            ready_.pop().waiter.resume();
            destroy_ended();
        }
    }

private:
    // Together they bound how long the kernel is not asked: 2,048 operations, about four
    // milliseconds.
    static constexpr int resumptions_per_turn = 128;
    static constexpr int budget_per_resumption = 16;
    static constexpr int depth_limit = 64;

    static inline thread_local event_loop* current_ = nullptr;
    // Only its address matters, which differs from thread to thread.
    static inline thread_local bool this_thread_ = false;

    [[gnu::noinline]] static const bool* this_thread() noexcept { return &this_thread_; }

    void (*wake_)(event_loop&) noexcept;
    const void* kind_;
    const bool* own_thread_ = this_thread();
    const time_point* virtual_now_ = nullptr;
    resumption_queue ready_;
    resumption_queue ended_;
    int budget_ = budget_per_resumption;
    int depth_ = 0;
    mailbox<posted_work> mail_;
    timer_queue timers_;
    frame_pool frames_;
};

}  // namespace coho
