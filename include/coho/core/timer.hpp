#pragma once

#include "check.hpp"
#include "clock.hpp"

#include <array>
#include <bit>
#include <cstdint>

namespace coho {

/// Armed in a timer_queue, it is called once when its time has come, never before. It must not
/// resume coroutines: it marks, cancels and queues.
class timer {
public:
    explicit timer(void (*expire)(timer&) noexcept) noexcept : expire_(expire) {}
    timer(const timer&) = delete;
    timer& operator=(const timer&) = delete;
    ~timer() {
        check(!armed_, "a coroutine was destroyed while it waits for its time; ask it to stop and "
                       "await its end instead");
    }

    bool armed() const noexcept { return armed_; }

private:
    friend class timer_queue;
    void (*expire_)(timer&) noexcept;
    timer* previous_ = nullptr;
    timer* next_ = nullptr;
    std::uint64_t expiry_ = 0;
    std::uint8_t level_ = 0;
    std::uint8_t slot_ = 0;
    bool armed_ = false;
};

/// A hierarchical timing wheel (Varghese and Lauck, 1987): arming and cancelling take constant time
/// and no memory. A timer fires at most one tick (65.5 microseconds) after its deadline, plus what
/// the loop is late.
///
/// A timer sits at the level of the highest digit (base 64) in which its tick differs from the
/// current one, so whatever lies on a lower level expires before whatever lies on a higher. One
/// thread.
class timer_queue {
public:
    static constexpr duration tick{1 << 16};

    explicit timer_queue(time_point now) noexcept : current_(ticks_before(now)) {}

    bool empty() const noexcept { return levels_in_use_ == 0; }

    /// A deadline of `never`, or within the clock's last tick, leaves the timer unarmed; one that
    /// has passed fires at the next tick.
    void arm(timer& entry, deadline until) noexcept {
        if (until > never - tick) return;
        const auto before = ticks_before(until);
        const auto on_the_tick = until.time_since_epoch() % tick == duration::zero();
        const auto expiry = on_the_tick ? before : before + 1;
        entry.expiry_ = expiry > current_ ? expiry : current_ + 1;
        entry.armed_ = true;
        insert(entry);
    }

    void cancel(timer& entry) noexcept {
        if (!entry.armed_) return;
        entry.armed_ = false;
        remove(entry);
    }

    /// Calls every timer whose deadline is not after now.
    void advance(time_point now) noexcept {
        const auto target = ticks_before(now);
        while (levels_in_use_) {
            const auto [level, slot] = earliest();
            const auto start = start_of(level, slot);
            if (start > target) break;
            current_ = start;
            while (auto* entry = slots_[level][slot]) {
                remove(*entry);
                // What waits on a higher level has come nearer and moves down, until it is due.
                if (entry->expiry_ > current_) {
                    insert(*entry);
                } else {
                    entry->armed_ = false;
                    entry->expire_(*entry);
                }
            }
        }
        if (target > current_) current_ = target;
    }

    /// When advance() has something to do next; `never` if there is no timer.
    deadline next() const noexcept {
        if (empty()) return never;
        const auto [level, slot] = earliest();
        return deadline(duration(start_of(level, slot) * tick.count()));
    }

private:
    static constexpr unsigned digit_bits = 6;
    static constexpr unsigned slots_per_level = 1U << digit_bits;
    // Ticks have 47 bits, for the clock has 63 of nanoseconds.
    static constexpr unsigned levels = 8;

    struct place {
        unsigned level;
        unsigned slot;
    };

    static std::uint64_t ticks_before(time_point when) noexcept {
        const auto count = when.time_since_epoch().count();
        return count < 0 ? 0 : static_cast<std::uint64_t>(count / tick.count());
    }

    place earliest() const noexcept {
        const auto level = static_cast<unsigned>(std::countr_zero(levels_in_use_));
        return {level, static_cast<unsigned>(std::countr_zero(slots_in_use_[level]))};
    }

    std::uint64_t start_of(unsigned level, unsigned slot) const noexcept {
        const auto above = digit_bits * (level + 1);
        return (current_ >> above << above) | (std::uint64_t(slot) << (digit_bits * level));
    }

    void insert(timer& entry) noexcept {
        const auto differing = std::bit_width((entry.expiry_ ^ current_) | 1U) - 1;
        const auto level = static_cast<unsigned>(differing) / digit_bits;
        const auto slot = (entry.expiry_ >> (digit_bits * level)) % slots_per_level;
        entry.level_ = static_cast<std::uint8_t>(level);
        entry.slot_ = static_cast<std::uint8_t>(slot);
        entry.previous_ = nullptr;
        entry.next_ = slots_[level][slot];
        if (entry.next_) entry.next_->previous_ = &entry;
        slots_[level][slot] = &entry;
        slots_in_use_[level] |= std::uint64_t(1) << slot;
        levels_in_use_ |= 1U << level;
    }

    void remove(timer& entry) noexcept {
        if (entry.next_) entry.next_->previous_ = entry.previous_;
        if (entry.previous_) {
            entry.previous_->next_ = entry.next_;
            return;
        }
        slots_[entry.level_][entry.slot_] = entry.next_;
        if (entry.next_) return;
        slots_in_use_[entry.level_] &= ~(std::uint64_t(1) << entry.slot_);
        if (!slots_in_use_[entry.level_]) levels_in_use_ &= ~(1U << entry.level_);
    }

    std::uint64_t current_;
    unsigned levels_in_use_ = 0;
    std::array<std::uint64_t, levels> slots_in_use_{};
    std::array<std::array<timer*, slots_per_level>, levels> slots_{};
};

}  // namespace coho
