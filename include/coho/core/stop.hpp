#pragma once

#include "error.hpp"

namespace coho {

class stop_callback;

/// Asks for stop, once, with the reason that the stopped operations report. Unlike std::stop_source
/// it lies in place and allocates nothing; in return it belongs to one thread, that of its
/// scheduler. Another thread asks through event_loop::post.
class stop_source {
public:
    stop_source() noexcept = default;
    stop_source(const stop_source&) = delete;
    stop_source& operator=(const stop_source&) = delete;
    inline ~stop_source();

    bool stop_requested() const noexcept { return reason_ != errc::none; }
    /// errc::none until stop was asked.
    errc reason() const noexcept { return reason_; }

    /// Calls every callback once; the second request changes nothing.
    inline void request_stop(errc reason = errc::cancelled) noexcept;

private:
    friend class stop_callback;
    stop_callback* first_ = nullptr;
    errc reason_ = errc::none;
};

/// Connected to a source, it is called when stop is asked. It must not resume coroutines nor throw:
/// it marks, cancels and queues. Connecting and disconnecting take constant time.
class stop_callback {
public:
    using function = void(stop_callback&, errc reason) noexcept;

    explicit stop_callback(function* called) noexcept : called_(called) {}
    stop_callback(const stop_callback&) = delete;
    stop_callback& operator=(const stop_callback&) = delete;
    ~stop_callback() { disconnect(); }

    /// The source must not have been asked to stop yet.
    void connect(stop_source& source) noexcept {
        link_ = &source.first_;
        next_ = source.first_;
        if (next_) next_->link_ = &next_;
        source.first_ = this;
    }
    void disconnect() noexcept {
        if (!link_) return;
        *link_ = next_;
        if (next_) next_->link_ = link_;
        link_ = nullptr;
        next_ = nullptr;
    }
    /// Not any more once it was called or disconnected, or its source has ended.
    bool is_connected() const noexcept { return link_; }

    /// As its source does, for who has a reason of its own.
    void call(errc reason) noexcept { called_(*this, reason); }

private:
    friend class stop_source;
    function* called_;
    /// What points to this one: the source, or the one before.
    stop_callback** link_ = nullptr;
    stop_callback* next_ = nullptr;
};

inline stop_source::~stop_source() {
    while (first_) first_->disconnect();
}

inline void stop_source::request_stop(errc reason) noexcept {
    if (stop_requested()) return;
    reason_ = reason;
    // One after another from the front: a callback may disconnect others, or itself.
    while (first_) {
        auto& callback = *first_;
        callback.disconnect();
        callback.call(reason);
    }
}

/// A source that is asked to stop when its parent is, with the parent's reason.
class linked_stop_source : public stop_source, private stop_callback {
public:
    linked_stop_source() noexcept : stop_callback(&pass_on) {}

    void link(stop_source& parent) noexcept {
        if (parent.stop_requested()) request_stop(parent.reason());
        else connect(parent);
    }
    void unlink() noexcept { disconnect(); }

private:
    static void pass_on(stop_callback& callback, errc reason) noexcept {
        static_cast<linked_stop_source&>(callback).request_stop(reason);
    }
};

}  // namespace coho
