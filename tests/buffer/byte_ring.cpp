#include "catch.hpp"

#include <coho/buffer/byte_ring.hpp>

#include <algorithm>
#include <cstdint>
#include <random>

using coho::byte_ring;

namespace {

std::byte numbered(std::uint64_t place) { return static_cast<std::byte>(place * 31 % 251); }

}  // namespace

TEST_CASE("a ring gives back what was written, in order and in one piece", "[ring]") {
    std::mt19937 random(1);
    for (const std::size_t capacity : {1, 2, 7, 64, 1000}) {
        byte_ring ring(capacity);
        std::uint64_t written = 0, read = 0;
        for (int step = 0; step < 20'000; ++step) {
            const auto room = ring.room();
            CHECK(room.size() == capacity - ring.size());
            const auto adds = random() % (room.size() + 1);
            for (std::size_t i = 0; i < adds; ++i) room[i] = numbered(written++);
            ring.commit(adds);
            const auto bytes = ring.bytes();
            REQUIRE(bytes.size() == written - read);
            std::uint64_t place = read;
            CHECK(std::all_of(bytes.begin(), bytes.end(),
                              [&](std::byte each) { return each == numbered(place++); }));
            const auto takes = random() % (bytes.size() + 1);
            ring.consume(takes);
            read += takes;
            CHECK(ring.empty() == (read == written));
            CHECK(ring.full() == (written - read == capacity));
        }
        CHECK(read > capacity);
    }
}

TEST_CASE("a ring moves each byte once at most on average", "[ring]") {
    constexpr std::size_t capacity = 1000;
    byte_ring ring(capacity);
    (void)ring.room();
    ring.commit(capacity);
    std::uint64_t moved = 0, consumed = 0;
    // The worst there is: always full but for one byte.
    for (int step = 0; step < 100'000; ++step) {
        ring.consume(1);
        ++consumed;
        const auto* before = ring.bytes().data();
        (void)ring.room();
        if (ring.bytes().data() != before) moved += ring.size();
        ring.commit(1);
    }
    CHECK(moved > 0);
    CHECK(moved <= consumed);
}
