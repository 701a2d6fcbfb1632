#pragma once

#include "world.hpp"

namespace worlds {

inline task<> sleep_a_while(world* here, coho::duration span) {
    const auto begin = coho::now();
    const bool slept = co_await coho::sleep(span);
    if (slept && coho::now() - begin < span) here->broke(no_timer_is_early);
}
/// Nobody ever writes on the other side.
inline task<> read_in_vain(world* here, endpoint where, coho::duration limit) {
    std::array<std::byte, 64> buffer;
    const auto begin = coho::now();
    try {
        auto connection = co_await connect_from(0, where);
        if (connection) {
            auto received = co_await coho::timeout(limit, connection->read_some(buffer));
            if (received) here->broke(bytes_as_they_were_sent);
            const bool timed_out = !received && received.error() == errc::timed_out;
            if (timed_out && coho::now() - begin < limit) here->broke(no_timer_is_early);
        }
    } catch (const std::bad_alloc&) {
    }
}
inline task<> stay_silent(stream connection) {
    std::array<std::byte, 64> buffer;
    while (co_await coho::timeout(60s, connection.read_some(buffer))) {}
}
inline task<> race_two(world* here, coho::duration left, coho::duration right) {
    const auto begin = coho::now();
    try {
        auto race = co_await coho::race(coho::sleep(left), coho::sleep(right));
        const auto shorter = left < right ? left : right;
        const bool somebody_slept = coho::get<0>(race) || coho::get<1>(race);
        if (somebody_slept && coho::now() - begin < shorter) here->broke(no_timer_is_early);
    } catch (const std::bad_alloc&) {
    }
}

inline task<> close_later(listener* closed, coho::duration span) {
    co_await coho::sleep(span);
    co_await closed->close();
}
/// Nobody connects, and the listener is closed under the one who waits.
inline task<> accept_until_closed(world* here, coho::duration span) {
    coho::task_group closers;
    auto listening = listener::bind(endpoint::loopback(0));
    bool closes = false, ended = false;
    if (listening) closes = co_await closers.spawn(close_later, &*listening, span);
    try {
        if (closes) {
            auto accepted = co_await coho::timeout(10min, listening->accept());
            ended = !accepted && accepted.error() != errc::timed_out;
        }
    } catch (const std::bad_alloc&) {
        ended = true;
    }
    if (closes && !ended) here->broke(a_close_ends_what_waits);
    co_await closers.join();
}

/// Children of many kinds under a group that is stopped at some moment, and groups below it.
inline task<> busy_group(world* here, endpoint where, int depth) {
    coho::task_group children({.max_live = 1 + here->random.below(12),
                               .drain = here->random.up_to(2s)});
    const auto count = here->random.below(16);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto span = here->random.up_to(5s) + coho::duration(1);
        const auto other = here->random.up_to(5s) + coho::duration(1);
        const auto kind = here->random.below(6);
        if (kind == 0) co_await children.spawn(sleep_a_while, here, span);
        if (kind == 1) co_await children.spawn(read_in_vain, here, where, span);
        if (kind == 2) co_await children.spawn(race_two, here, span, other);
        if (kind == 3 && depth > 0) co_await children.spawn(busy_group, here, where, depth - 1);
        if (kind == 4) co_await coho::sleep(span / 8);
        if (kind == 5) co_await children.spawn(accept_until_closed, here, span);
    }
    if (here->random.one_in(2)) {
        co_await coho::sleep(here->random.up_to(1s));
        children.request_stop();
        const bool started = co_await children.spawn(sleep_a_while, here, coho::duration(1s));
        if (started) here->broke(a_stop_is_told_as_one);
    }
    co_await children.join();
    if (children.live() != 0) here->broke(a_stop_is_told_as_one);
}

inline task<> group_world(world* here, company* programs) {
    const auto where = endpoint::loopback(9);
    const auto groups = 1 + here->random.below(12);
    co_await programs->servers.spawn(serve_on<task<> (*)(stream)>, here, where, &stay_silent);
    for (std::uint64_t i = 0; i < groups; ++i) {
        co_await programs->clients.spawn(busy_group, here, where, 3);
    }
}

}  // namespace worlds
