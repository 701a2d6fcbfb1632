#pragma once

#include "../core/awaitable.hpp"
#include "../core/event_loop.hpp"

namespace coho {

/// See yield().
class [[nodiscard]] yielding : public await_in_task<yielding> {
public:
    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        place_.waiter = waiter;
        inherited.loop->resume_later(place_);
        return started::pending;
    }
    void finish() const noexcept {}

private:
    resumption place_;
};

/// Goes to the end of the ready queue, so that others have their turn.
inline yielding yield() noexcept { return {}; }

}  // namespace coho
