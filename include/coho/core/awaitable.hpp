#pragma once

#include "environment.hpp"
#include "operation.hpp"

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

namespace coho {

/// What can be awaited in a task: a task or an operation. It is started once, in the place where it
/// stays until it is over, and then asked for what came of it.
///
/// start() returns `done` where it finished at once, and resumes nobody; else it returns `pending`
/// and the waiter is put in the loop's ready queue at the end. finish() gives the value, or throws.
template <class T>
concept awaitable = requires(T& each, environment& inherited, std::coroutine_handle<> waiter) {
    { each.start(inherited, waiter) } -> std::same_as<started>;
    each.finish();
};

/// What awaiting it gives.
template <awaitable T>
using awaited = decltype(std::declval<T&>().finish());

/// Makes a class with start() and finish() its own awaiter.
template <class Self>
class await_in_task {
public:
    bool await_ready() const noexcept { return false; }

    template <class Promise>
        requires requires(Promise& promise) {
            { promise.inherited() } -> std::same_as<environment&>;
        }
    bool await_suspend(std::coroutine_handle<Promise> waiter) {
        return self().start(waiter.promise().inherited(), waiter) == started::pending;
    }
    decltype(auto) await_resume() { return self().finish(); }

private:
    Self& self() noexcept { return static_cast<Self&>(*this); }
};

}  // namespace coho
