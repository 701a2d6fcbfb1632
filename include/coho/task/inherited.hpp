#pragma once

#include "../core/awaitable.hpp"
#include "../core/event_loop.hpp"

namespace coho {

/// See inherited().
class [[nodiscard]] reading_environment : public await_in_task<reading_environment> {
public:
    started start(environment& inherited, std::coroutine_handle<>) noexcept {
        inherited_ = &inherited;
        return started::done;
    }
    environment& finish() const noexcept { return *inherited_; }

private:
    environment* inherited_ = nullptr;
};

/// What this task inherited: its loop, its stop source and its deadline. Valid while the task runs.
inline reading_environment inherited() noexcept { return {}; }

/// See stop_requested().
class [[nodiscard]] reading_stop : public await_in_task<reading_stop> {
public:
    started start(environment& inherited, std::coroutine_handle<>) noexcept {
        requested_ = inherited.stop->stop_requested();
        return started::done;
    }
    bool finish() const noexcept { return requested_; }

private:
    bool requested_ = false;
};

/// Whether this task was asked to stop; for long computations that wait for nothing.
inline reading_stop stop_requested() noexcept { return {}; }

}  // namespace coho
