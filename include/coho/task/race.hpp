#pragma once

#include "siblings.hpp"

#include <cstddef>
#include <tuple>
#include <utility>

namespace coho {

/// What a race gives: who ended first, and what each of them gave. The loser was asked to stop, so
/// it mostly gives errc::cancelled; where it succeeded all the same, its success is here too.
template <class... T>
struct race_result {
    std::size_t winner;
    std::tuple<T...> values;
};

template <std::size_t Index, class... T>
auto& get(race_result<T...>& race) noexcept {
    return std::get<Index>(race.values);
}

/// See race().
template <class... T>
class [[nodiscard]] first_of : public await_in_task<first_of<T...>> {
public:
    explicit first_of(task<T>... tasks) noexcept : tasks_(std::move(tasks)...) {}
    first_of(first_of&& unstarted) noexcept : tasks_(std::move(unstarted.tasks_)) {}

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        return std::apply(
            [&](auto&... tasks) { return siblings_.start_all(inherited, waiter, tasks...); },
            tasks_);
    }
    auto finish() {
        siblings_.rethrow_exception();
        return std::apply(
            [this](auto&... tasks) {
                std::size_t winner = 0;
                // Counts those before the first that ended; the fold stops there.
                (void)((siblings_.ended_first(tasks) || (++winner, false)) || ...);
                using values = std::tuple<value_or_nothing<T>...>;
                return race_result<value_or_nothing<T>...>{winner, values(take_value(tasks)...)};
            },
            tasks_);
    }

private:
    std::tuple<task<T>...> tasks_;
    siblings siblings_{true};
};

/// Runs them side by side until the first ends, asks the others to stop and waits for them; no task
/// is left behind, and no success is lost. An exception of any is rethrown once all have ended.
template <awaitable... Awaitables>
auto race(Awaitables... operations) {
    return first_of(as_task(std::move(operations))...);
}

}  // namespace coho
