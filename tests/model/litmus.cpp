// The explorer itself: of programs whose outcomes are known (Boehm and Adve, Foundations of the C++
// Concurrency Memory Model; Sewell and others on litmus tests) it finds just those.

#include "shared.hpp"

#include "../catch.hpp"

#include <random>
#include <set>

using model::atomic;
using model::plain;
using outcomes = std::set<std::string>;

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto acq_rel = std::memory_order_acq_rel;
constexpr auto seq_cst = std::memory_order_seq_cst;

outcomes keys_of(const model::findings& found) {
    outcomes keys;
    for (const auto& each : found.outcomes) keys.insert(each.first);
    return keys;
}
template <class World>
outcomes outcomes_of(const std::vector<model::thread_of<World>>& threads) {
    const auto found = model::explore<World>(threads);
    INFO(found.failure);
    CHECK(found.failure.empty());
    return keys_of(found);
}
std::string digits(std::initializer_list<int> numbers) {
    std::string text;
    for (const int each : numbers) text += std::to_string(each);
    return text;
}

/// Each stores, and looks for what the other stored.
template <std::memory_order Store, std::memory_order Load>
struct store_buffering {
    atomic<int> x = 0, y = 0;
    int a = 9, b = 9;
    void one() { x.store(1, Store), a = y.load(Load); }
    void other() { y.store(1, Store), b = x.load(Load); }
    std::string outcome() { return digits({a, b}); }
    static outcomes all() {
        return outcomes_of<store_buffering>(
            {{"one", &store_buffering::one}, {"other", &store_buffering::other}});
    }
};

/// The same, but that the store is part of an addition.
template <std::memory_order Add>
struct added_buffering {
    atomic<int> x = 0, y = 0;
    int a = 9, b = 9;
    void one() { x.fetch_add(1, Add), a = y.load(seq_cst); }
    void other() { y.store(1, seq_cst), b = x.load(seq_cst); }
    std::string outcome() { return digits({a, b}); }
    static outcomes all() {
        return outcomes_of<added_buffering>(
            {{"one", &added_buffering::one}, {"other", &added_buffering::other}});
    }
};

template <std::memory_order Store, std::memory_order Load>
struct message_passing {
    plain<int> message = 0;
    atomic<int> sent = 0;
    int got = 0;
    void sender() { message = 7, sent.store(1, Store); }
    void receiver() {
        if (sent.load(Load)) got = message;
    }
    std::string outcome() { return digits({got}); }
    static model::findings explore() {
        return model::explore<message_passing>(
            {{"sender", &message_passing::sender}, {"receiver", &message_passing::receiver}},
            {"message", "sent"});
    }
};

/// The release is carried on by what another thread adds, whatever its order.
template <bool Adds>
struct release_sequence {
    plain<int> message = 0;
    atomic<int> sent = 0;
    int got = 0;
    void sender() { message = 7, sent.store(1, release); }
    void other() {
        if (Adds) sent.fetch_add(2, relaxed);
        else if (sent.load(relaxed) == 1) sent.store(3, relaxed);
    }
    void receiver() {
        if (sent.load(acquire) == 3) got = message;
    }
    std::string outcome() { return digits({got}); }
    static model::findings explore() {
        return model::explore<release_sequence>({{"sender", &release_sequence::sender},
                                                 {"other", &release_sequence::other},
                                                 {"receiver", &release_sequence::receiver}});
    }
};

struct load_buffering {
    atomic<int> x = 0, y = 0;
    int a = 9, b = 9;
    void one() { a = x.load(relaxed), y.store(1, relaxed); }
    void other() { b = y.load(relaxed), x.store(1, relaxed); }
    std::string outcome() { return digits({a, b}); }
};

struct coherence {
    atomic<int> x = 0;
    int a = 9, b = 9;
    void writer() { x.store(1, relaxed), x.store(2, relaxed); }
    void reader() {
        a = x.load(relaxed);
        b = x.load(relaxed);
    }
    std::string outcome() { return digits({a, b}); }
};

/// What a store led to is seen by a third, and the store itself may not be.
template <std::memory_order Order>
struct causality {
    atomic<int> x = 0, y = 0;
    int a = 9, b = 9;
    void first() { x.store(1, Order); }
    void second() {
        if (x.load(Order)) y.store(1, Order);
    }
    void third() { a = y.load(Order), b = x.load(Order); }
    std::string outcome() { return digits({a, b}); }
    static outcomes all() {
        return outcomes_of<causality>({{"first", &causality::first},
                                       {"second", &causality::second},
                                       {"third", &causality::third}});
    }
};

struct counting {
    atomic<int> count = 0;
    int before[3] = {};
    void one() { before[0] = count.fetch_add(1, relaxed); }
    void two() { before[1] = count.fetch_add(1, relaxed); }
    void three() {
        before[2] = 0;
        while (!count.compare_exchange_weak(before[2], before[2] + 1, relaxed, relaxed)) {}
    }
    std::string outcome() {
        model::expect(count.load() == 3, "a count was lost");
        return digits({before[0], before[1], before[2]});
    }
};

struct forgotten_sleeper {
    atomic<bool> work = false, woken = false;
    void sleeper() {
        if (work.load()) return;
        woken.exchange(false);  // too late: the wake may have come
        while (!woken.exchange(false)) {}
    }
    void waker() { work.store(true), woken.store(true); }
    std::string outcome() { return ""; }
};

struct early_end {
    model::ended_by_hand<atomic<int>> users{1};
    void one() {
        if (users->fetch_sub(1, relaxed) == 1) users.end();
    }
    void two() {
        users->fetch_add(1, relaxed);
        one();
    }
    std::string outcome() { return ""; }
};

/// Ends what it shares where it is the last; whether it knows what the other did is a question of
/// the order.
template <std::memory_order Order>
struct last_out {
    model::ended_by_hand<atomic<int>> users{2};
    void leave() {
        if (users->fetch_sub(1, Order) == 1) users.end();
    }
    std::string outcome() { return ""; }
    static model::findings explore() {
        return model::explore<last_out>({{"one", &last_out::leave}, {"other", &last_out::leave}});
    }
};

/// A program drawn from a seed, of up to three steps in each of three threads on two places.
struct drawn {
    static inline unsigned seed = 0;
    atomic<int> places[2];
    std::string found[3];
    void run(unsigned thread) {
        std::minstd_rand draw(seed * 3 + thread + 1);
        const auto one_of = [&](unsigned count) { return (draw() >> 8) % count; };
        constexpr std::memory_order of_loads[] = {relaxed, acquire, seq_cst};
        constexpr std::memory_order of_stores[] = {relaxed, release, seq_cst};
        constexpr std::memory_order of_both[] = {relaxed, acq_rel, seq_cst};
        draw.discard(10);
        int loaded = -1;  // two loads of one place in turn would count as spinning
        for (unsigned i = 0, count = 1 + one_of(3); i < count; ++i) {
            const auto what = one_of(5);
            auto index = one_of(2);
            if (what <= 1 && int(index) == loaded) index = 1 - index;
            loaded = what <= 1 ? int(index) : -1;
            auto& where = places[index];
            const auto order = one_of(3);
            const int value = int(10 * (thread + 1) + i);
            int read = 0;
            switch (what) {
            case 0:
            case 1: read = where.load(of_loads[order]); break;
            case 2: where.store(value, of_stores[order]); break;
            case 3: read = where.exchange(value, of_both[order]); break;
            case 4:
                where.compare_exchange_strong(read, value, of_both[order], of_loads[one_of(2)]);
                break;
            }
            found[thread] += std::to_string(read) + " ";
        }
    }
    void one() { run(0); }
    void two() { run(1); }
    void three() { run(2); }
    std::string outcome() {
        return found[0] + "| " + found[1] + "| " + found[2] + "| " +
               std::to_string(places[0].load()) + " " + std::to_string(places[1].load());
    }
    static model::findings all(bool reduces) {
        return model::explore<drawn>(
            {{"one", &drawn::one}, {"two", &drawn::two}, {"three", &drawn::three}}, {}, reduces);
    }
};

/// Steps of their own: however long, there is one order to try.
struct strangers {
    atomic<int> x = 0, y = 0, z = 0;
    static void count(atomic<int>& own) {
        for (int i = 0; i < 8; ++i) own.fetch_add(1);
    }
    void one() { count(x); }
    void two() { count(y); }
    void three() { count(z); }
    std::string outcome() { return ""; }
};

}  // namespace

TEST_CASE("explorer: stores are late for other threads, unless all is sequentially consistent") {
    const outcomes all{"00", "01", "10", "11"}, sequential{"01", "10", "11"};
    CHECK(store_buffering<relaxed, relaxed>::all() == all);
    CHECK(store_buffering<release, acquire>::all() == all);
    CHECK(store_buffering<seq_cst, acquire>::all() == all);
    CHECK(store_buffering<release, seq_cst>::all() == all);
    CHECK(store_buffering<seq_cst, seq_cst>::all() == sequential);
    CHECK(added_buffering<acq_rel>::all() == all);
    CHECK(added_buffering<seq_cst>::all() == sequential);
}

TEST_CASE("explorer: a message needs a release and an acquire") {
    CHECK(keys_of(message_passing<release, acquire>::explore()) == outcomes{"0", "7"});
    const auto raced = message_passing<relaxed, acquire>::explore().failure;
    CHECK_THAT(raced, support::contains("receiver reads message and need not know what was "
                                        "written: a data race"));
    CHECK_THAT(raced, support::contains("1. sender stores 1 in sent (relaxed, litmus.cpp:"));
    CHECK_THAT(raced, support::contains("2. receiver reads 1 from sent (acquire, litmus.cpp:"));
    CHECK_FALSE(message_passing<release, relaxed>::explore().failure.empty());
}

TEST_CASE("explorer: additions carry on a release, stores do not") {
    CHECK(release_sequence<true>::explore().failure.empty());
    CHECK_FALSE(release_sequence<false>::explore().failure.empty());
}

TEST_CASE("explorer: a place is never seen to go back") {
    CHECK(
        outcomes_of<coherence>({{"writer", &coherence::writer}, {"reader", &coherence::reader}}) ==
        outcomes{"00", "01", "02", "11", "12", "22"});
    CHECK(causality<relaxed>::all().contains("10"));
    const auto causal = causality<std::memory_order_seq_cst>::all();
    CHECK(causal == outcomes{"00", "01", "11"});
}

TEST_CASE("explorer: additions and exchanges are atomic") {
    CHECK(outcomes_of<counting>(
              {{"one", &counting::one}, {"two", &counting::two}, {"three", &counting::three}}) ==
          outcomes{"012", "021", "102", "120", "201", "210"});
}

TEST_CASE("explorer: who waits for good is found") {
    const auto lost = model::explore<forgotten_sleeper>(
        {{"sleeper", &forgotten_sleeper::sleeper}, {"waker", &forgotten_sleeper::waker}});
    CHECK_THAT(lost.failure, support::contains("nobody will wake them"));
}

TEST_CASE("explorer: a use after the end is found, in whichever order") {
    const auto used =
        model::explore<early_end>({{"one", &early_end::one}, {"two", &early_end::two}});
    CHECK_FALSE(used.failure.empty());
    CHECK(last_out<acq_rel>::explore().failure.empty());
    CHECK_FALSE(last_out<acquire>::explore().failure.empty());
    CHECK_FALSE(last_out<release>::explore().failure.empty());
}

TEST_CASE("explorer: what is known to be left out") {
    // Hardware may, and the standard allows it; nothing in the library rests on it.
    CHECK(outcomes_of<load_buffering>(
              {{"one", &load_buffering::one}, {"other", &load_buffering::other}}) ==
          outcomes{"00", "01", "10"});
}

TEST_CASE("explorer: steps that have nothing to do with one another are tried in one order") {
    const auto found = model::explore<strangers>(
        {{"one", &strangers::one}, {"two", &strangers::two}, {"three", &strangers::three}});
    CHECK(found.executions == 1);
}

TEST_CASE("explorer: to try orders that commute once leaves out no outcome") {
    std::size_t with = 0, without = 0;
    for (drawn::seed = 0; drawn::seed < 150; ++drawn::seed) {
        const auto reduced = drawn::all(true), whole = drawn::all(false);
        INFO("program " << drawn::seed << reduced.failure << whole.failure);
        REQUIRE(reduced.failure.empty());
        REQUIRE(whole.failure.empty());
        REQUIRE(keys_of(reduced) == keys_of(whole));
        with += reduced.executions;
        without += whole.executions;
    }
    INFO(with << " executions instead of " << without);
    CHECK(with < without / 2);
}
