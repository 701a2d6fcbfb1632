#pragma once

#include "../core/clock.hpp"
#include "../core/frame_pool.hpp"
#include "../core/operation.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace coho {

/// What can go wrong in a simulated world, and part of it over a real kernel.
enum class fault : std::uint8_t {
    // How a kernel may behave at any time.
    short_transfer,        ///< a read or a write moves less than it could
    pending_start,         ///< what could be done at once is pending first
    late_completion,       ///< handed back some time after it was done
    reordered_completion,  ///< handed back in another order than they were done
    partial_completion,    ///< not all that is done is handed back in one turn
    idle_wake,             ///< the kernel wakes the loop for nothing
    late_cancel,           ///< what is cancelled goes on for a while, and may succeed
    scribbled_buffer,      ///< the kernel also writes where it reports no bytes
    reused_handle,         ///< a handle's number goes at once to the next socket
    accept_ahead,          ///< connections take their handles before anybody asks (multishot)
    // What a program must be ready for.
    lost_segment,          ///< TCP sends it again, later
    clock_jump,            ///< the machine sleeps, and the time has gone on
    failed_accept,         ///< a connection that broke, or a lack of descriptors or memory
    failed_open,           ///< no descriptor or no memory for a socket
    full_submission,       ///< the kernel takes no request now (EAGAIN)
    exhausted_buffers,     ///< the kernel has no memory for a transfer (ENOBUFS)
    failed_allocation,     ///< no memory for a coroutine frame
    connection_reset,
    early_end,             ///< the network ends a stream in order, in the middle
    half_open_peer,        ///< a peer vanishes without a word
    refused_connection,
    partition,             ///< the network between hosts is cut for a while
    lost_datagram,
    doubled_datagram,
    overtaken_datagram,
    stop_request,          ///< the root task is asked to stop, as by Ctrl-C
};

inline constexpr std::size_t fault_kinds = static_cast<std::size_t>(fault::stop_request) + 1;

constexpr std::string_view name_of(fault kind) noexcept {
    constexpr std::array<std::string_view, fault_kinds> names{
        "short transfers", "pending starts", "late completions", "reordered completions",
        "partial completions", "idle wakes", "late cancels", "scribbled buffers",
        "reused handles", "accepts ahead", "lost segments", "clock jumps", "failed accepts",
        "failed opens", "full submissions", "exhausted buffers", "failed allocations",
        "connection resets", "early ends", "half-open peers", "refused connections",
        "partitions", "lost datagrams", "doubled datagrams", "overtaken datagrams",
        "stop requests"};
    return names[static_cast<std::size_t>(kind)];
}

/// Kinds of faults.
class fault_set {
public:
    constexpr fault_set() noexcept = default;
    constexpr fault_set(std::initializer_list<fault> kinds) noexcept {
        for (const auto each : kinds) bits_ |= bit_of(each);
    }

    static constexpr fault_set none() noexcept { return {}; }
    static constexpr fault_set all() noexcept {
        return fault_set((std::uint32_t(1) << fault_kinds) - 1);
    }
    /// How a kernel may behave at any time: no right program notices those.
    static constexpr fault_set harmless() noexcept {
        return fault_set(bit_of(fault::lost_segment) - 1);
    }

    constexpr bool contains(fault kind) const noexcept { return bits_ & bit_of(kind); }
    constexpr bool contains(fault_set all) const noexcept { return !(all.bits_ & ~bits_); }
    constexpr fault_set with(fault kind) const noexcept { return fault_set(bits_ | bit_of(kind)); }
    constexpr fault_set without(fault kind) const noexcept {
        return fault_set(bits_ & ~bit_of(kind));
    }

    friend constexpr bool operator==(const fault_set&, const fault_set&) = default;
    /// Those that are in both.
    friend constexpr fault_set operator&(fault_set left, fault_set right) noexcept {
        return fault_set(left.bits_ & right.bits_);
    }

private:
    explicit constexpr fault_set(std::uint32_t bits) noexcept : bits_(bits) {}
    static constexpr std::uint32_t bit_of(fault kind) noexcept {
        return std::uint32_t(1) << static_cast<unsigned>(kind);
    }

    std::uint32_t bits_ = 0;
};

/// Spreads every bit of a number over all of them: the finalizer of SplitMix64 (Steele, Lea and
/// Flood, 2014).
constexpr std::uint64_t scatter(std::uint64_t number) noexcept {
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
    number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
    return number ^ (number >> 31);
}

/// SplitMix64: the same numbers from the same seed, with every compiler and on every system.
class seeded_generator {
public:
    explicit constexpr seeded_generator(std::uint64_t seed) noexcept : state_(seed) {}

    constexpr std::uint64_t next() noexcept { return scatter(state_ += 0x9e3779b97f4a7c15); }
    /// From 0 to bound - 1.
    constexpr std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }
    constexpr bool one_in(std::uint64_t count) noexcept { return below(count) == 0; }
    constexpr int one_of(std::initializer_list<int> numbers) noexcept {
        return numbers.begin()[below(numbers.size())];
    }
    /// Most spans are short, for it draws the magnitude first.
    constexpr duration up_to(duration longest) noexcept {
        const auto magnitude = below(8);
        const auto most = static_cast<std::uint64_t>(longest.count()) >> (2 * magnitude);
        return duration(static_cast<duration::rep>(most ? below(most) : 0));
    }
    /// Whether something of that probability, from 0 to 1, happens.
    constexpr bool happens(double probability) noexcept {
        return probability > 0 && static_cast<double>(next() >> 11) * 0x1p-53 < probability;
    }

private:
    std::uint64_t state_;
};

/// The faults that one seed has drawn, how often each strikes, and how often it has.
class fault_plan {
public:
    fault_plan(fault_set allowed, seeded_generator& random) noexcept : random_(&random) {
        // Each world knows some of them only, in its own mixture (swarm testing, Groce et al.,
        // 2012).
        const auto share = 1 + random.below(4);
        const bool gentle = random.one_in(4);
        for (std::size_t each = 0; each < fault_kinds; ++each) {
            const bool chosen = random.below(4) < share;
            rarity_[each] = std::uint64_t(4) << (2 * random.below(4));
            const auto kind = static_cast<fault>(each);
            if (gentle && !fault_set::harmless().contains(kind)) continue;
            if (chosen && allowed.contains(kind)) drawn_ = drawn_.with(kind);
        }
    }

    fault_set drawn() const noexcept { return drawn_; }
    bool has(fault kind) const noexcept { return in_force_ && drawn_.contains(kind); }
    /// Whether it happens here and now.
    bool strikes(fault kind) noexcept { return is_due(kind) && count(kind); }
    /// Whether it is to happen here and now, if it can; who lets it happen counts it.
    bool is_due(fault kind) noexcept {
        return has(kind) && random_->one_in(rarity_[static_cast<std::size_t>(kind)]);
    }
    /// Says that it has happened.
    bool count(fault kind) noexcept {
        ++struck_[static_cast<std::size_t>(kind)];
        return true;
    }
    std::uint64_t struck(fault kind) const noexcept {
        return struck_[static_cast<std::size_t>(kind)];
    }
    void put_in_force(bool now) noexcept { in_force_ = now; }
    /// What the seed has drawn, in words.
    std::string in_words(std::uint64_t seed) const {
        std::string words = "seed " + std::to_string(seed) + " has drawn ";
        const auto begin = words.size();
        for (std::size_t i = 0; i < fault_kinds; ++i) {
            const auto kind = static_cast<fault>(i);
            if (!drawn_.contains(kind)) continue;
            if (words.size() > begin) words.append(", ");
            words.append(name_of(kind));
        }
        if (words.size() == begin) words.append("no faults");
        return words;
    }

    /// What a transfer of so many bytes may move, at least one; who moves no more counts it.
    std::size_t cut_short(std::size_t most) noexcept {
        if (most < 2 || !is_due(fault::short_transfer)) return most;
        return 1 + random_->below(most - 1);
    }
    /// The number (errno) of a lack of descriptors or memory.
    int lacking() noexcept { return random_->one_of({EMFILE, ENFILE, ENOMEM, ENOBUFS}); }
    /// What accept(2) says of a connection that broke before it was taken.
    int broken_connection() noexcept {
        return random_->one_of({ECONNABORTED, EPROTO, EPERM, EINTR, ENETDOWN, ENETUNREACH,
                                EHOSTUNREACH, ENOPROTOOPT, EOPNOTSUPP});
    }
    /// The turn of the loop in which the root task is asked to stop; most are early.
    std::uint64_t turn_to_stop() noexcept {
        return 1 + (random_->below(4096) >> random_->below(12));
    }
    /// Strikes where coroutine frames want memory. The plan must outlive the pool's last frame.
    void deny_memory(frame_pool& frames) noexcept {
        frames.refuse_when(
            [](void* self) noexcept {
                return static_cast<fault_plan*>(self)->strikes(fault::failed_allocation);
            },
            this);
    }
    /// Hands back what is done, perhaps in another order; what is left stays for the next turn.
    void hand_over(operation_queue& done, operation_queue& completed) noexcept {
        const bool reorders = is_due(fault::reordered_completion);
        const bool withholds = is_due(fault::partial_completion);
        operation_queue overtaken, withheld;
        bool first = true, reordered = false;
        while (!done.empty()) {
            auto& each = done.pop();
            if (withholds && !first && random_->one_in(2)) {
                withheld.push(each);
            } else if (reorders && random_->one_in(2)) {
                overtaken.push(each);
            } else {
                completed.push(each);
                reordered = reordered || !overtaken.empty();
            }
            first = false;
        }
        if (reordered) count(fault::reordered_completion);
        if (!withheld.empty()) count(fault::partial_completion);
        completed.take_all(overtaken);
        done.take_all(withheld);
    }

private:
    seeded_generator* random_;
    fault_set drawn_;
    bool in_force_ = false;
    std::array<std::uint64_t, fault_kinds> rarity_{};
    std::array<std::uint64_t, fault_kinds> struck_{};
};

}  // namespace coho
