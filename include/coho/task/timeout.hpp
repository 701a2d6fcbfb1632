#pragma once

#include "../core/awaitable.hpp"
#include "../core/event_loop.hpp"
#include "../core/result.hpp"

#include <type_traits>
#include <utility>

namespace coho {

/// An environment of its own whose stop is asked when time is up, or when the one above is asked.
class time_limit : private timer {
public:
    explicit time_limit(duration span) noexcept : timer(&expired), span_(span) {}
    // Still armed where starting the operation threw.
    ~time_limit() {
        if (armed()) leave();
    }

    environment& enter(environment& above) noexcept {
        const auto until = deadline_after(above.loop->now(), span_);
        inherited_ = {above.loop, &stop_, until < above.until ? until : above.until};
        stop_.link(*above.stop);
        if (span_ <= duration::zero()) stop_.request_stop(errc::timed_out);
        else if (!stop_.stop_requested()) above.loop->timers().arm(*this, until);
        return inherited_;
    }
    void leave() noexcept {
        inherited_.loop->timers().cancel(*this);
        stop_.unlink();
    }
    bool passed() const noexcept { return stop_.reason() == errc::timed_out; }
    duration span() const noexcept { return span_; }

private:
    static void expired(timer& entry) noexcept {
        static_cast<time_limit&>(entry).stop_.request_stop(errc::timed_out);
    }

    duration span_;
    environment inherited_{};
    linked_stop_source stop_;
};

/// See timeout() and deadline_in().
template <awaitable Awaitable, bool gives_result>
class [[nodiscard]] limited : public await_in_task<limited<Awaitable, gives_result>> {
    using value = awaited<Awaitable>;

public:
    limited(duration span, Awaitable&& operation) noexcept
        : limit_(span), operation_(std::move(operation)) {}
    limited(limited&& unstarted) noexcept
        : limit_(unstarted.limit_.span()), operation_(std::move(unstarted.operation_)) {}

    started start(environment& inherited, std::coroutine_handle<> waiter) {
        return operation_.start(limit_.enter(inherited), waiter);
    }
    auto finish() {
        limit_.leave();
        if constexpr (!gives_result || is_result<value>) {
            return operation_.finish();
        } else if constexpr (std::is_void_v<value>) {
            operation_.finish();
            return limit_.passed() ? result<void>(errc::timed_out) : result<void>();
        } else {
            result<value> finished(operation_.finish());
            if (limit_.passed()) finished = errc::timed_out;
            return finished;
        }
    }

private:
    time_limit limit_;
    Awaitable operation_;
};

/// Asks the operation or task to stop once the time has passed, and waits until it has: it then
/// gives errc::timed_out, unless it succeeded all the same, for no success is lost. A task that
/// gives no result but a plain value gives result<value> here, and errc::timed_out where the time
/// had passed at its end. A time of zero or less asks at once. Allocates nothing.
template <class Rep, class Period, awaitable Awaitable>
limited<Awaitable, true> timeout(std::chrono::duration<Rep, Period> span, Awaitable operation) {
    return {saturate(span), std::move(operation)};
}

/// Runs the operation or task under a deadline that everything awaited inside inherits: what still
/// waits then gives errc::timed_out. Gives what the task itself gives.
template <class Rep, class Period, awaitable Awaitable>
limited<Awaitable, false> deadline_in(std::chrono::duration<Rep, Period> span,
                                      Awaitable operation) {
    return {saturate(span), std::move(operation)};
}

}  // namespace coho
