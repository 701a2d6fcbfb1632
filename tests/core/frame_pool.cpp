#include "catch.hpp"
#include "support/child_process.hpp"

#include <coho/core/frame_pool.hpp>

#include <csignal>
#include <bit>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
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

TEST_CASE("AddressSanitizer sees that a frame is used after its end", "[frames]") {
    const auto end = support::run_in_child([] {
        frame_pool pool;
        auto* frame = static_cast<volatile char*>(frame_pool::allocate(&pool, 100));
        frame_pool::deallocate(const_cast<char*>(frame));
        (void)frame[50];
        return 0;
    });
    CHECK(end.says("ERROR: AddressSanitizer") == coho::has_address_sanitizer);
    CHECK((end.status == 0) == !coho::has_address_sanitizer);
}

TEST_CASE("a frame's memory goes home to the pool that it came from", "[frames]") {
    frame_pool first, second;
    void* frame = frame_pool::allocate(&first, 100);
    void* other = frame_pool::allocate(&second, 100);
    frame_pool::deallocate(other);
    frame_pool::deallocate(frame);
    CHECK(first.live() == 0);
    CHECK(first.kept_bytes() > 0);
    CHECK(first.kept_bytes() == second.kept_bytes());
}

TEST_CASE("huge frames are not kept, and no block is a quarter larger than asked", "[frames]") {
    frame_pool pool;
    frame_pool::deallocate(frame_pool::allocate(&pool, 300 << 10));
    CHECK(pool.kept_bytes() == 0);
    for (std::size_t size = 1024; size < (250 << 10); size += 1000) {
        frame_pool fresh;
        frame_pool::deallocate(frame_pool::allocate(&fresh, size));
        CHECK(fresh.kept_bytes() > size);
        CHECK(fresh.kept_bytes() <= (size + 64) * 5 / 4);
    }
}

TEST_CASE("frames of different sizes never share a block", "[frames]") {
    frame_pool pool;
    std::mt19937 random(5);
    std::vector<std::pair<unsigned char*, std::size_t>> frames;
    int overwritten = 0;
    for (int i = 0; i < 50'000; ++i) {
        if (frames.size() < 200 && random() % 2) {
            const std::size_t size = 1 + random() % (random() % 8 ? 2000 : 300'000);
            auto* frame = static_cast<unsigned char*>(frame_pool::allocate(&pool, size));
            frame[0] = frame[size - 1] = static_cast<unsigned char>(size);
            frames.emplace_back(frame, size);
        } else if (!frames.empty()) {
            std::swap(frames[random() % frames.size()], frames.back());
            const auto [frame, size] = frames.back();
            const auto mark = static_cast<unsigned char>(size);
            if (frame[0] != mark || frame[size - 1] != mark) ++overwritten;
            frame_pool::deallocate(frame);
            frames.pop_back();
        }
    }
    CHECK(overwritten == 0);
    CHECK(pool.live() == frames.size());
    for (const auto& each : frames) frame_pool::deallocate(each.first);
}

TEST_CASE("a frame is never given a block too small, at any bound between sizes", "[frames]") {
    frame_pool pool;
    std::size_t block = 0;
    int sizes = 0, too_small = 0, other_block = 0;
    for (std::size_t size = 1; size < (256 << 10) - 64; ++size) {
        const auto before = pool.kept_bytes();
        auto* frame = static_cast<char*>(frame_pool::allocate(&pool, size));
        const auto reused = before - pool.kept_bytes();
        frame[size - 1] = 1;
        frame_pool::deallocate(frame);
        if (reused == 0) {
            block = pool.kept_bytes() - before;
            ++sizes;
        } else if (reused != block) {
            ++other_block;
        }
        if (block <= size) ++too_small;
    }
    CHECK(too_small == 0);
    CHECK(other_block == 0);
    CHECK(sizes < 100);
}
