#pragma once

#include "../backend/concept.hpp"
#include "../backend/lent_memory.hpp"
#include "../core/awaitable.hpp"
#include "../core/check.hpp"
#include "../core/result.hpp"
#include "../core/stop.hpp"

#include <type_traits>
#include <utility>

namespace coho {

/// One request to a kernel, awaited: here kernels and coroutines meet. All that the kernel needs
/// lies in it, in the frame of the coroutine that waits; State is a reference where it belongs to
/// somebody else. Where is what it is asked of, such as a socket: it knows its scheduler, on().
///
/// While it is in flight, memory that it is to fill is forbidden, see forbid(): a use of it is seen
/// on every kernel.
///
/// finish() gives the outcome, or the reason of the stop where that won. As a stop_callback it may
/// also be called by the one who closes the socket under it.
template <class Where, backend Backend, class Request,
          class State = typename Backend::template state<Request>>
class performing : protected stop_callback, private operation {
public:
    performing(Where& where, Request request)
        requires(!std::is_reference_v<State>)
        : stop_callback(&stop_asked), where_(&where), state_(), request_(std::move(request)) {}
    performing(Where& where, Request request, State state)
        requires std::is_reference_v<State>
        : stop_callback(&stop_asked), where_(&where), state_(state),
          request_(std::move(request)) {}
    performing(performing&& unstarted)
        requires(!std::is_reference_v<State>)
        : performing(*unstarted.where_, std::move(unstarted.request_)) {}
    ~performing() {
        check(!in_flight_,
              "a coroutine was destroyed while the kernel works for it; ask it to stop "
              "and await its end instead");
    }

    started start(environment& inherited, std::coroutine_handle<> waiting) noexcept {
        auto& on = where_->on();
        check(inherited.loop == &on, "a socket was used in a task of another scheduler");
        if (inherited.stop->stop_requested()) return refuse(inherited.stop->reason());
        waiter = waiting;
        cancel_asked = false;
        if constexpr (request::side_of<Request> == direction::send) about_to_send();
        if (on.kernel().template start<Request>(*this, state_, request_) == started::done) {
            if (on.spend()) return started::done;
            on.resume_later(*this);
        } else {
            pending = true;
            connect(*inherited.stop);
        }
        in_flight_ = true;
        forbid_lent(request_);
        return started::pending;
    }

    /// It does not begin, and finish() gives the reason.
    started refuse(errc reason) noexcept {
        stopped_ = reason;
        outcome = -1;
        return started::done;
    }

    /// errc::none where nobody asked it to stop.
    errc stop_reason() const noexcept { return stopped_; }

    result<std::size_t> finish() noexcept {
        disconnect();
        if (std::exchange(in_flight_, false)) allow_lent(request_);
        if constexpr (request::side_of<Request> == direction::receive) has_received();
        // What succeeded is a success, also where stop was asked meanwhile.
        if (outcome >= 0) return static_cast<std::size_t>(outcome);
        if (stopped_ != errc::none) return stopped_;
        return Backend::describe(number());
    }
    /// The system's number of a failure.
    int number() const noexcept { return static_cast<int>(-outcome); }

    Where& where() const noexcept { return *where_; }
    Request& request() noexcept { return request_; }
    /// What the kernel left there, where it did.
    auto& state() noexcept { return state_; }

private:
    static void stop_asked(stop_callback& callback, errc reason) noexcept {
        auto& self = static_cast<performing&>(callback);
        if (!self.pending || self.stopped_ != errc::none) return;
        self.disconnect();
        self.stopped_ = reason;
        self.where_->on().kernel().template cancel<Request>(self, self.state_);
    }

    errc stopped_ = errc::none;
    bool in_flight_ = false;
    Where* where_;
    [[no_unique_address]] State state_;
    Request request_;
};

}  // namespace coho
