#include "catch.hpp"

#include <coho/core/stop.hpp>

#include <memory>
#include <vector>

namespace {

struct counted_callback : coho::stop_callback {
    counted_callback() : coho::stop_callback(&counted_callback::called) {}
    static void called(coho::stop_callback& callback, coho::errc) noexcept {
        auto& self = static_cast<counted_callback&>(callback);
        ++self.calls;
        if (self.disconnects) self.disconnects->disconnect();
    }
    int calls = 0;
    counted_callback* disconnects = nullptr;
};

}  // namespace

TEST_CASE("stop is asked once, with the first reason", "[stop]") {
    coho::stop_source source;
    counted_callback callback;
    callback.connect(source);
    CHECK_FALSE(source.stop_requested());
    source.request_stop(coho::errc::timed_out);
    source.request_stop(coho::errc::cancelled);
    CHECK(source.stop_requested());
    CHECK(source.reason() == coho::errc::timed_out);
    CHECK(callback.calls == 1);
}

TEST_CASE("a disconnected or destroyed callback is not called", "[stop]") {
    coho::stop_source source;
    counted_callback first, last;
    first.connect(source);
    {
        counted_callback destroyed;
        destroyed.connect(source);
    }
    last.connect(source);
    first.disconnect();
    source.request_stop();
    CHECK(first.calls == 0);
    CHECK(last.calls == 1);
}

TEST_CASE("a callback may disconnect itself and others", "[stop]") {
    coho::stop_source source;
    counted_callback callbacks[3];
    for (auto& each : callbacks) each.connect(source);
    for (auto& each : callbacks) each.disconnects = &callbacks[1];
    callbacks[1].disconnects = &callbacks[1];
    source.request_stop();
    CHECK(callbacks[0].calls == 1);
    // Whichever came first took it off the list.
    CHECK(callbacks[1].calls <= 1);
    CHECK(callbacks[2].calls == 1);
}

TEST_CASE("a callback outlives its source", "[stop]") {
    counted_callback callback;
    {
        coho::stop_source source;
        callback.connect(source);
    }
    CHECK_FALSE(callback.is_connected());
    callback.disconnect();
    CHECK(callback.calls == 0);
}

TEST_CASE("a linked source takes over stop and reason from above, not the other way", "[stop]") {
    coho::stop_source above;
    coho::linked_stop_source middle, below, apart;
    middle.link(above);
    below.link(middle);
    apart.link(above);
    apart.request_stop();
    CHECK_FALSE(above.stop_requested());
    above.request_stop(coho::errc::timed_out);
    CHECK(middle.reason() == coho::errc::timed_out);
    CHECK(below.reason() == coho::errc::timed_out);
    CHECK(apart.reason() == coho::errc::cancelled);
    coho::linked_stop_source late;
    late.link(above);
    CHECK(late.reason() == coho::errc::timed_out);
}

TEST_CASE("an unlinked source hears nothing any more", "[stop]") {
    coho::stop_source above;
    coho::linked_stop_source below;
    below.link(above);
    below.unlink();
    above.request_stop();
    CHECK_FALSE(below.stop_requested());
}

TEST_CASE("a callback sees the reason, and may destroy one that was still to be called", "[stop]") {
    struct destroying : coho::stop_callback {
        destroying() : coho::stop_callback(&destroying::called) {}
        static void called(coho::stop_callback& callback, coho::errc) noexcept {
            auto& self = static_cast<destroying&>(callback);
            self.seen = self.watched->reason();
            self.others.clear();
        }
        coho::stop_source* watched = nullptr;
        coho::errc seen = coho::errc::none;
        std::vector<std::unique_ptr<counted_callback>> others;
    };
    coho::stop_source source;
    destroying destroyer;
    destroyer.watched = &source;
    for (int i = 0; i < 3; ++i) destroyer.others.push_back(std::make_unique<counted_callback>());
    destroyer.others[0]->connect(source);
    destroyer.connect(source);
    destroyer.others[1]->connect(source);
    destroyer.others[2]->connect(source);
    source.request_stop(coho::errc::timed_out);
    CHECK(destroyer.seen == coho::errc::timed_out);
    CHECK(destroyer.others.empty());
}

TEST_CASE("each of a thousand callbacks is called once, whichever were taken out", "[stop]") {
    coho::stop_source source;
    std::vector<std::unique_ptr<counted_callback>> callbacks;
    for (int i = 0; i < 1000; ++i) {
        callbacks.push_back(std::make_unique<counted_callback>());
        callbacks.back()->connect(source);
    }
    for (std::size_t i = 0; i < callbacks.size(); i += 3) callbacks[i]->disconnect();
    source.request_stop();
    int wrong = 0;
    for (std::size_t i = 0; i < callbacks.size(); ++i) {
        if (callbacks[i]->calls != (i % 3 == 0 ? 0 : 1)) ++wrong;
        if (callbacks[i]->is_connected()) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("stop asked within a callback, of a source linked below, is asked once", "[stop]") {
    struct asking : coho::stop_callback {
        asking() : coho::stop_callback(&asking::called) {}
        static void called(coho::stop_callback& callback, coho::errc) noexcept {
            static_cast<asking&>(callback).below->request_stop(coho::errc::closed);
        }
        coho::stop_source* below = nullptr;
    };
    coho::stop_source above;
    coho::linked_stop_source below;
    counted_callback watcher;
    watcher.connect(below);
    asking asker;
    asker.below = &below;
    SECTION("the callback comes before the link") {
        below.link(above);
        asker.connect(above);
        above.request_stop(coho::errc::timed_out);
    }
    SECTION("the link comes before the callback") {
        asker.connect(above);
        below.link(above);
        above.request_stop(coho::errc::timed_out);
    }
    CHECK(below.stop_requested());
    CHECK(watcher.calls == 1);
}

TEST_CASE("a callback may destroy itself when it is called", "[stop]") {
    struct ending : coho::stop_callback {
        explicit ending(std::unique_ptr<ending>& own) noexcept
            : coho::stop_callback(&ending::called), owner(own) {}
        static void called(coho::stop_callback& callback, coho::errc) noexcept {
            static_cast<ending&>(callback).owner.reset();
        }
        std::unique_ptr<ending>& owner;
    };
    coho::stop_source source;
    counted_callback before, after;
    std::unique_ptr<ending> owned;
    owned = std::make_unique<ending>(owned);
    before.connect(source);
    owned->connect(source);
    after.connect(source);
    source.request_stop();
    CHECK_FALSE(owned);
    CHECK(before.calls == 1);
    CHECK(after.calls == 1);
}

TEST_CASE("when a callback is called, it is connected no more", "[stop]") {
    struct looking : coho::stop_callback {
        looking() : coho::stop_callback(&looking::called) {}
        static void called(coho::stop_callback& callback, coho::errc) noexcept {
            static_cast<looking&>(callback).was_connected = callback.is_connected();
        }
        bool was_connected = true;
    };
    coho::stop_source source;
    looking callback;
    callback.connect(source);
    source.request_stop();
    CHECK_FALSE(callback.was_connected);
}

TEST_CASE("a callback that left one source may be connected to another", "[stop]") {
    coho::stop_source left, joined;
    counted_callback older, moved, newer;
    older.connect(left);
    moved.connect(left);
    newer.connect(left);
    moved.disconnect();
    moved.connect(joined);
    moved.disconnect();
    left.request_stop();
    joined.request_stop();
    CHECK(older.calls == 1);
    CHECK(newer.calls == 1);
    CHECK(moved.calls == 0);
}
