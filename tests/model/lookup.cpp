// A look-up has two owners, its own thread and the task that waits, which may be asked to stop.

#include "loop.hpp"

#include <coho/core/two_owners.hpp>

#include "../catch.hpp"

using model::expect;
using model::item;
using model::shared_loop;

namespace {

/// As coho::name_lookup and coho::resolving go about it.
struct looking_up {
    struct lookup : item {
        explicit lookup(looking_up& asked) : item(&answered), by(asked) {}
        static void answered(item& work, bool) {
            auto& self = static_cast<lookup&>(work);
            expect(self.by.is_waiting, "an answer came to a task that had left");
            expect(self.content == 1, "the answer came before it was found");
            self.by.is_waiting = false;
            self.by.shared.end();
        }
        coho::two_owners<model::atomic> owners;
        looking_up& by;
    };

    shared_loop loop;
    model::ended_by_hand<lookup> shared{*this};
    bool is_waiting = true, stopped = false, abandoned = false;

    void run() {
        while (true) {
            if (loop.parts->mail.take_stop()) {
                stopped = true;
                if (is_waiting && !shared->owners.leave()) {
                    is_waiting = false;
                    abandoned = true;
                }
            }
            loop.parts->mail.finish_posted(true);
            if (stopped && !is_waiting) break;
            loop.wait();
        }
        loop.end();
    }
    void work() {
        shared->content = 1;
        if (shared->owners.leave()) shared.end();
        else loop.post(*shared);
    }
    void request_stop() { loop.request_stop(); }
    std::string outcome() { return abandoned ? "abandoned" : "answered"; }
};

}  // namespace

TEST_CASE("model: a look-up is answered or abandoned, and freed once by the last who used it") {
    const auto found =
        model::explore<looking_up>({{"the loop", &looking_up::run},
                                    {"the helper", &looking_up::work},
                                    {"the stopper", &looking_up::request_stop}},
                                   shared_loop::names({"next", "the answer", "owners"}));
    INFO(found.failure);
    CHECK(found.failure.empty());
    CHECK(found.outcomes.size() == 2);
    model::tell("look-up against stop", found);
}
