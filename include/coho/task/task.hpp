#pragma once

#include "../core/awaitable.hpp"
#include "../core/check.hpp"
#include "../core/event_loop.hpp"

#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace coho {

template <class T = void>
class task;

class task_promise;

/// Who is told when a task that nobody awaits ends: a group, when_all or race. The task's frame is
/// suspended for good by then.
class task_owner {
public:
    explicit task_owner(void (*ended)(task_owner&, task_promise&) noexcept) noexcept
        : ended_(ended) {}

    void task_ended(task_promise& ended) noexcept { ended_(*this, ended); }

private:
    void (*ended_)(task_owner&, task_promise&) noexcept;
};

/// What the promises of all tasks share.
class task_promise {
public:
    static void* operator new(std::size_t size) {
        auto* loop = event_loop::current();
        return frame_pool::allocate(loop ? &loop->frames() : nullptr, size);
    }
    static void operator delete(void* frame) noexcept { frame_pool::deallocate(frame); }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    struct final_awaiter {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> ended) noexcept {
            static_cast<task_promise&>(ended.promise()).end();
        }
        void await_resume() const noexcept {}
    };
    final_awaiter final_suspend() const noexcept { return {}; }

    void unhandled_exception() noexcept { exception_ = std::current_exception(); }

    environment& inherited() noexcept { return *inherited_; }
    bool has_started() const noexcept { return inherited_ != nullptr; }
    const std::exception_ptr& exception() const noexcept { return exception_; }

    /// Starts the task on its own; the owner hears of its end, maybe before this returns.
    void start_owned(environment& inherited, task_owner& owner,
                     std::coroutine_handle<> self) noexcept {
        inherited_ = &inherited;
        owner_ = &owner;
        if (!inherited.loop->resume_nested(self)) queue(self);
    }

    started start_awaited(environment& inherited, std::coroutine_handle<> waiter,
                          std::coroutine_handle<> self) noexcept {
        inherited_ = &inherited;
        // A task that ends within resume_nested() has no waiter yet, so it resumes nobody and the
        // waiter just goes on: a loop over such tasks stays a loop, without leaning on tail calls.
        if (!inherited.loop->resume_nested(self)) queue(self);
        else if (self.done()) return started::done;
        waiter_ = waiter;
        return started::pending;
    }

    /// Has the loop destroy this task's frame, which must be suspended for good.
    void destroy_later(std::coroutine_handle<> self) noexcept {
        place_.waiter = self;
        inherited_->loop->destroy_later(place_);
    }

private:
    void queue(std::coroutine_handle<> coroutine) noexcept {
        place_.waiter = coroutine;
        inherited_->loop->resume_later(place_);
    }
    void end() noexcept {
        if (owner_) owner_->task_ended(*this);
        else if (waiter_) queue(waiter_);
    }

    environment* inherited_ = nullptr;
    task_owner* owner_ = nullptr;
    std::coroutine_handle<> waiter_;
    resumption place_;
    std::exception_ptr exception_;
};

template <class T>
class task_promise_of : public task_promise {
public:
    task<T> get_return_object() noexcept;

    template <class U = T>
        requires std::constructible_from<T, U&&>
    void return_value(U&& value) noexcept(std::is_nothrow_constructible_v<T, U&&>) {
        value_.emplace(std::forward<U>(value));
    }
    T take() {
        if (exception()) std::rethrow_exception(exception());
        return std::move(*value_);
    }

private:
    std::optional<T> value_;
};

template <>
class task_promise_of<void> : public task_promise {
public:
    inline task<void> get_return_object() noexcept;

    void return_void() const noexcept {}
    void take() const {
        if (exception()) std::rethrow_exception(exception());
    }
};

/// A coroutine that runs when it is awaited or spawned, once. Stop token, deadline and scheduler
/// come from the one that awaits it. What it throws comes out of the co_await. It must not be
/// destroyed between its start and its end.
template <class T>
class [[nodiscard]] task : public await_in_task<task<T>> {
public:
    using promise_type = task_promise_of<T>;
    using value_type = T;

    task(task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    task& operator=(task other) noexcept {
        std::swap(frame_, other.frame_);
        return *this;
    }
    ~task() {
        if (!frame_) return;
        check(frame_.done() || !frame_.promise().has_started(),
              "a task was destroyed between its start and its end; await it instead");
        frame_.destroy();
    }

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        check_startable();
        return frame_.promise().start_awaited(inherited, waiter, frame_);
    }
    T finish() { return frame_.promise().take(); }

    void start_owned(environment& inherited, task_owner& owner) noexcept {
        check_startable();
        frame_.promise().start_owned(inherited, owner, frame_);
    }
    const task_promise* promise() const noexcept { return &frame_.promise(); }
    /// Gives up the frame; the caller sees to its destruction.
    std::coroutine_handle<promise_type> release() noexcept {
        return std::exchange(frame_, nullptr);
    }

private:
    friend promise_type;
    explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
    void check_startable() const noexcept {
        check(frame_ && !frame_.promise().has_started(),
              "a task was awaited twice, or after it was moved from");
    }

    std::coroutine_handle<promise_type> frame_;
};

template <class T>
task<T> task_promise_of<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<task_promise_of>::from_promise(*this));
}
inline task<void> task_promise_of<void>::get_return_object() noexcept {
    return task<void>(std::coroutine_handle<task_promise_of>::from_promise(*this));
}

template <class T>
constexpr bool is_task = false;
template <class T>
constexpr bool is_task<task<T>> = true;

/// Any awaitable as a task of its own.
template <awaitable Awaitable>
task<awaited<Awaitable>> as_task(Awaitable operation) {
    co_return co_await std::move(operation);
}
template <class T>
task<T> as_task(task<T> operation) noexcept {
    return operation;
}

}  // namespace coho
