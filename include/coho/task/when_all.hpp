#pragma once

#include "siblings.hpp"

#include <tuple>
#include <utility>

namespace coho {

/// See when_all().
template <class... T>
class [[nodiscard]] all_of : public await_in_task<all_of<T...>> {
public:
    explicit all_of(task<T>... tasks) noexcept : tasks_(std::move(tasks)...) {}
    all_of(all_of&& unstarted) noexcept : tasks_(std::move(unstarted.tasks_)) {}

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        return std::apply(
            [&](auto&... tasks) { return siblings_.start_all(inherited, waiter, tasks...); },
            tasks_);
    }
    auto finish() {
        siblings_.rethrow_exception();
        return std::apply(
            [](auto&... tasks) {
                return std::tuple<value_or_nothing<T>...>(take_value(tasks)...);
            },
            tasks_);
    }

private:
    std::tuple<task<T>...> tasks_;
    siblings siblings_{false};
};

/// Runs all of them side by side and gives their values as a tuple, `nothing` for void. The first
/// exception asks the others to stop and is rethrown once all have ended.
template <awaitable... Awaitables>
auto when_all(Awaitables... operations) {
    return all_of(as_task(std::move(operations))...);
}

}  // namespace coho
