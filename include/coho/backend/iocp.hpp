#pragma once

#include "concept.hpp"
#include "iocp_acceptor.hpp"
#include "iocp_leases.hpp"
#include "iocp_requests.hpp"

#include "../core/allocation_guard.hpp"
#include "../core/error.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <type_traits>
#include <utility>

namespace coho {

/// Windows' I/O completion ports. An operation is issued, and handed back by the port when it is
/// over; one that is over at once can skip the port. Calls is what is asked of Windows.
template <class Calls>
class basic_iocp : public Calls {
public:
    struct options {};

    template <class Request>
    using state =
        std::conditional_t<std::is_same_v<Request, request::accept>, port_acceptor_place<Calls>,
                           port_request<Calls, Request>>;

    explicit basic_iocp(const options& = {}) {
        if (const int failed = calls().start_up()) {
            throw failure({describe(failed), {"cannot use I/O completion ports"}});
        }
        skips_completions_ = calls().may_skip_completions();
    }
    basic_iocp(const basic_iocp&) = delete;
    basic_iocp& operator=(const basic_iocp&) = delete;
    ~basic_iocp() { calls().shut_down(); }

    static constexpr std::string_view kernel_name = "iocp";
    std::string_view name() const noexcept { return kernel_name; }
    std::string_view reason() const noexcept { return "it is the kernel of this system"; }
    const time_point* virtual_clock() const noexcept { return nullptr; }

    static error describe(int number) noexcept { return describe_winsock(number); }
    static accept_advice after_failed_accept(int number) noexcept {
        return winsock_accept_advice(number);
    }

    std::intptr_t open(address_family family, socket_kind kind) noexcept {
        return attach_or_close(calls().open(family, kind));
    }
    int attach(handle socket) noexcept { return calls().associate(socket, skips_completions_); }
    /// A port lets nobody leave; without operations it hears no more of the socket.
    void detach(handle) noexcept {}
    /// Windows knows how (UDP_SEND_MSG_SIZE, UDP_RECV_MAX_COALESCED_SIZE), Wine does not.
    int batch_datagrams(handle) noexcept { return windows_error::operation_not_supported; }

    template <class Request>
    started start(operation& each, state<Request>& state, Request& request) noexcept {
        if constexpr (std::is_same_v<Request, request::accept>) {
            return start_accept(each, state, request);
        } else {
            state.waiter = &each;
            state.asked = &request;
            state.socket = socket_of(request);
            state.progress = 0;
            if constexpr (request::is_leased<Request>) {
                state.grant_by(granted_.of<Request>());
            }
            state.arrived = [](void* kernel, port_operation<Calls>& arrived) noexcept {
                static_cast<basic_iocp*>(kernel)->template take<Request>(arrived);
            };
            return go_on(state);
        }
    }

    template <class Request>
    void cancel(operation& each, state<Request>& state) noexcept {
        if constexpr (std::is_same_v<Request, request::accept>) {
            // It goes on accepting; what it accepts is kept for the next to ask.
            state.acceptor->waiter = nullptr;
            each.complete(-windows_error::operation_aborted, completed_);
        } else {
            each.cancel_asked = true;
            if (!is_with_pool(state)) return cancel_with_system(state);
            finish_cancelled(state);
            each.complete(each.outcome, completed_);
        }
    }

    /// Ends what goes on for a listener, and waits for it: from then on the listener can be closed.
    void retire(port_acceptor_place<Calls>& place) noexcept {
        if (!place.acceptor) return;
        auto& acceptor = *place.acceptor;
        if (acceptor.waiter) {
            std::exchange(acceptor.waiter, nullptr)
                ->complete(-windows_error::operation_aborted, completed_);
        }
        if (acceptor.armed) cancel_with_system(acceptor);
        while (acceptor.armed) reap(without_end);
        place.acceptor.reset();
    }

    void wait(deadline until, operation_queue& completed) noexcept {
        go_on_with_granted();
        reap(completed_.empty() ? milliseconds_until(until) : 0);
        completed.take_all(completed_);
    }
    void wake() noexcept { calls().post(); }

private:
    static constexpr std::uint32_t without_end = 0xffffffff;  // INFINITE
    static constexpr std::uint32_t until_cancelled_again = 1;

    Calls& calls() noexcept { return *this; }

    std::intptr_t attach_or_close(std::intptr_t opened) noexcept {
        if (opened < 0) return opened;
        const auto socket = static_cast<handle>(opened);
        const int failed = attach(socket);
        if (!failed) return opened;
        calls().close(socket);
        return -failed;
    }

    /// Rounded up, for a timer is never early.
    static std::uint32_t milliseconds_until(deadline until) noexcept {
        if (until == never) return without_end;
        if (until == long_ago) return 0;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
                              until - std::chrono::steady_clock::now())
                              .count();
        constexpr std::uint32_t a_day = 86'400'000;
        if (left <= 0) return 0;
        return left < a_day ? static_cast<std::uint32_t>(left) : a_day;
    }

    void reap(std::uint32_t milliseconds) noexcept {
        cancel_again();
        if (!not_found_.empty()) milliseconds = (std::min)(milliseconds, until_cancelled_again);
        const auto count = calls().dequeue(entries_, milliseconds);
        for (std::size_t i = 0; i < count; ++i) {
            auto* const overlapped = Calls::operation_of(entries_[i]);
            if (!overlapped) continue;
            auto& arrived = *reinterpret_cast<port_operation<Calls>*>(overlapped);
            not_found_.remove(arrived);
            arrived.arrived(this, arrived);
        }
    }

    /// One that is not found is on its way to the port. Wine does not find one either that it is
    /// about to go on with, which then waits as if nobody had asked: so it is cancelled again until
    /// it is found, or here.
    void cancel_with_system(port_operation<Calls>& each) noexcept {
        const int number = calls().cancel(each.socket, each.overlapped);
        if (number == windows_error::not_found) not_found_.push(each);
    }
    void cancel_again() noexcept {
        auto asked = std::exchange(not_found_, {});
        while (!asked.empty()) cancel_with_system(asked.pop());
    }

    /// Issues it until it is over or has to wait.
    template <class Request>
    started go_on(port_request<Calls, Request>& each) noexcept {
        for (;;) {
            each.overlapped = {};
            std::size_t moved = 0;
            const int number = each.issue(calls(), moved);
            if (number == windows_error::io_pending) return started::pending;
            // It has succeeded, and the port hands it back all the same.
            if (number == 0 && !skips_completions_) return started::pending;
            if (each.is_over(calls(), number, moved)) return started::done;
            if (is_with_pool(each)) return started::pending;
        }
    }
    template <class Request>
    void take(port_operation<Calls>& arrived) noexcept {
        auto& each = static_cast<port_request<Calls, Request>&>(arrived);
        std::size_t moved = 0;
        const int number = calls().outcome(each.socket, each.overlapped, moved);
        if (!each.is_over(calls(), number, moved)) {
            if (each.waiter->cancel_asked) finish_cancelled(each);
            else if (is_with_pool(each) || go_on(each) == started::pending) return;
        }
        each.waiter->complete(each.waiter->outcome, completed_);
    }

    /// Nothing of it is with the system.
    template <class Request>
    static bool is_with_pool(const port_request<Calls, Request>& each) noexcept {
        if constexpr (request::is_leased<Request>) return each.waits() || each.is_granted();
        else return false;
    }
    template <class Request>
    static void finish_cancelled(port_request<Calls, Request>& each) noexcept {
        if constexpr (request::is_leased<Request>) each.give_up(*each.asked->buffers);
        each.finish(-windows_error::operation_aborted);
    }
    void go_on_with_granted() noexcept {
        granted_.take_each<basic_iocp>([this](auto& each) {
            if (go_on(each) == started::pending) return;
            each.waiter->complete(each.waiter->outcome, completed_);
        });
    }

    started start_accept(operation& each, port_acceptor_place<Calls>& place,
                         const request::accept& request) noexcept {
        if (!place.acceptor) {
            allocation_guard::note("what accepts for a listener", sizeof(port_acceptor<Calls>));
            place.acceptor.reset(new (std::nothrow)
                                     port_acceptor<Calls>(calls(), request.listener));
        }
        if (!place.acceptor) {
            each.outcome = -windows_error::not_enough_memory;
            return started::done;
        }
        auto& acceptor = *place.acceptor;
        if (!acceptor.outcome && !acceptor.armed) arm(acceptor);
        if (acceptor.outcome) {
            each.outcome = *std::exchange(acceptor.outcome, {});
            return started::done;
        }
        acceptor.waiter = &each;
        return started::pending;
    }
    /// Starts to accept; what comes of it at once is in its outcome.
    void arm(port_acceptor<Calls>& acceptor) noexcept {
        const auto family = calls().local_endpoint(acceptor.socket).address().family();
        const auto opened = calls().open(family, socket_kind::stream);
        if (opened < 0) {
            acceptor.outcome = opened;
            return;
        }
        acceptor.fresh = static_cast<handle>(opened);
        acceptor.overlapped = {};
        acceptor.arrived = [](void* kernel, port_operation<Calls>& arrived) noexcept {
            static_cast<basic_iocp*>(kernel)->take_accepted(
                static_cast<port_acceptor<Calls>&>(arrived));
        };
        const int number =
            calls().accept(acceptor.socket, acceptor.fresh, acceptor.room, acceptor.overlapped);
        acceptor.armed = number == windows_error::io_pending ||
                         (number == 0 && !skips_completions_);
        if (!acceptor.armed) settle(acceptor, number);
    }
    /// Notes what came of it. An accepted socket joins this kernel before anybody sees it.
    void settle(port_acceptor<Calls>& acceptor, int number) noexcept {
        const auto fresh = std::exchange(acceptor.fresh, handle::none);
        // It fails where the connection broke meanwhile.
        if (!number && calls().update_accepted(fresh, acceptor.socket)) {
            number = windows_error::wsa_connection_aborted;
        }
        if (!number) number = attach(fresh);
        if (number) calls().close(fresh);
        acceptor.outcome = number ? -number : static_cast<std::intptr_t>(fresh);
    }
    void take_accepted(port_acceptor<Calls>& acceptor) noexcept {
        std::size_t moved = 0;
        acceptor.armed = false;
        settle(acceptor, calls().outcome(acceptor.socket, acceptor.overlapped, moved));
        if (!acceptor.waiter) return;
        std::exchange(acceptor.waiter, nullptr)
            ->complete(*std::exchange(acceptor.outcome, {}), completed_);
    }

    bool skips_completions_ = false;
    operation_queue completed_;
    granted_receives granted_;
    intrusive_queue<port_operation<Calls>> not_found_;
    std::array<typename Calls::entry, 128> entries_;
};

}  // namespace coho
