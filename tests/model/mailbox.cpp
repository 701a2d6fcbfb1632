// What other threads leave for a loop: every order of two of them and the loop.

#include "loop.hpp"

#include "../catch.hpp"

using model::atomic;
using model::choose;
using model::expect;
using model::item;
using model::plain;
using model::shared_loop;

namespace {

template <class World>
model::findings explored(const char* name, const std::vector<model::thread_of<World>>& threads,
                         std::vector<std::string> others) {
    auto found = model::explore<World>(threads, shared_loop::names(std::move(others)));
    INFO(found.failure);
    CHECK(found.failure.empty());
    model::tell(name, found);
    return found;
}

/// An item that knows who receives it, and when it was received.
template <class World>
struct parcel : item {
    parcel(World& to, char named) : item(&received), world(to), name(named) {}
    static void received(item& work, bool run) {
        auto& self = static_cast<parcel&>(work);
        expect(self.content == self.name, "what was posted is not what was received");
        self.world.log += run ? self.name : static_cast<char>(self.name - 'a' + 'A');
    }
    void post() {
        content = name;
        world.loop.post(*this);
    }
    World& world;
    const char name;
};

/// The loop ends as soon as it has so many, while those who posted may still be about to wake it.
/// One that spins may use up a wake before it looks whether to sleep.
template <int count, bool spins = false>
struct posting {
    shared_loop loop;
    std::string log;
    parcel<posting> a{*this, 'a'}, b{*this, 'b'}, c{*this, 'c'};

    void run() {
        while (true) {
            expect(!loop.parts->mail.take_stop(), "a stop that nobody asked for");
            loop.parts->mail.finish_posted(true);
            if (log.size() >= count) break;
            if (spins && choose(2)) loop.parts->woken.take();
            loop.wait();
        }
        loop.end();
    }
    void post_a() { a.post(); }
    void post_b() { b.post(); }
    void post_c() { c.post(); }
    void post_a_and_b() {
        a.post();
        b.post();
    }
    std::string outcome() {
        expect(log.size() == count, "something was received twice");
        return log;
    }
};

/// The loop ends for a reason of its own, when others are through: it may not have come to what
/// they posted.
struct left_over {
    shared_loop loop;
    std::string log;
    parcel<left_over> a{*this, 'a'}, b{*this, 'b'};
    atomic<int> through = 0;

    void run() {
        for (int turns = choose(3); turns > 0; --turns) loop.parts->mail.finish_posted(true);
        while (through.load(std::memory_order_acquire) != 2) {}
        loop.end();
    }
    void post(parcel<left_over>& mine) {
        mine.post();
        through.fetch_add(1, std::memory_order_release);
    }
    void post_a() { post(a); }
    void post_b() { post(b); }
    std::string outcome() { return log; }
};

/// An operation in flight completes by itself, or when it is cancelled; another thread asks for
/// stop.
struct stopping {
    shared_loop loop;
    plain<int> reason, outcome_of_operation;
    atomic<bool> cancelled = false, completed = false, kernel_left = false;
    int handed_back = 0;
    bool stopped = false, by_itself = false;

    void run() {
        while (true) {
            if (loop.parts->mail.take_stop()) {
                expect(!stopped, "one stop was taken twice");
                expect(reason == 1, "the stop came before its reason");
                stopped = true;
                if (handed_back == 0) cancelled.store(true, std::memory_order_release);
            }
            loop.parts->mail.finish_posted(true);
            if (handed_back == 0 && completed.load(std::memory_order_acquire)) {
                expect(outcome_of_operation == 1, "the operation completed without an outcome");
                ++handed_back;
                by_itself = !stopped;
            }
            if (stopped && handed_back == 1) break;
            if (choose(2)) {
                // It spins, which uses up the wake and collects what has completed.
                loop.parts->woken.take();
                if (handed_back == 0 && completed.load(std::memory_order_acquire)) continue;
            }
            loop.wait();
        }
        while (!kernel_left.load(std::memory_order_acquire)) {}
        loop.end();
    }
    void request_stop() {
        reason = 1;
        loop.request_stop();
    }
    void complete() {
        if (choose(2) == 0) {
            while (!cancelled.load(std::memory_order_acquire)) {}
        }
        outcome_of_operation = 1;
        completed.store(true, std::memory_order_release);
        loop.parts->woken.set();
        kernel_left.store(true, std::memory_order_release);
    }
    std::string outcome() {
        return by_itself ? "completed, then stopped" : "stopped, then completed";
    }
};

}  // namespace

TEST_CASE("model: what is posted is received once and in order, and a loop that sleeps is woken") {
    using one_each = posting<2>;
    const auto found = explored<one_each>("posting and wake, two posters",
                                          {{"the loop", &one_each::run},
                                           {"the first poster", &one_each::post_a},
                                           {"the second poster", &one_each::post_b}},
                                          {"a's next", "a", "b's next", "b"});
    CHECK(found.outcomes.size() == 2);
    using spinning = posting<2, true>;
    const auto in_order =
        explored<spinning>("posting and wake, one poster, a loop that spins",
                           {{"the loop", &spinning::run}, {"the poster", &spinning::post_a_and_b}},
                           {"a's next", "a", "b's next", "b"});
    CHECK(in_order.outcomes.size() == 1);
    CHECK(in_order.outcomes.contains("ab"));
}

// Two million executions; tools/reliability has the time.
TEST_CASE("long model: the same for two posters of whom one posts twice", "[.]") {
    using three = posting<3>;
    const auto found = explored<three>("posting and wake, two posters, three posts",
                                       {{"the loop", &three::run},
                                        {"the first poster", &three::post_a_and_b},
                                        {"the second poster", &three::post_c}},
                                       {"a's next", "a", "b's next", "b", "c's next", "c"});
    CHECK(found.outcomes.size() == 3);
    for (const auto* order : {"abc", "acb", "cab"}) CHECK(found.outcomes.contains(order));
}

TEST_CASE(
    "model: what is posted to a loop that ends is finished once, and the loop outlives senders") {
    const auto found = explored<left_over>("posting against the end",
                                           {{"the loop", &left_over::run},
                                            {"the first poster", &left_over::post_a},
                                            {"the second poster", &left_over::post_b}},
                                           {"a's next", "a", "b's next", "b", "those through"});
    for (const auto* order : {"ab", "ba", "aB", "bA", "AB", "BA"})
        CHECK(found.outcomes.contains(order));
    CHECK(found.outcomes.size() == 6);
}

TEST_CASE("model: a stop from another thread is heard once, and a completion is not lost to it") {
    const auto found = explored<stopping>(
        "stop against completion",
        {{"the loop", &stopping::run},
         {"the stopper", &stopping::request_stop},
         {"the kernel", &stopping::complete}},
        {"the reason", "the outcome", "cancelled", "completed", "the kernel's absence"});
    CHECK(found.outcomes.size() == 2);
}
