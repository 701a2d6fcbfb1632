#pragma once

#include "../backend/concept.hpp"
#include "../core/awaitable.hpp"
#include "../core/check.hpp"
#include "../core/result.hpp"
#include "../core/stop.hpp"

#include <type_traits>

namespace coho {

template <backend Backend>
class scheduler;

/// One request to a kernel, awaited: here kernels and coroutines meet. All that the kernel needs
/// lies in it, in the frame of the coroutine that waits; State is a reference where it belongs to
/// somebody else.
///
/// finish() gives the outcome, or the reason of the stop where that won.
template <backend Backend, class Request,
          class State = typename Backend::template state<Request>>
class performing : private stop_callback {
public:
    performing(scheduler<Backend>& on, Request request)
        requires(!std::is_reference_v<State>)
        : stop_callback(&stop_asked), scheduler_(&on), state_(), request_(std::move(request)) {}
    performing(scheduler<Backend>& on, Request request, State state)
        requires std::is_reference_v<State>
        : stop_callback(&stop_asked), scheduler_(&on), state_(state),
          request_(std::move(request)) {}
    performing(performing&& unstarted)
        requires(!std::is_reference_v<State>)
        : performing(*unstarted.scheduler_, std::move(unstarted.request_)) {}
    ~performing() {
        check(!in_flight_,
              "a coroutine was destroyed while the kernel works for it; ask it to stop "
              "and await its end instead");
    }

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        check(inherited.loop == scheduler_, "a socket was used in a task of another scheduler");
        if (inherited.stop->stop_requested()) {
            stopped_ = inherited.stop->reason();
            operation_.outcome = -1;
            return started::done;
        }
        operation_.waiter = waiter;
        auto& kernel = scheduler_->kernel();
        if (kernel.template start<Request>(operation_, state_, request_) == started::done) {
            if (scheduler_->spend()) return started::done;
            scheduler_->resume_later(operation_);
        } else {
            operation_.pending = true;
            stop_ = inherited.stop;
            connect(*stop_);
        }
        in_flight_ = true;
        return started::pending;
    }

    /// Asks the kernel to cancel, as a stop does. For the one that closes the socket under it.
    void cancel(errc reason) noexcept {
        if (!operation_.pending || stopped_ != errc::none) return;
        disconnect();
        stopped_ = reason;
        scheduler_->kernel().template cancel<Request>(operation_, state_);
    }

    /// errc::none where nobody asked it to stop.
    errc stop_reason() const noexcept { return stopped_; }

    result<std::size_t> finish() noexcept {
        disconnect();
        in_flight_ = false;
        // What succeeded is a success, also where stop was asked meanwhile.
        if (operation_.outcome >= 0) return static_cast<std::size_t>(operation_.outcome);
        if (stopped_ != errc::none) return stopped_;
        return Backend::describe(number());
    }
    /// The system's number of a failure.
    int number() const noexcept { return static_cast<int>(-operation_.outcome); }

    Request& request() noexcept { return request_; }

private:
    static void stop_asked(stop_callback& callback) noexcept {
        auto& self = static_cast<performing&>(callback);
        self.cancel(self.stop_->reason());
    }

    scheduler<Backend>* scheduler_;
    stop_source* stop_ = nullptr;
    operation operation_;
    errc stopped_ = errc::none;
    bool in_flight_ = false;
    [[no_unique_address]] State state_;
    Request request_;
};

}  // namespace coho
