#pragma once

#include "simulated_options.hpp"
#include "simulated_socket.hpp"

#include "../core/check.hpp"
#include "../core/clock.hpp"
#include "../core/growing_array.hpp"

#include <cstdint>
#include <cstdio>

namespace coho {

/// What happens in a simulated world, for its trace.
enum class simulated_happening : std::uint8_t {
    // These lie ahead of the clock, and come when their time has come.
    segment, end, reset, connection_request, connected, refused, window, retransmission,
    keep_alive_probe, datagram, mishap, cut, mend, completion, late_cancel,
    // These happen at once.
    opened, closed, started, finished, cancelled, turn, stop_asked, standstill,
    crashed, restarted,
};

constexpr const char* name_of(simulated_happening what) noexcept {
    constexpr std::array names{
        "segment arrives", "end arrives", "reset arrives", "connection request arrives",
        "is connected", "is refused", "window opens", "sends again", "keep-alive",
        "datagram arrives", "mishap", "network is cut", "network is mended", "completes late",
        "cancel takes effect", "opens", "closes", "starts", "finishes", "is cancelled", "turn",
        "stop is asked", "standstill", "host crashes", "host restarts"};
    return names[static_cast<std::size_t>(what)];
}

struct simulated_event {
    time_point when;
    std::uint64_t order;
    simulated_happening what;
    socket_reference of;
    std::uint64_t amount;
    void* subject;

    bool before(const simulated_event& other) const noexcept {
        return when != other.when ? when < other.when : order < other.order;
    }
};

/// What lies ahead, the next first; of the same time, in the order in which it was scheduled.
class simulated_agenda {
public:
    bool empty() const noexcept { return size_ == 0; }
    deadline next() noexcept { return empty() ? never : events_[0].when; }

    void push(simulated_event added) noexcept {
        check(events_.grow(size_ + 1), "there is no memory for a simulated world");
        added.order = ++order_;
        auto place = size_++;
        for (; place > 0 && added.before(events_[(place - 1) / 2]); place = (place - 1) / 2) {
            events_[place] = events_[(place - 1) / 2];
        }
        events_[place] = added;
    }
    /// Only where it is not empty.
    simulated_event pop() noexcept {
        const auto first = events_[0];
        const auto last = events_[--size_];
        std::size_t place = 0;
        for (;;) {
            auto child = 2 * place + 1;
            if (child >= size_) break;
            if (child + 1 < size_ && events_[child + 1].before(events_[child])) ++child;
            if (!events_[child].before(last)) break;
            events_[place] = events_[child];
            place = child;
        }
        events_[place] = last;
        return first;
    }
    template <class Function>
    void for_each(Function&& function) noexcept {
        for (std::size_t i = 0; i < size_; ++i) function(events_[i]);
    }

private:
    growing_array<simulated_event> events_;
    std::size_t size_ = 0;
    std::uint64_t order_ = 0;
};

/// Time, chance and the record of what happened: what all of a simulated world shares.
class simulated_world {
public:
    explicit simulated_world(const simulated_options& wanted) noexcept
        : options_(wanted), random_(wanted.seed), faults_(wanted.faults, random_),
          trace_(scatter(wanted.seed)) {}
    simulated_world(const simulated_world&) = delete;
    simulated_world& operator=(const simulated_world&) = delete;

    std::uint64_t seed() const noexcept { return options_.seed; }
    /// Since the world began.
    duration age() const noexcept { return now_ - beginning; }
    /// Equal where the same happened, in the same order, at the same time.
    std::uint64_t trace_hash() const noexcept { return trace_; }
    /// What this seed has drawn, and how often each has struck.
    const fault_plan& faults() const noexcept { return faults_; }
    /// Ends all faults now, as when their time is over.
    void end_faults() noexcept {
        options_.faults_end = age();
        faults_.put_in_force(false);
    }

protected:
    /// A machine that has been up for a day.
    static constexpr time_point beginning{std::chrono::hours(24)};

    void note(simulated_happening what, std::uint64_t who, std::uint64_t value) noexcept {
        const auto when = static_cast<std::uint64_t>(age().count());
        trace_ = scatter(trace_ ^ (static_cast<std::uint64_t>(what) << 56) ^ who) + value;
        trace_ = scatter(trace_ ^ when);
        if (!options_.log || what == simulated_happening::turn) return;
        std::fprintf(options_.log, "%14.6f ms  %6llu  %-26s %lld\n",
                     static_cast<double>(when) / 1e6, static_cast<unsigned long long>(who),
                     name_of(what), static_cast<long long>(value));
    }
    void schedule(simulated_happening what, time_point when, socket_reference of = {},
                  std::uint64_t amount = 0, void* subject = nullptr) noexcept {
        agenda_.push({when, 0, what, of, amount, subject});
    }
    void set_clock(time_point now) noexcept {
        now_ = now;
        faults_.put_in_force(age() >= options_.faults_begin && age() < options_.faults_end);
    }

    simulated_options options_;
    seeded_generator random_;
    fault_plan faults_;
    time_point now_ = beginning;
    simulated_agenda agenda_;

private:
    std::uint64_t trace_;
};

}  // namespace coho
