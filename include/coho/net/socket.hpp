#pragma once

#include "../scheduler/perform.hpp"
#include "../scheduler/scheduler.hpp"

#include <array>
#include <string_view>
#include <type_traits>
#include <utility>

namespace coho {

/// The words that lead an error, such as "cannot connect to 127.0.0.1:80".
inline error about(const error& cause, std::string_view attempt, const endpoint& where) noexcept {
    return {cause, {attempt, print(where)}};
}

enum class socket_role : unsigned char { stream, listener, datagram, foreign };

/// What all sockets have: the handle, the scheduler it belongs to, and who works with it now.
/// Movable while nobody does. Closed by its destructor, or by close(), which may be awaited while
/// others still work with it.
template <backend Backend, socket_role role = socket_role::stream>
class basic_socket {
    struct no_acceptor {};

public:
    using acceptor_state =
        std::conditional_t<role == socket_role::listener,
                           typename Backend::template state<request::accept>, no_acceptor>;

    basic_socket() noexcept = default;
    basic_socket(scheduler<Backend>& on, handle opened) noexcept
        : scheduler_(&on), handle_(opened) {}
    basic_socket(basic_socket&& other) noexcept
        : scheduler_(other.scheduler_), handle_(std::exchange(other.handle_, handle::none)),
          receiving_ended_(other.receiving_ended_), acceptor_(std::move(other.acceptor_)) {
        other.check_unused();
    }
    basic_socket& operator=(basic_socket&& other) noexcept {
        check_unused();
        other.check_unused();
        close_now();
        scheduler_ = other.scheduler_;
        handle_ = std::exchange(other.handle_, handle::none);
        receiving_ended_ = other.receiving_ended_;
        acceptor_ = std::move(other.acceptor_);
        return *this;
    }
    ~basic_socket() {
        check_unused();
        close_now();
    }

    bool is_open() const noexcept { return handle_ != handle::none && !closing_; }
    handle native_handle() const noexcept { return handle_; }
    scheduler<Backend>& on() const noexcept { return *scheduler_; }
    Backend& kernel() const noexcept { return scheduler_->kernel(); }
    acceptor_state& acceptor() noexcept { return acceptor_; }

    /// The system's answer to a call that never waits; errc::closed where the socket is closed.
    template <class Call>
    result<void> ask(Call&& call) const noexcept {
        if (!is_open()) return errc::closed;
        if (const int failed = call(kernel())) return Backend::describe(failed);
        return {};
    }

    /// A read that waits ends as errc::end_of_stream, and so do those that follow.
    void end_receiving() noexcept {
        receiving_ended_ = true;
        if (auto* use = uses_[static_cast<int>(direction::receive)]) {
            use->call(errc::end_of_stream);
        }
    }
    /// errc::none where an operation may begin.
    errc refusal(direction side) const noexcept {
        if (!is_open()) return errc::closed;
        return side == direction::receive && receiving_ended_ ? errc::end_of_stream : errc::none;
    }

    /// The stop of an operation, so that close() can call it. Each direction has one at most.
    void enter(direction side, stop_callback& use) noexcept {
        auto& place = uses_[static_cast<int>(side)];
        check(!place, "two tasks read from one socket at once, or two write; let one do it");
        place = &use;
    }
    void leave(direction side, stop_callback& use) noexcept {
        auto& place = uses_[static_cast<int>(side)];
        if (place != &use) return;
        place = nullptr;
        if (closing_ && unused()) {
            close_now();
            while (auto* closer = closers_) {
                closers_ = closer->next;
                scheduler_->resume_later(*closer);
            }
        }
    }

    bool is_used(direction side) const noexcept { return uses_[static_cast<int>(side)]; }

    class closing;
    /// See close() of the sockets. May be awaited by several; all of them wait.
    closing close() noexcept { return closing(*this); }

private:
    bool unused() const noexcept { return !uses_[0] && !uses_[1]; }
    void check_unused() const noexcept {
        check(unused() && !closing_, "a socket was moved or destroyed while a task waits on it; "
                                    "await its close() first");
    }
    void cancel_uses() noexcept {
        for (auto* use : uses_) {
            if (use) use->call(errc::cancelled);
        }
        if constexpr (role == socket_role::stream) kernel().disconnect(handle_);
    }
    void close_now() noexcept {
        if (handle_ == handle::none) return;
        if constexpr (role == socket_role::listener) kernel().retire(acceptor_);
        const auto closed = std::exchange(handle_, handle::none);
        if constexpr (role == socket_role::foreign) kernel().detach(closed);
        else kernel().close(closed);
        closing_ = false;
    }

    scheduler<Backend>* scheduler_ = nullptr;
    handle handle_ = handle::none;
    bool closing_ = false;
    bool receiving_ended_ = false;
    std::array<stop_callback*, 2> uses_{};
    resumption* closers_ = nullptr;
    [[no_unique_address]] acceptor_state acceptor_{};
};

/// See close() of the sockets.
template <backend Backend, socket_role role>
class [[nodiscard]] basic_socket<Backend, role>::closing : public await_in_task<closing>,
                                                           private resumption {
public:
    explicit closing(basic_socket& closed) noexcept : socket_(&closed) {}

    started start(environment&, std::coroutine_handle<> waiter) noexcept {
        if (socket_->unused()) {
            socket_->close_now();
            return started::done;
        }
        this->waiter = waiter;
        next = socket_->closers_;
        socket_->closers_ = this;
        if (!std::exchange(socket_->closing_, true)) socket_->cancel_uses();
        return started::pending;
    }
    void finish() const noexcept {}

private:
    basic_socket* socket_;
};

/// One request on a socket, awaited. Self adds finish(), which turns the outcome into what the
/// caller gets.
template <class Self, backend Backend, class Request, direction side,
          socket_role role = socket_role::stream>
class socket_operation
    : public await_in_task<Self>,
      private performing<basic_socket<Backend, role>, Backend, Request,
                         std::conditional_t<role == socket_role::listener,
                                            typename Backend::template state<Request>&,
                                            typename Backend::template state<Request>>> {
    using work = typename socket_operation::performing;

public:
    socket_operation(basic_socket<Backend, role>& socket, Request request)
        requires(role != socket_role::listener)
        : work(socket, std::move(request)) {}
    socket_operation(basic_socket<Backend, role>& socket, Request request)
        requires(role == socket_role::listener)
        : work(socket, std::move(request), socket.acceptor()) {}
    socket_operation(socket_operation&& unstarted) = default;

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        const auto refusal = this->where().refusal(side);
        if (refusal != errc::none) return work::refuse(refusal);
        this->where().enter(side, *this);
        return work::start(inherited, waiter);
    }

protected:
    result<std::size_t> outcome() noexcept {
        this->where().leave(side, *this);
        return work::finish();
    }
    /// The same where the count or handle says nothing.
    result<void> success() noexcept {
        auto outcome = this->outcome();
        if (!outcome) return std::move(outcome).error();
        return {};
    }
    using work::number;
    using work::refuse;
    using work::request;
    using work::state;
    using work::stop_reason;
};

}  // namespace coho
