#pragma once

#include "catch.hpp"

#include <coho.hpp>

namespace support {

/// Stops a receive in each round, about when a datagram of the peer's comes, and checks that none is
/// lost. receive() is a task that receives one datagram, and gives false where it was stopped.
template <class Peer, class Receive>
coho::task<> race_datagrams_with_stops(int rounds, Peer& peer, Receive receive) {
    int sent = 0, received = 0, stopped = 0;
    const auto send = [&] {
        peer.send("x");
        ++sent;
    };
    const auto receive_one = [&]() -> coho::task<> {
        const bool came = co_await receive();
        ++(came ? received : stopped);
    };
    for (int round = 1; round <= rounds; ++round) {
        coho::task_group group;
        co_await group.spawn(receive_one);
        for (int turn = 0; turn < round / 3 % 3; ++turn) co_await coho::yield();
        // A datagram before the stop, after it, or none.
        if (round % 3 == 0) send();
        group.request_stop();
        if (round % 3 == 1) send();
        co_await group.join();
        // Before the socket is so full that the system drops some.
        while (round % 20 == 0 && received < sent) {
            const int before = received;
            co_await receive_one();
            // One that was lost does not come, however long run_on() lets it wait.
            REQUIRE(received > before);
        }
    }
    CHECK(received == sent);
    CHECK(stopped > 0);
}

}  // namespace support
