#include "catch.hpp"
#include "support/child_process.hpp"

#include <coho/core/frame_pool.hpp>

#include <csignal>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

using coho::frame_pool;

TEST_CASE("a frame that ends leaves its memory to the next of its size", "[frames]") {
    frame_pool pool;
    void* first = frame_pool::allocate(&pool, 200);
    CHECK(pool.live() == 1);
    frame_pool::deallocate(first);
    CHECK(pool.live() == 0);
    CHECK(pool.kept_bytes() >= 200);
    void* second = frame_pool::allocate(&pool, 200);
    CHECK(second == first);
    CHECK(pool.kept_bytes() == 0);
    frame_pool::deallocate(second);
}

TEST_CASE("a frame of any size is aligned and all of it can be used", "[frames]") {
    frame_pool pool;
    std::vector<void*> frames;
    for (std::size_t size = 17; size < 600'000; size = size * 9 / 8 + 1) {
        for (const std::size_t exact : {size, std::bit_ceil(size) - 16, std::bit_ceil(size)}) {
            auto* frame = frame_pool::allocate(&pool, exact);
            CHECK(reinterpret_cast<std::uintptr_t>(frame) % __STDCPP_DEFAULT_NEW_ALIGNMENT__ == 0);
            std::memset(frame, 0x5a, exact);
            frames.push_back(frame);
        }
    }
    CHECK(pool.live() == frames.size());
    for (auto* each : frames) frame_pool::deallocate(each);
    CHECK(pool.live() == 0);
}

TEST_CASE("what is kept for reuse has a limit", "[frames]") {
    frame_pool pool;
    std::vector<void*> frames;
    for (int i = 0; i < 1000; ++i) frames.push_back(frame_pool::allocate(&pool, 100'000));
    for (auto* each : frames) frame_pool::deallocate(each);
    CHECK(pool.kept_bytes() <= frame_pool::kept_bytes_limit);
    CHECK(pool.kept_bytes() > frame_pool::kept_bytes_limit / 2);
}

TEST_CASE("without a pool, frames come from the heap", "[frames]") {
    void* frame = frame_pool::allocate(nullptr, 64);
    std::memset(frame, 1, 64);
    frame_pool::deallocate(frame);
}

TEST_CASE("a pool that ends before its frames ends the program", "[frames]") {
    const auto end = support::run_in_child([] {
        frame_pool pool;
        (void)frame_pool::allocate(&pool, 64);
        return 0;
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.says("coroutine frames"));
}
