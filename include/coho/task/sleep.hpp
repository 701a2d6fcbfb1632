#pragma once

#include "../core/awaitable.hpp"
#include "../core/event_loop.hpp"

namespace coho {

/// See sleep() and sleep_until().
class [[nodiscard]] sleeping : public await_in_task<sleeping>,
                               private timer,
                               private stop_callback {
public:
    explicit sleeping(duration span) noexcept
        : timer(&woken), stop_callback(&stopped), span_(span) {}
    explicit sleeping(deadline until) noexcept
        : timer(&woken), stop_callback(&stopped), until_(until) {}
    sleeping(sleeping&& unstarted) noexcept : sleeping(unstarted.until_) {
        span_ = unstarted.span_;
    }

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        loop_ = inherited.loop;
        if (inherited.stop->stop_requested()) {
            slept_ = false;
            return started::done;
        }
        const auto now = loop_->now();
        const auto until = until_ == by_span ? deadline_after(now, span_) : until_;
        place_.waiter = waiter;
        if (until <= now) {
            loop_->resume_later(place_);
        } else {
            loop_->timers().arm(*this, until);
            connect(*inherited.stop);
        }
        return started::pending;
    }
    bool finish() noexcept { return slept_; }

private:
    static void woken(timer& expired) noexcept {
        auto& self = static_cast<sleeping&>(expired);
        self.disconnect();
        self.loop_->resume_later(self.place_);
    }
    static void stopped(stop_callback& callback, errc) noexcept {
        auto& self = static_cast<sleeping&>(callback);
        self.slept_ = false;
        self.loop_->timers().cancel(self);
        self.loop_->resume_later(self.place_);
    }

    static constexpr deadline by_span = long_ago;

    duration span_{};
    deadline until_ = by_span;
    event_loop* loop_ = nullptr;
    resumption place_;
    bool slept_ = true;
};

/// Waits at least that long; zero or less lets others have their turn. True, or false where stop
/// was asked.
template <class Rep, class Period>
sleeping sleep(std::chrono::duration<Rep, Period> span) noexcept {
    return sleeping(saturate(span));
}

/// Waits until coho::now() is at least `until`; `never` waits for stop alone.
inline sleeping sleep_until(deadline until) noexcept { return sleeping(until); }

}  // namespace coho
