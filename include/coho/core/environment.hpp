#pragma once

#include "clock.hpp"

namespace coho {

class event_loop;
class stop_source;

/// What a task inherits from the one that awaits or spawns it. Whoever gives it to a child keeps
/// it, and the stop source it points to, until the child has ended.
struct environment {
    event_loop* loop;
    stop_source* stop;
    deadline until = never;
};

}  // namespace coho
