#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace coho {

/// For tests: while one of these lives, the first allocation of this thread ends the program with a
/// sentence, and the stack of that abort says whose it is. Tasks that run meanwhile on the thread
/// are watched as well; other threads are not.
///
/// It sees what coho asks the heap for: coroutine frames that find no room in their pool, posted
/// functions, pools of buffers, and what kernels keep of sockets and listeners. A program that
/// calls note() from its own operator new lets it see all the others. For real kernels: the network
/// of a simulated one is kept on the heap.
class [[nodiscard]] allocation_guard {
public:
    allocation_guard() noexcept { ++alive_; }
    allocation_guard(const allocation_guard&) = delete;
    allocation_guard& operator=(const allocation_guard&) = delete;
    ~allocation_guard() { --alive_; }

    /// The heap is asked for so many bytes, for that.
    static void note(const char* what, std::size_t bytes) noexcept {
        if (alive_ > 0) [[unlikely]] {
            refuse(what, bytes);
        }
    }

private:
    [[noreturn]] static void refuse(const char* what, std::size_t bytes) noexcept {
        // Who prints or aborts may allocate.
        alive_ = 0;
        std::fprintf(stderr,
                     "coho: %s of %zu bytes was allocated while an allocation_guard was alive; the "
                     "stack says for whom\n",
                     what, bytes);
        std::abort();
    }

    static inline thread_local int alive_ = 0;
};

}  // namespace coho
