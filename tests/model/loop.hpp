#pragma once

#include "shared.hpp"

#include <coho/core/mailbox.hpp>
#include <coho/core/wake_flag.hpp>

namespace model {

/// What another thread posts.
struct item {
    explicit item(void (*finished)(item&, bool)) : finish(finished) {}
    void (*const finish)(item&, bool run);
    plain<item*> next;
    plain<int> content;
};

/// The parts of a loop that other threads touch, as scheduler<Backend> uses them.
struct shared_loop {
    void post(item& work) {
        parts->mail.post(work, [this] { parts->woken.set(); });
    }
    void request_stop() {
        parts->mail.request_stop([this] { parts->woken.set(); });
    }
    /// Sleeps as a kernel does, unless something came already.
    void wait() {
        if (!parts->mail.empty()) return;
        while (!parts->woken.take()) {}
    }
    void end() {
        parts->mail.await_senders();
        parts->mail.finish_posted(false);
        parts.end();
    }

    struct shared_parts {
        coho::mailbox<item, atomic> mail;
        coho::wake_flag<atomic> woken;
    };
    ended_by_hand<shared_parts> parts;

    static std::vector<std::string> names(std::vector<std::string> others = {}) {
        std::vector<std::string> all{"senders", "posted", "stop asked", "woken"};
        all.insert(all.end(), others.begin(), others.end());
        return all;
    }
};

}  // namespace model
