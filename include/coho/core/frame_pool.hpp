#pragma once

#include "allocation_guard.hpp"
#include "check.hpp"
#include "sanitizers.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

namespace coho {

/// Recycles the memory of coroutine frames: a frame that ends leaves its block to the next of its
/// size. One thread. Blocks differ in size by at most a quarter; those above 256 KiB are not kept.
/// What is kept is forbidden, see forbid().
class frame_pool {
public:
    /// What is kept for reuse at most; beyond it, blocks go back to the heap.
    static constexpr std::size_t kept_bytes_limit = std::size_t(32) << 20;

    frame_pool() = default;
    frame_pool(const frame_pool&) = delete;
    frame_pool& operator=(const frame_pool&) = delete;
    ~frame_pool() {
        check(live_ == 0, "a scheduler ends while coroutine frames made in it are alive; "
                          "await or destroy every task before run() returns");
        for (auto& list : lists_) {
            while (list) {
                auto* block = list;
                list = block->next;
                ::operator delete(block);
            }
        }
    }

    /// Memory for a frame from the pool, or from the heap where pool is null. Throws
    /// std::bad_alloc.
    static void* allocate(frame_pool* pool, std::size_t size) {
        const auto wanted = block_of(size + sizeof(header));
        void* block = pool ? pool->take(wanted) : from_heap(wanted.size);
        return ::new (block) header{pool, wanted} + 1;
    }
    static void deallocate(void* frame) noexcept {
        auto* block = static_cast<header*>(frame) - 1;
        if (block->pool) block->pool->give_back(block, block->kind);
        else to_heap(block);
    }

    /// For tests: asks each time whether there shall be no memory. Recycled blocks count too, for
    /// what can be recycled differs with the compiler.
    void refuse_when(bool (*refuses)(void* with) noexcept, void* with) noexcept {
        refuses_ = refuses;
        refuses_with_ = with;
    }

    /// Frames alive now.
    std::size_t live() const noexcept { return live_; }
    /// Bytes kept for reuse now.
    std::size_t kept_bytes() const noexcept { return kept_bytes_; }

private:
    struct kind_of_block {
        std::uint32_t index;
        std::uint32_t size;
    };
    struct alignas(__STDCPP_DEFAULT_NEW_ALIGNMENT__) header {
        frame_pool* pool;
        kind_of_block kind;
    };
    struct free_block {
        free_block* next;
    };
    static constexpr std::uint32_t small_step = 16;
    // Heaps keep a word of their own with each block, and round the sum up to such steps.
    static constexpr std::uint32_t heap_word = sizeof(std::size_t);
    static constexpr std::uint32_t small_limit = 1024;
    static constexpr std::uint32_t large_limit = 256 << 10;
    static constexpr std::uint32_t small_kinds = small_limit / small_step + 1;
    static constexpr std::uint32_t kinds =
        small_kinds + 4 * (std::bit_width(large_limit) - std::bit_width(small_limit));

    static constexpr kind_of_block block_of(std::size_t wanted) noexcept {
        const auto size = static_cast<std::uint32_t>(wanted);
        if (size <= small_limit) {
            const auto steps = (size + heap_word + small_step - 1) / small_step;
            return {steps - 1, steps * small_step - heap_word};
        }
        const auto base = std::bit_floor(size - 1);
        const auto quarters = (size - base + base / 4 - 1) / (base / 4);
        const auto doublings =
            static_cast<std::uint32_t>(std::bit_width(base) - std::bit_width(small_limit));
        return {small_kinds + 4 * doublings + quarters - 1, base + quarters * (base / 4)};
    }

    static void* from_heap(std::size_t size) {
        allocation_guard::note("a coroutine frame", size);
        return ::operator new(size);
    }
    // Never inlined: g++ would take a frame's release for that of another allocator
    // (-Wmismatched-new-delete) where it sees this in line, and its allocation not.
    [[gnu::noinline]] static void to_heap(void* block) noexcept { ::operator delete(block); }

    void* take(kind_of_block wanted) {
        if (refuses_ && refuses_(refuses_with_)) throw std::bad_alloc();
        void* block;
        if (wanted.index < kinds && lists_[wanted.index]) {
            block = lists_[wanted.index];
            lists_[wanted.index] = lists_[wanted.index]->next;
            kept_bytes_ -= wanted.size;
            allow(block, wanted.size);
        } else {
            block = from_heap(wanted.size);
        }
        ++live_;
        return block;
    }
    void give_back(void* block, kind_of_block kind) noexcept {
        --live_;
        if (kind.index >= kinds || kept_bytes_ + kind.size > kept_bytes_limit) {
            to_heap(block);
            return;
        }
        lists_[kind.index] = ::new (block) free_block{lists_[kind.index]};
        forbid(lists_[kind.index] + 1, kind.size - sizeof(free_block));
        kept_bytes_ += kind.size;
    }

    std::array<free_block*, kinds> lists_{};
    std::size_t kept_bytes_ = 0;
    std::size_t live_ = 0;
    bool (*refuses_)(void*) noexcept = nullptr;
    void* refuses_with_ = nullptr;
};

}  // namespace coho
