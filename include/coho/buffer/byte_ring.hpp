#pragma once

#include "../core/check.hpp"

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>

namespace coho {

/// Bytes between a stream and a parser: written at the end, read at the front, and always in one
/// piece, so that a parser may look at all of them. It never grows. What is left is moved to the
/// front now and then, each byte once at most on average: for that it has twice the memory.
///
///     auto received = co_await stream.read_some(ring.room());
///     ring.commit(*received);
///     while (auto size = parse(ring.bytes())) ring.consume(size);
class byte_ring {
public:
    /// Throws std::bad_alloc.
    explicit byte_ring(std::size_t capacity)
        : memory_(new std::byte[2 * capacity]), capacity_(capacity) {
        check(capacity > 0, "a byte_ring was made without room");
    }

    std::size_t capacity() const noexcept { return capacity_; }
    std::size_t size() const noexcept { return end_ - begin_; }
    bool empty() const noexcept { return begin_ == end_; }
    /// Nothing can be written until something is consumed.
    bool full() const noexcept { return size() == capacity_; }

    /// What was written and not consumed. It moves when room() is called.
    std::span<std::byte> bytes() const noexcept { return {memory_.get() + begin_, size()}; }

    /// Where to write next: all that is free.
    std::span<std::byte> room() noexcept {
        const auto left = capacity_ - size();
        if (2 * capacity_ - end_ < left) {
            // More was consumed since the last time than is left to be moved.
            std::memmove(memory_.get(), memory_.get() + begin_, size());
            end_ -= begin_;
            begin_ = 0;
        }
        return {memory_.get() + end_, left};
    }
    /// The first so many bytes of room() were written.
    void commit(std::size_t count) noexcept {
        check(count <= capacity_ - size(), "more was committed to a byte_ring than its room");
        end_ += count;
    }
    /// The first so many of bytes() are not needed any more.
    void consume(std::size_t count) noexcept {
        check(count <= size(), "more was consumed of a byte_ring than its bytes");
        begin_ += count;
        if (begin_ == end_) begin_ = end_ = 0;
    }

private:
    std::unique_ptr<std::byte[]> memory_;
    std::size_t capacity_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace coho
