#pragma once

#include <cstddef>

/// Counts what operator new is asked for, lets it fail, and tells allocation_guard of it: for
/// programs linked with allocations.cpp.
namespace support {

/// Allocations made so far by the whole program.
std::size_t allocations() noexcept;

/// Lets the allocation of that number from now on fail, 1 being the next; 0 lets none fail.
void fail_allocation(std::size_t number) noexcept;

}  // namespace support
