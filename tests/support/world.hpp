#pragma once

#include "catch.hpp"
#include "kernels.hpp"

#include <coho.hpp>

#include <type_traits>
#include <utility>

/// Runs a task in a scheduler of its own, and checks that it leaves no coroutine frame behind.
namespace support {

template <class Backend, class Function, class... Arguments>
void run_on(Function&& function, Arguments&&... arguments) {
    coho::scheduler<Backend> world;
    CHECK(world.run(std::forward<Function>(function), std::forward<Arguments>(arguments)...) == 0);
    CHECK(world.frames().live() == 0);
}

/// For what does not depend on the kernel.
template <class Function, class... Arguments>
void run(Function&& function, Arguments&&... arguments) {
    run_on<any_kernel>(std::forward<Function>(function), std::forward<Arguments>(arguments)...);
}

}  // namespace support
