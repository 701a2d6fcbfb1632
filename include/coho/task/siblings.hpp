#pragma once

#include "task.hpp"

#include <cstddef>
#include <type_traits>

namespace coho {

/// What stands in a tuple for a task that gives nothing.
struct nothing {};

template <class T>
using value_or_nothing = std::conditional_t<std::is_void_v<T>, nothing, T>;

/// Takes the value of an ended task.
template <class T>
value_or_nothing<T> take_value(task<T>& ended) {
    if constexpr (std::is_void_v<T>) {
        ended.finish();
        return {};
    } else {
        return ended.finish();
    }
}

/// A fixed number of tasks that run side by side and are awaited together: what when_all and race
/// share. The first exception stops the others; nobody is resumed before all have ended.
class siblings : private task_owner {
public:
    explicit siblings(bool stop_at_first) noexcept
        : task_owner(&one_ended), stop_at_first_(stop_at_first) {}

    template <class... Tasks>
    started start_all(environment& above, std::coroutine_handle<> waiter, Tasks&... tasks) {
        inherited_ = {above.loop, &stop_, above.until};
        stop_.link(*above.stop);
        live_ = sizeof...(tasks);
        (tasks.start_owned(inherited_, *this), ...);
        if (live_ == 0) return started::done;
        place_.waiter = waiter;
        return started::pending;
    }
    /// Whether this one ended before all others.
    template <class T>
    bool ended_first(const task<T>& each) const noexcept {
        return each.promise() == first_ended_;
    }

    /// To be called once all have ended.
    void rethrow_exception() {
        stop_.unlink();
        if (exception_) std::rethrow_exception(exception_);
    }

private:
    static void one_ended(task_owner& owner, task_promise& ended) noexcept {
        auto& self = static_cast<siblings&>(owner);
        const bool first = !self.first_ended_;
        if (first) self.first_ended_ = &ended;
        const bool first_exception = ended.exception() && !self.exception_;
        if (first_exception) self.exception_ = ended.exception();
        if (first_exception || (first && self.stop_at_first_)) self.stop_.request_stop();
        // Without a waiter this is still start_all(), which sees for itself that all have ended.
        if (--self.live_ == 0 && self.place_.waiter) {
            self.inherited_.loop->resume_later(self.place_);
        }
    }

    environment inherited_{};
    linked_stop_source stop_;
    std::size_t live_ = 0;
    const task_promise* first_ended_ = nullptr;
    bool stop_at_first_;
    std::exception_ptr exception_;
    resumption place_;
};

}  // namespace coho
