#pragma once

#include "task.hpp"

#include <cstddef>
#include <limits>
#include <tuple>
#include <type_traits>

namespace coho {

struct task_group_options {
    /// How many children may live at once; spawn waits for room.
    std::size_t max_live = (std::numeric_limits<std::size_t>::max)();
    /// How long children may go on after stop was asked from above, before they are asked too.
    duration drain{};
};

/// Children that run beside the task that owns the group. Every one of them ends before join()
/// does, and join() must be awaited before the group dies: there are no detached tasks.
///
/// Stop asked of the owner reaches the children after `drain`. What a child throws stops its
/// siblings at once and, when they have ended, comes out of join(), or of the spawn that comes
/// first. One thread.
class task_group : private task_owner, private stop_callback, private timer {
public:
    explicit task_group(task_group_options options = {}) noexcept
        : task_owner(&child_ended), stop_callback(&stop_asked_above), timer(&drained),
          options_(options) {}
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;
    ~task_group() {
        check(live_ == 0, "a task_group was destroyed while children of it run; "
                          "co_await its join() first, also where an exception passes");
        leave();
    }

    /// Children alive now.
    std::size_t live() const noexcept { return live_; }

    /// Asks every child to stop, now and without drain; spawn starts none from here on.
    void request_stop() noexcept { stop_.request_stop(); }

    template <class Function, class... Arguments>
    class spawning;
    class joining;

    /// Waits for room, then calls the function with the arguments, all moved into the child's own
    /// frame. True where the child was started; false where stop was asked, of the group or of the
    /// one who spawns, before there was room, or where memory lacks for the child.
    template <class Function, class... Arguments>
    auto spawn(Function&& function, Arguments&&... arguments)
        -> spawning<std::decay_t<Function>, std::decay_t<Arguments>...>;

    /// Waits until every child has ended; rethrows the first of what children threw.
    inline joining join() noexcept;

private:
    /// A place in the queue for room; once there is some, it is kept for it.
    struct spawner : resumption {
        bool has_room = false;
    };

    /// The stop it listens to is that of whoever uses it, and may end before it, as that of a
    /// timeout does: then the next user's takes its place.
    void enter(environment& inherited) noexcept {
        check(!inherited_.loop || inherited_.loop == inherited.loop,
              "a task_group was used from two schedulers");
        if (is_connected() || inherited.stop == &stop_) return;
        inherited_ = {inherited.loop, &stop_, inherited.until};
        connect(*inherited.stop);
    }
    void leave() noexcept {
        disconnect();
        if (inherited_.loop) inherited_.loop->timers().cancel(*this);
    }

    bool stopping() const noexcept { return reason_ != errc::none || stop_.stop_requested(); }

    /// Room was counted in live_ already.
    void start_child(task<> child) noexcept {
        // Owned by itself from here on: child_ended() has it destroyed.
        auto frame = child.release();
        frame.promise().start_owned(inherited_, *this, frame);
    }

    static void child_ended(task_owner& owner, task_promise& ended) noexcept {
        auto& self = static_cast<task_group&>(owner);
        if (ended.exception() && !self.exception_) {
            self.exception_ = ended.exception();
            self.stop_.request_stop();
        }
        ended.destroy_later(
            std::coroutine_handle<task_promise_of<void>>::from_promise(
                static_cast<task_promise_of<void>&>(ended)));
        self.free_room();
    }
    void free_room() noexcept {
        if (!spawners_.empty() && !exception_) {
            auto& next = spawners_.pop();
            next.has_room = true;
            inherited_.loop->resume_later(next);
        } else if (--live_ == 0) {
            resume_spawners();
            if (joiner_) inherited_.loop->resume_later(*std::exchange(joiner_, nullptr));
        }
    }
    void resume_spawners() noexcept {
        while (!spawners_.empty()) inherited_.loop->resume_later(spawners_.pop());
    }
    void rethrow_once_ended() {
        if (exception_ && live_ == 0) std::rethrow_exception(std::exchange(exception_, nullptr));
    }

    void begin_drain(errc reason) noexcept {
        if (reason_ != errc::none) return;
        reason_ = reason;
        resume_spawners();
        if (options_.drain <= duration::zero()) {
            stop_.request_stop(reason);
        } else {
            auto& loop = *inherited_.loop;
            loop.timers().arm(*this, deadline_after(loop.now(), options_.drain));
        }
    }
    static void stop_asked_above(stop_callback& callback, errc reason) noexcept {
        static_cast<task_group&>(callback).begin_drain(reason);
    }
    static void drained(timer& expired) noexcept {
        auto& self = static_cast<task_group&>(expired);
        self.stop_.request_stop(self.reason_);
    }

    task_group_options options_;
    environment inherited_{};
    stop_source stop_;
    errc reason_ = errc::none;
    std::size_t live_ = 0;
    std::exception_ptr exception_;
    intrusive_queue<spawner> spawners_;
    resumption* joiner_ = nullptr;
};

/// A function whose coroutine needs nothing but its own parameters, which it takes by value: such a
/// child is one frame. For others a second frame keeps the callable and the arguments.
template <class Function>
constexpr bool owns_its_parameters = false;
template <class... Parameters>
constexpr bool owns_its_parameters<task<> (*)(Parameters...)> =
    (!std::is_reference_v<Parameters> && ...);
template <class... Parameters>
constexpr bool owns_its_parameters<task<> (*)(Parameters...) noexcept> =
    (!std::is_reference_v<Parameters> && ...);

template <class Function, class... Arguments>
task<> call_in_own_frame(Function function, Arguments... arguments) {
    co_await function(std::move(arguments)...);
}

template <class Function, class... Arguments>
class [[nodiscard]] task_group::spawning
    : public await_in_task<spawning<Function, Arguments...>>,
      private spawner,
      private stop_callback {
    static_assert(std::is_same_v<std::invoke_result_t<Function&, Arguments...>, task<>>,
                  "spawn takes a function that returns coho::task<>: what else it could return "
                  "would be lost, so deal with it inside");

public:
    template <class... From>
    spawning(task_group& group, From&&... from)
        : stop_callback(&stop_asked), group_(&group), call_(std::forward<From>(from)...) {}
    spawning(spawning&& unstarted)
        : stop_callback(&stop_asked), group_(unstarted.group_),
          call_(std::move(unstarted.call_)) {}

    started start(environment& inherited, std::coroutine_handle<> waiter) {
        if (inherited.stop->stop_requested()) return started::done;
        group_->enter(inherited);
        const bool failed = group_->exception_ != nullptr;
        if (group_->stopping() && !failed) return started::done;
        this->waiter = waiter;
        if (failed ? group_->live_ > 0 : group_->live_ >= group_->options_.max_live) {
            group_->spawners_.push(*this);
            connect(*inherited.stop);
            return started::pending;
        }
        if (!failed) {
            ++group_->live_;
            this->has_room = true;
            if (inherited.loop->spend()) return started::done;
        }
        // The loop destroys the frames of the children that have ended.
        inherited.loop->resume_later(*this);
        return started::pending;
    }
    bool finish() {
        disconnect();
        if (this->has_room && start_child()) return true;
        group_->rethrow_once_ended();
        return false;
    }

private:
    bool start_child() {
        struct room {
            task_group* group;
            ~room() {
                if (group) group->free_room();
            }
        } unused{group_};
        if (group_->stopping()) return false;
        try {
            auto child = std::apply(
                [](Function& function, Arguments&... arguments) {
                    if constexpr (owns_its_parameters<Function>) {
                        return function(std::move(arguments)...);
                    } else {
                        return call_in_own_frame(std::move(function), std::move(arguments)...);
                    }
                },
                call_);
            unused.group = nullptr;
            group_->start_child(std::move(child));
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }

    static void stop_asked(stop_callback& callback, errc) noexcept {
        auto& self = static_cast<spawning&>(callback);
        // Elsewhere it is about to be resumed.
        if (self.group_->spawners_.remove(self)) self.group_->inherited_.loop->resume_later(self);
    }

    task_group* group_;
    std::tuple<Function, Arguments...> call_;
};

template <class Function, class... Arguments>
auto task_group::spawn(Function&& function, Arguments&&... arguments)
    -> spawning<std::decay_t<Function>, std::decay_t<Arguments>...> {
    return {*this, std::forward<Function>(function), std::forward<Arguments>(arguments)...};
}

class [[nodiscard]] task_group::joining : public await_in_task<joining>,
                                          private resumption,
                                          private stop_callback {
public:
    explicit joining(task_group& group) noexcept
        : stop_callback(&stop_asked), group_(&group) {}
    joining(joining&& unstarted) noexcept : joining(*unstarted.group_) {}

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        this->waiter = waiter;
        if (group_->live_ == 0) {
            // The frames of children that ended within this turn are destroyed at its end.
            inherited.loop->resume_later(*this);
            return started::pending;
        }
        check(!group_->joiner_, "two tasks join the same task_group");
        group_->joiner_ = this;
        // The one who joins may be under a tighter stop than the one who spawned, such as a
        // timeout.
        if (inherited.stop->stop_requested()) group_->begin_drain(inherited.stop->reason());
        else connect(*inherited.stop);
        return started::pending;
    }
    void finish() {
        disconnect();
        group_->leave();
        group_->rethrow_once_ended();
    }

private:
    static void stop_asked(stop_callback& callback, errc reason) noexcept {
        static_cast<joining&>(callback).group_->begin_drain(reason);
    }

    task_group* group_;
};

inline task_group::joining task_group::join() noexcept { return joining(*this); }

}  // namespace coho
