#pragma once

#include <cstdio>
#include <cstdlib>

namespace coho {

/// Ends the process with a sentence. For mistakes of the program, never for what a network can do.
[[noreturn]] inline void give_up(const char* sentence) noexcept {
    std::fprintf(stderr, "coho: %s\n", sentence);
    std::abort();
}

/// Stays on in release builds: each use costs a compare against memory that is at hand anyway.
constexpr void check(bool holds, const char* sentence) noexcept {
    if (!holds) [[unlikely]] {
        give_up(sentence);
    }
}

}  // namespace coho
