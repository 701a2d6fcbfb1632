#pragma once

/// coho: sockets to co_await, on io_uring or epoll. This is the front door; each header also stands
/// alone.

#include "coho/core/allocation_guard.hpp"
#include "coho/core/awaitable.hpp"
#include "coho/core/check.hpp"
#include "coho/core/clock.hpp"
#include "coho/core/environment.hpp"
#include "coho/core/error.hpp"
#include "coho/core/event_loop.hpp"
#include "coho/core/frame_pool.hpp"
#include "coho/core/operation.hpp"
#include "coho/core/result.hpp"
#include "coho/core/sanitizers.hpp"
#include "coho/core/stop.hpp"
#include "coho/core/timer.hpp"

#include "coho/buffer/buffer_pool.hpp"
#include "coho/buffer/byte_ring.hpp"
#include "coho/buffer/lease.hpp"

#include "coho/task/inherited.hpp"
#include "coho/task/race.hpp"
#include "coho/task/siblings.hpp"
#include "coho/task/sleep.hpp"
#include "coho/task/task.hpp"
#include "coho/task/task_group.hpp"
#include "coho/task/timeout.hpp"
#include "coho/task/when_all.hpp"
#include "coho/task/yield.hpp"

#include "coho/backend/concept.hpp"
#include "coho/backend/either.hpp"
#include "coho/backend/endpoint.hpp"
#include "coho/backend/faulty.hpp"
#include "coho/backend/native.hpp"
#include "coho/backend/options.hpp"
#include "coho/backend/request.hpp"
#include "coho/backend/simulated.hpp"

#include "coho/scheduler/perform.hpp"
#include "coho/scheduler/run.hpp"
#include "coho/scheduler/scheduler.hpp"
#include "coho/scheduler/simulate.hpp"

#include "coho/net/bytes.hpp"
#include "coho/net/file.hpp"
#include "coho/net/foreign_handle.hpp"
#include "coho/net/resolve.hpp"
#include "coho/net/tcp_listener.hpp"
#include "coho/net/tcp_stream.hpp"
#include "coho/net/udp_socket.hpp"
