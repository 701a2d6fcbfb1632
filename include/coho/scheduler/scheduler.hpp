#pragma once

#include "../backend/concept.hpp"
#include "../buffer/buffer_pool.hpp"
#include "../core/check.hpp"
#include "../core/event_loop.hpp"
#include "../core/result.hpp"
#include "../task/task.hpp"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

namespace coho {

/// The event loop over one kernel: tasks start requests, the kernel completes them, the loop
/// resumes who waited. It belongs to the thread that makes it, and must be run there.
template <backend Backend>
class scheduler : public event_loop {
public:
    using options = typename Backend::options;

    /// Throws coho::failure where the kernel cannot be used here.
    explicit scheduler(const options& wanted = {})
        : event_loop(&wake_kernel, &kind), kernel_(wanted) {
        use_clock(kernel_.virtual_clock());
        if constexpr (requires { kernel_.belong_to(*this); }) kernel_.belong_to(*this);
    }
    ~scheduler() { end_posting(); }

    /// The scheduler that runs on this thread. A mistake where there is none, or one over another
    /// kernel.
    static scheduler& current() noexcept {
        auto* loop = event_loop::current();
        check(loop, "a socket was made outside of run(); make it within a task");
        check(loop->runs_on(&kind),
              "a socket of one kernel was made under the scheduler of another; "
              "name the same Backend in run<Backend> and basic_...<Backend>");
        return static_cast<scheduler&>(*loop);
    }

    /// Calls the function with the arguments and runs the task it returns to its end. Gives the
    /// exit status: the task's int; 0 for void; for result<void> 0, or 1 with its error on standard
    /// error. What the task throws comes out here.
    template <class Function, class... Arguments>
    int run(Function&& function, Arguments&&... arguments) {
        const running here(*this);
        auto root = std::forward<Function>(function)(std::forward<Arguments>(arguments)...);
        static_assert(is_task<decltype(root)>, "run takes a function that returns coho::task");
        run_to_end(root);
        return exit_status(root);
    }

    /// How long to look for work without sleeping before the loop sleeps: a faster answer for a
    /// busy core.
    void spin_for(duration span) noexcept { spin_ = span; }

    /// The pool that leases come from; it is made when it is first asked for. Throws
    /// std::bad_alloc.
    buffer_pool& buffers() {
        if (!buffers_) {
            buffers_ = std::make_unique<buffer_pool>(*this, buffer_options_);
            if constexpr (requires { kernel_.prefer_large_pages(buffers_->memory()); }) {
                if (buffer_options_.huge_pages) kernel_.prefer_large_pages(buffers_->memory());
            }
        }
        return *buffers_;
    }
    /// To be called before the pool is first asked for.
    void use_buffers(const buffer_pool_options& wanted) noexcept {
        check(!buffers_, "the pool of buffers was made already; choose its size before");
        buffer_options_ = wanted;
    }

    Backend& kernel() noexcept { return kernel_; }
    /// The kernel that works here, such as "io_uring".
    std::string_view backend_name() const noexcept { return kernel_.name(); }
    /// Why it is this one, in words.
    std::string_view backend_reason() const noexcept { return kernel_.reason(); }

    /// Equal where two runs were the same, bit for bit; of simulated kernels alone.
    std::uint64_t trace_hash() const noexcept
        requires requires(const Backend& kernel) { kernel.trace_hash(); }
    {
        return kernel_.trace_hash();
    }

private:
    static void wake_kernel(event_loop& loop) noexcept {
        static_cast<scheduler&>(loop).kernel_.wake();
    }

    struct root_owner : task_owner {
        root_owner() noexcept : task_owner(&root_ended) {}
        static void root_ended(task_owner& owner, task_promise&) noexcept {
            static_cast<root_owner&>(owner).ended = true;
        }
        bool ended = false;
    };

    template <class Root>
    void run_to_end(Root& root) {
        stop_source stop;
        environment inherited{this, &stop};
        root_owner owner;
        root.start_owned(inherited, owner);
        destroy_ended();
        while (!owner.ended) {
            run_ready(stop);
            if (!owner.ended) wait();
        }
    }

    void wait() noexcept {
        operation_queue completed;
        if (has_ready()) {
            kernel_.wait(long_ago, completed);
        } else {
            spin(completed);
            // A wake that came while spinning is used up; what it came for must not wait.
            if (completed.empty() && !has_posted()) kernel_.wait(timers().next(), completed);
        }
        resume_later(completed);
    }

    void spin(operation_queue& completed) noexcept {
        if (spin_ <= duration::zero()) return;
        const auto tired = deadline_after(now(), spin_);
        const auto until = timers().next() < tired ? timers().next() : tired;
        do kernel_.wait(long_ago, completed);
        while (completed.empty() && !has_posted() && now() < until);
    }

    template <class T>
    static int exit_status(task<T>& root) {
        if constexpr (std::is_void_v<T>) {
            root.finish();
            return 0;
        } else if constexpr (std::is_same_v<T, result<void>>) {
            const auto finished = root.finish();
            if (finished) return 0;
            std::fprintf(stderr, "%s\n", finished.error().message().c_str());
            return 1;
        } else {
            static_assert(
                std::is_same_v<T, int>,
                "run takes a task of void, of an int (the exit status), or of result<void>");
            return root.finish();
        }
    }

    // Its address tells the schedulers of different kernels apart.
    static inline const char kind = 0;

    buffer_pool_options buffer_options_;
    std::unique_ptr<buffer_pool> buffers_;
    // It may hold buffers of the pool, and goes first.
    Backend kernel_;
    duration spin_{};
};

/// The clock of the scheduler that runs on this thread, virtual where its kernel is simulated.
inline time_point now() noexcept {
    const auto* loop = event_loop::current();
    return loop ? loop->now() : std::chrono::steady_clock::now();
}

}  // namespace coho
