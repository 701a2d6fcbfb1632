// Whole programs in thousands of simulated worlds; each seed runs one of them. `--seed N --log`
// replays one.

#include "groups.hpp"
#include "requests.hpp"
#include "streams.hpp"

namespace {

using worlds::world;

constexpr std::array programs_of_worlds{
    &worlds::echo_world,     &worlds::proxy_world,    &worlds::request_world,
    &worlds::disaster_world, &worlds::datagram_world, &worlds::group_world};

/// Until all have ended. Memory that was denied may come out of a join, and no other exception.
coho::task<> run_programs(world* here) {
    worlds::company programs;
    bool lacked_memory = false;
    const auto program = programs_of_worlds[worlds::network().seed() % programs_of_worlds.size()];
    try {
        co_await program(here, &programs);
    } catch (const std::bad_alloc&) {
        lacked_memory = true;
    }
    try {
        co_await programs.clients.join();
    } catch (const std::bad_alloc&) {
        lacked_memory = true;
    }
    // A stop that is to come comes: it must end what waits for it alone.
    if (here->is_stopped()) co_await coho::sleep_until(coho::never);
    programs.servers.request_stop();
    try {
        co_await programs.servers.join();
    } catch (const std::bad_alloc&) {
        lacked_memory = true;
    }
    if (lacked_memory && !here->may_lack_memory()) here->broke(worlds::memory_where_none_is_denied);
}

coho::task<int> any_world() {
    world here{coho::seeded_generator(coho::scatter(worlds::network().seed()))};
    const auto begin = coho::now();
    auto& on = coho::scheduler<worlds::kernel>::current();
    // So few that connections wait for one another.
    on.use_buffers({.count = 1 + here.random.below(4), .size = 1 + here.random.below(2000)});
    (void)co_await coho::timeout(worlds::bound, run_programs(&here));
    if (coho::now() - begin >= worlds::bound) here.broke(worlds::an_end_within_bounds);
    const auto& buffers = on.buffers();
    if (buffers.leased() > 0 || buffers.waiting() > 0) here.broke(worlds::buffers_come_home);
    const auto asked = worlds::network().stop_asked_at();
    if (asked != coho::never && coho::now() - asked >= worlds::longest_drain) {
        here.broke(worlds::a_stop_is_heard_at_once);
    }
    co_return here.broken;
}

}  // namespace

int main(int argc, char** argv) {
    return coho::simulate(argc, argv, any_world, {.most_turns = 5'000'000});
}
