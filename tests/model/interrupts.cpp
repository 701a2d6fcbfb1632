// Targets of signals come and go while signals arrive on other threads.

#include "shared.hpp"

#include <coho/backend/interrupt.hpp>

#include "../catch.hpp"

using model::atomic;
using model::expect;

namespace {

constexpr std::uint64_t asked_for = 2, other = 4;

struct target {
    explicit target(std::uint64_t wanted) { signals = wanted; }
    static bool tell(target& self) noexcept { return !self.told.exchange(true); }
    bool (*const interrupt)(target&) noexcept = &tell;
    model::plain<std::uint64_t> signals;
    atomic<bool> told = false;
};
using table = coho::interrupt_table<target, 2, atomic>;

template <class Table>
void come_and_go(Table& all, model::ended_by_hand<target>& mine) {
    mine->signals = asked_for;
    auto& place = all.enter(*mine);
    all.leave(place);
    mine.end();
}

/// Two come and go as run() does, on threads of their own.
struct two_visitors {
    table all;
    model::ended_by_hand<target> first{0}, second{0};
    void visit_first() { come_and_go(all, first); }
    void visit_second() { come_and_go(all, second); }
    void signal() { expect(!all.tell(asked_for), "somebody was told twice of one signal"); }
    std::string outcome() {
        expect(!all.any(), "somebody left and is still there");
        return "";
    }
};

/// Signals arrive on two threads; one target stays, and hears of the first as of the second.
struct two_signals {
    table all;
    target stays{asked_for};
    model::ended_by_hand<target> visitor{0};
    bool told_before[2] = {};
    two_signals() { all.enter(stays); }
    void visit() { come_and_go(all, visitor); }
    void first() { told_before[0] = all.tell(asked_for); }
    void second() { told_before[1] = all.tell(asked_for | other); }
    std::string outcome() {
        expect(told_before[0] || told_before[1], "the second signal was taken for the first");
        return told_before[0] && told_before[1] ? "both heard that they were not the first" : "";
    }
};

/// Two come at once and stay, while a third comes and goes; who came first has the first place.
struct arrivals {
    coho::interrupt_table<target, 3, atomic> all;
    target first{asked_for}, second{asked_for | other};
    model::ended_by_hand<target> visitor{0};
    void enter_first() { all.enter(first); }
    void enter_second() { all.enter(second); }
    void visit() { come_and_go(all, visitor); }
    std::string outcome() {
        expect(!all.tell(other) && !first.told.load(),
               "who did not ask for a signal was told of it");
        expect(all.tell(asked_for) && first.told.load(), "who came and stayed was not told");
        return "";
    }
};

template <class World>
void explore(const char* name, const std::vector<model::thread_of<World>>& threads) {
    const auto found = model::explore<World>(threads);
    INFO(found.failure);
    CHECK(found.failure.empty());
    model::tell(name, found);
}

}  // namespace

TEST_CASE("model: nobody is told of a signal who has left, and who stays is told of each") {
    explore<two_visitors>("signal against two who come and go",
                          {{"the first", &two_visitors::visit_first},
                           {"the second", &two_visitors::visit_second},
                           {"the signal", &two_visitors::signal}});
    explore<two_signals>("two signals against one who comes and goes",
                         {{"the visitor", &two_signals::visit},
                          {"the first signal", &two_signals::first},
                          {"the second signal", &two_signals::second}});
    explore<arrivals>("two who come at once, and one who comes and goes",
                      {{"the first", &arrivals::enter_first},
                       {"the second", &arrivals::enter_second},
                       {"the visitor", &arrivals::visit}});
}
