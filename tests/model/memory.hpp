#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

namespace model {

// Thread 0 sets up and looks at the end; up to three threads run in between.
constexpr int most_threads = 4;
constexpr int most_places = 24;

using number = std::uint64_t;

/// What a thread knows to have happened: the steps of each thread, and of each place the latest
/// store it may no longer be unaware of.
struct knowledge {
    void learn(const knowledge& other) {
        for (std::size_t i = 0; i < steps.size(); ++i)
            steps[i] = std::max(steps[i], other.steps[i]);
        for (std::size_t i = 0; i < stores.size(); ++i)
            stores[i] = std::max(stores[i], other.stores[i]);
    }
    std::array<std::uint16_t, most_threads> steps{};
    std::array<std::uint16_t, most_places> stores{};
};

enum class action { load, store, exchange, add, compare_exchange };

/// A step that a thread wants to take.
struct request {
    action what;
    int place;
    std::memory_order order;
    std::memory_order order_if_unequal;
    number value;
    number expected;
    std::source_location from;
};

inline bool acquires(std::memory_order order) {
    return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
}
inline bool releases(std::memory_order order) {
    return order == std::memory_order_release || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
}

/// Shared memory by the rules of C++20 ([intro.races], [atomics.order]), as far as they can be had
/// by taking steps one after another: each place keeps all it ever held, and a load may find
/// whatever its thread need not know to be overwritten. See decision 0013 for what that leaves out.
class memory {
public:
    using indexes = std::vector<std::uint16_t>;

    struct stored {
        number value;
        knowledge released;  // what an acquiring load learns
    };
    struct place {
        const void* address;
        bool is_plain, is_pointer, has_ended;
        number mask;
        int maker;
        std::uint16_t made_at;
        std::uint16_t least_sequential;  // what sequentially consistent loads may not be unaware of
        int writer;
        std::uint16_t written_at;
        std::array<std::uint16_t, most_threads> touched_at;
        std::vector<stored> history;

        std::uint16_t latest() const { return static_cast<std::uint16_t>(history.size() - 1); }
    };

    void reset() {
        count_ = 0;
        known_ = {};
        fault_.clear();
    }
    /// The threads begin knowing what was set up; at the end the first knows what they know.
    void fork() { known_.fill(known_[0]); }
    void join() {
        for (const auto& each : known_) known_[0].learn(each);
    }

    /// What is wrong with the program, in words; empty while nothing is.
    const std::string& fault() const { return fault_; }
    const place& at(int index) const { return places_[static_cast<std::size_t>(index)]; }
    int places() const { return count_; }

    void make(int thread, const void* address, number value, number mask, bool plain,
              bool pointer) {
        if (count_ == most_places) {
            fault_ = "more is shared than the explorer has places for; raise most_places";
            return;
        }
        auto& made = mutable_at(count_++);
        const auto now = step(thread);
        made.address = address;
        made.is_plain = plain;
        made.is_pointer = pointer;
        made.has_ended = false;
        made.mask = mask;
        made.maker = made.writer = thread;
        made.made_at = made.written_at = now;
        made.least_sequential = 0;
        made.touched_at = {};
        made.history.clear();
        made.history.push_back({value, {}});
    }
    /// All that others did with it must be known to have happened.
    void end(int thread, const void* address) {
        const int index = find(address);
        touch(thread, index, "ends");
        expect_known(thread, index, "ends", true);
        mutable_at(index).has_ended = true;
    }

    void read_plain(int thread, const void* address) {
        const int index = find(address);
        touch(thread, index, "reads");
        expect_known(thread, index, "reads", false);
    }
    void write_plain(int thread, const void* address) {
        const int index = find(address);
        touch(thread, index, "writes");
        expect_known(thread, index, "writes", true);
        mutable_at(index).writer = thread;
        mutable_at(index).written_at = known(thread).steps[static_cast<std::size_t>(thread)];
    }

    /// The newest of that address: memory may be used again.
    int find(const void* address) const {
        for (int i = count_ - 1; i > 0; --i) {
            if (at(i).address == address) return i;
        }
        return 0;
    }

    /// The stores, by their place in the modification order, that the step may find; newest first.
    /// Those up to `after` do not count.
    void findable(int thread, const request& wanted, int after, indexes& found) const {
        found.clear();
        const auto& here = at(wanted.place);
        const int latest = here.latest();
        if (wanted.what != action::load && wanted.what != action::compare_exchange) {
            found.push_back(here.latest());
            return;
        }
        const bool compares = wanted.what == action::compare_exchange;
        const auto order = compares ? wanted.order_if_unequal : wanted.order;
        int least = known(thread).stores[static_cast<std::size_t>(wanted.place)];
        if (order == std::memory_order_seq_cst) least = std::max<int>(least, here.least_sequential);
        least = std::max(least, after + 1);
        for (int i = latest; i >= least; --i) {
            const bool equal = here.history[static_cast<std::size_t>(i)].value == wanted.expected;
            if (compares && equal && i != latest) continue;
            found.push_back(static_cast<std::uint16_t>(i));
        }
    }

    /// Takes the step, which finds that store. Gives what it found; a comparison has changed the
    /// place where that is what was expected.
    number take(int thread, const request& wanted, std::uint16_t index) {
        touch(thread, wanted.place, "uses");
        auto& here = mutable_at(wanted.place);
        auto& mine = mutable_known(thread);
        auto& seen = mine.stores[static_cast<std::size_t>(wanted.place)];
        const auto found = here.history[index];
        const bool loads = wanted.what != action::store;
        const bool stores =
            wanted.what != action::load &&
            (wanted.what != action::compare_exchange || found.value == wanted.expected);
        const auto order = loads && !stores && wanted.what == action::compare_exchange
                               ? wanted.order_if_unequal
                               : wanted.order;
        if (loads) {
            seen = std::max(seen, index);
            if (acquires(order)) mine.learn(found.released);
        }
        if (stores) {
            seen = static_cast<std::uint16_t>(here.history.size());
            // A read-modify-write carries on the release sequence of what it found.
            stored next{wanted.value, loads ? found.released : knowledge()};
            if (wanted.what == action::add) next.value = (found.value + wanted.value) & here.mask;
            if (releases(order)) next.released.learn(mine);
            here.history.push_back(next);
        }
        if (order == std::memory_order_seq_cst)
            here.least_sequential = std::max(here.least_sequential, seen);
        return found.value;
    }

private:
    const knowledge& known(int thread) const { return known_[static_cast<std::size_t>(thread)]; }
    knowledge& mutable_known(int thread) { return known_[static_cast<std::size_t>(thread)]; }
    place& mutable_at(int index) { return places_[static_cast<std::size_t>(index)]; }

    std::uint16_t step(int thread) {
        return ++mutable_known(thread).steps[static_cast<std::size_t>(thread)];
    }
    bool knows(int thread, int other, std::uint16_t when) const {
        return known(thread).steps[static_cast<std::size_t>(other)] >= when;
    }
    void touch(int thread, int index, const char* does) {
        auto& here = mutable_at(index);
        here.touched_at[static_cast<std::size_t>(thread)] = step(thread);
        if (here.has_ended) {
            complain(thread, does, index, "after its end");
        } else if (!knows(thread, here.maker, here.made_at)) {
            complain(thread, does, index, "and need not know that it was made");
        }
    }
    void expect_known(int thread, int index, const char* does, bool reads_too) {
        const auto& here = at(index);
        if (!knows(thread, here.writer, here.written_at))
            complain(thread, does, index, "and need not know what was written: a data race");
        for (int other = 0; reads_too && other < most_threads; ++other) {
            if (!knows(thread, other, here.touched_at[static_cast<std::size_t>(other)]))
                complain(thread, does, index, "while another thread may still use it: a data race");
        }
    }
    // The explorer puts the names in.
    void complain(int thread, const char* does, int index, const char* words) {
        if (fault_.empty())
            fault_ = "{" + std::to_string(thread) + "} " + does + " [" + std::to_string(index) +
                     "] " + words;
    }

    std::array<place, most_places> places_{};
    int count_ = 0;
    std::array<knowledge, most_threads> known_{};
    std::string fault_;
};

}  // namespace model
