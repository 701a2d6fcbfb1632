#pragma once

#include "either.hpp"
#include "epoll.hpp"
#include "io_uring.hpp"

namespace coho {

/// The kernel of this system, chosen when the program starts.
using native = either<io_uring, epoll>;

static_assert(backend<native>);

}  // namespace coho
