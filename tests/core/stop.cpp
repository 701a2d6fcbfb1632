#include "catch.hpp"

#include <coho/core/stop.hpp>

#include <memory>

namespace {

struct counted_callback : coho::stop_callback {
    counted_callback() : coho::stop_callback(&counted_callback::called) {}
    static void called(coho::stop_callback& callback) noexcept {
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
    CHECK(callback.source() == nullptr);
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
