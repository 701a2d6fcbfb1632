#pragma once

#include "tcp_stream.hpp"

#include "../backend/name_lookup.hpp"
#include "../core/two_owners.hpp"

#include <atomic>
#include <memory>

namespace coho {

/// A look-up on a thread of its own: the system's resolver blocks and cannot be called off. It has
/// two owners, that thread and the task that waits; the one who leaves last deletes it.
class name_lookup : private event_loop::posted_work {
public:
    /// Look-ups under way in the whole process at most, those left by their callers included.
    static constexpr int most_at_once = 64;

    name_lookup(std::string host, std::uint16_t port)
        : posted_work{&answered}, host_(std::move(host)), port_(port) {}

    /// False where no thread can be had.
    bool begin(event_loop& loop, resumption& waiter) noexcept {
        loop_ = &loop;
        waiter_ = &waiter;
        return start_helper_thread(
            [](void* self) -> void* {
                static_cast<name_lookup*>(self)->work();
                return nullptr;
            },
            this);
    }
    /// The waiter leaves. False where the answer is already on its way and must be awaited.
    bool abandon() noexcept { return !owners_.leave(); }

    result<endpoint_list>& answer() noexcept { return answer_; }

    static inline std::atomic<int> under_way = 0;

private:
    void work() noexcept {
        answer_ = look_up(host_, port_);
        under_way.fetch_sub(1);
        if (owners_.leave()) delete this;
        else loop_->post(static_cast<posted_work&>(*this));
    }
    static void answered(posted_work& work, bool) {
        auto& self = static_cast<name_lookup&>(work);
        self.loop_->resume_later(*self.waiter_);
    }

    std::string host_;
    std::uint16_t port_;
    event_loop* loop_ = nullptr;
    resumption* waiter_ = nullptr;
    two_owners<> owners_;
    result<endpoint_list> answer_{errc::cancelled};
};

/// See resolve().
class [[nodiscard]] resolving : public await_in_task<resolving>,
                                private resumption,
                                private stop_callback {
public:
    resolving(std::string host, std::uint16_t port)
        : stop_callback(&stop_asked), host_(std::move(host)), port_(port) {}
    resolving(resolving&& unstarted) noexcept
        : resolving(std::move(unstarted.host_), unstarted.port_) {}

    started start(environment& inherited, std::coroutine_handle<> waiter) {
        if (inherited.stop->stop_requested()) {
            failed_ = inherited.stop->reason();
            return started::done;
        }
        if (const auto address = ip_address::parse(host_)) {
            known_ = {*address, port_};
            return started::done;
        }
        auto lookup = std::make_unique<name_lookup>(host_, port_);
        this->waiter = waiter;
        loop_ = inherited.loop;
        const bool too_many =
            name_lookup::under_way.fetch_add(1) >= name_lookup::most_at_once;
        if (too_many || !lookup->begin(*loop_, *this)) {
            name_lookup::under_way.fetch_sub(1);
            failed_ = too_many ? errc::limit_exceeded : errc::not_enough_memory;
            return started::done;
        }
        lookup_ = lookup.release();
        connect(*inherited.stop);
        return started::pending;
    }
    result<endpoint_list> finish() {
        disconnect();
        if (known_ != endpoint()) return endpoint_list(known_);
        const std::unique_ptr<name_lookup> lookup(std::exchange(lookup_, nullptr));
        if (lookup && lookup->answer()) return std::move(lookup->answer());
        if (lookup) failed_ = lookup->answer().error();
        return error(failed_, {"cannot look up \"", host_, "\""});
    }

private:
    static void stop_asked(stop_callback& callback, errc reason) noexcept {
        auto& self = static_cast<resolving&>(callback);
        // From here on the look-up belongs to its thread alone.
        if (!self.lookup_->abandon()) return;
        self.lookup_ = nullptr;
        self.failed_ = reason;
        self.loop_->resume_later(self);
    }

    std::string host_;
    std::uint16_t port_;
    event_loop* loop_ = nullptr;
    name_lookup* lookup_ = nullptr;
    endpoint known_;
    error failed_{errc::none};
};

/// The addresses of a name, best first, by the system's resolver (getaddrinfo(3)) on a helper
/// thread; an address in text form gives itself. A task that is asked to stop leaves at once. Never
/// empty.
inline resolving resolve(std::string host, std::uint16_t port) {
    return {std::move(host), port};
}

/// Connects to a name or an address in text form: looks it up, and tries its addresses one after
/// another. The error is that of the last one tried.
template <backend Backend = native>
task<result<basic_tcp_stream<Backend>>> connect(std::string host, std::uint16_t port,
                                                connect_options options = {}) {
    auto found = co_await resolve(std::move(host), port);
    if (!found) co_return std::move(found).error();
    auto last = error(errc::name_not_found);
    for (const auto& each : *found) {
        auto stream = co_await basic_tcp_stream<Backend>::connect(each, options);
        if (stream) co_return std::move(stream);
        last = std::move(stream).error();
        if (last == errc::cancelled || last == errc::timed_out) break;
    }
    co_return last;
}

/// Connects to one address.
template <backend Backend = native>
task<result<basic_tcp_stream<Backend>>> connect(endpoint peer, connect_options options = {}) {
    return basic_tcp_stream<Backend>::connect(peer, options);
}

}  // namespace coho
