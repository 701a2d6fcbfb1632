#pragma once

#include "concept.hpp"
#include "fork_mark.hpp"
#include "posix_sockets.hpp"
#include "readiness.hpp"

#include "../core/block_table.hpp"
#include "../core/check.hpp"

#include <array>
#include <utility>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

namespace coho {

/// Linux' epoll(7), edge-triggered: each socket is registered once, and what is known of its
/// readiness is remembered. A call is tried first only where that says it will succeed; else it
/// waits for the edge.
class epoll : public posix_sockets {
public:
    struct options {};

    template <class Request>
    using state = readiness_attempt<Request>;

    explicit epoll(const options& = {})
        : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        epoll_event event{};
        event.events = EPOLLIN | EPOLLET;
        event.data.u64 = woken;
        if (epoll_ < 0 || wake_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) < 0) {
            const auto why = describe(errno);
            close_own();
            throw failure({why, {"cannot use epoll"}});
        }
    }
    epoll(const epoll&) = delete;
    epoll& operator=(const epoll&) = delete;
    ~epoll() { close_own(); }

    static constexpr std::string_view kernel_name = "epoll";
    std::string_view name() const noexcept { return kernel_name; }
    std::string_view reason() const noexcept { return "epoll was asked for"; }
    const time_point* virtual_clock() const noexcept { return nullptr; }

    std::intptr_t open(address_family family, socket_kind kind) noexcept {
        const auto opened = open_descriptor(family, kind, SOCK_NONBLOCK);
        // A stream is attached once it connects or listens: before, epoll reports it as hung up.
        if (opened < 0 || kind == socket_kind::stream) return opened;
        return attach_or_close(static_cast<int>(opened));
    }
    int listen(handle socket, int backlog) noexcept {
        const int failed = number_of(::listen(descriptor_of(socket), backlog));
        return failed ? failed : attach(socket);
    }

    int attach(handle socket) noexcept {
        auto* const made = sockets_.make(static_cast<std::size_t>(descriptor_of(socket)));
        if (!made) return ENOMEM;
        auto& known = *made;
        if (watch(EPOLL_CTL_ADD, socket, known) < 0) return errno;
        known.readiness = {.readable = false, .writable = true, .ended = false};
        known.attached = true;
        return 0;
    }
    /// The system closes an epoll registration only with the last duplicate of a descriptor, so it
    /// is taken out by hand; events already fetched carry the old generation and are dropped.
    void detach(handle socket) noexcept {
        auto* known = find(socket);
        if (!known) return;
        check(!known->waiting[0] && !known->waiting[1], "a socket was closed under its operations");
        ::epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor_of(socket), nullptr);
        known->attached = false;
        ++known->generation;
    }
    void close(handle socket) noexcept {
        detach(socket);
        ::close(descriptor_of(socket));
    }
    void retire(state<request::accept>& acceptor) noexcept {
        if (acceptor.waiter) cancel(*acceptor.waiter, acceptor);
    }

    template <class Request>
    started start(operation& each, state<Request>& state, Request& request) noexcept {
        state.prepare(each, request);
        if constexpr (std::is_same_v<Request, request::connect>) {
            const int failed = begin_connect(request);
            if (failed != EINPROGRESS) return finish_now(state, -failed);
        }
        if constexpr (request::is_leased<Request>) state.grant_by(granted_.of<Request>());
        auto* known = find(state.socket());
        if (!known) return finish_now(state, -EBADF);
        // A poll asks anew, and a file that has no bytes there needs no room.
        if constexpr (std::is_same_v<Request, request::poll> ||
                      std::is_same_v<Request, request::send_file>) {
            known->readiness.of(state.side()) = true;
        }
        if (known->readiness.of(state.side())) {
            const auto outcome = taken_in(state.attempt(known->readiness));
            if (outcome != would_block) return finish_now(state, outcome);
        }
        auto& place = known->waiting[static_cast<int>(state.side())];
        check(!place, "two operations of one direction were started on one socket");
        place = &state;
        if constexpr (std::is_same_v<Request, request::send_file>) {
            await_turn(request.socket, *known);
        }
        return started::pending;
    }

    template <class Request>
    void cancel(operation& each, state<Request>& state) noexcept {
        auto* known = find(state.socket());
        auto* place = known ? &known->waiting[static_cast<int>(state.side())] : nullptr;
        if (!place || *place != &state) return;
        *place = nullptr;
        state.waiter = nullptr;
        if constexpr (request::is_leased<Request>) state.give_up(*state.asked->buffers);
        each.complete(-ECANCELED, cancelled_);
    }

    void wait(deadline until, operation_queue& completed) noexcept {
        process_.check_same_process();
        completed.take_all(cancelled_);
        granted_.take_each<epoll>([&](auto& attempt) {
            retry(*find(attempt.socket()), direction::receive, completed);
        });
        const int count = fetch(completed.empty() ? until : long_ago);
        for (int i = 0; i < count; ++i) {
            const auto data = events_[static_cast<std::size_t>(i)].data.u64;
            if (data == woken) continue;
            const auto descriptor = static_cast<std::size_t>(data & 0xffffffff);
            auto& known = *sockets_.find(descriptor);
            if (!known.attached || known.generation != data >> 32) continue;
            const auto happened = events_[static_cast<std::size_t>(i)].events;
            const bool ended = happened & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
            known.readiness.ended |= ended;
            known.readiness.readable |= ended || (happened & EPOLLIN);
            known.readiness.writable |= bool(happened & (EPOLLOUT | EPOLLHUP | EPOLLERR));
            retry(known, direction::receive, completed);
            retry(known, direction::send, completed);
            await_turn(static_cast<handle>(descriptor), known);
        }
    }
    void wake() noexcept {
        const std::uint64_t one = 1;
        // Edge-triggered, so that the count need not be read; it cannot reach its end.
        [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
    }

private:
    struct known_socket {
        std::array<pending_attempt*, 2> waiting{};
        std::uint32_t generation = 0;
        socket_readiness readiness;
        bool attached = false;
    };
    static constexpr std::uint64_t woken = ~std::uint64_t(0);

    /// The state may outlive the operation, and is to forget it.
    static started finish_now(pending_attempt& done, std::intptr_t outcome) noexcept {
        std::exchange(done.waiter, nullptr)->outcome = outcome;
        return started::done;
    }

    known_socket* find(handle socket) noexcept {
        const auto index = static_cast<std::size_t>(descriptor_of(socket));
        auto* const known = sockets_.find(index);
        return known && known->attached ? known : nullptr;
    }

    int watch(int how, handle socket, const known_socket& known) noexcept {
        const int descriptor = descriptor_of(socket);
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        event.data.u64 = std::uint64_t(known.generation) << 32 | static_cast<unsigned>(descriptor);
        return ::epoll_ctl(epoll_, how, descriptor, &event);
    }
    /// What has had its turn, and can go on, goes on by one more edge.
    void await_turn(handle socket, const known_socket& known) noexcept {
        const bool waits = known.waiting[static_cast<int>(direction::send)];
        if (waits && known.readiness.writable) watch(EPOLL_CTL_MOD, socket, known);
    }

    std::intptr_t attach_or_close(int descriptor) noexcept {
        const int failed = attach(static_cast<handle>(descriptor));
        if (!failed) return descriptor;
        ::close(descriptor);
        return -failed;
    }

    int begin_connect(const request::connect& request) noexcept {
        const socket_address peer(request.peer);
        const int failed = number_of(
            ::connect(descriptor_of(request.socket), peer.data(), peer.size()));
        if (failed && failed != EINPROGRESS && failed != EINTR) return failed;
        const int not_attached = attach(request.socket);
        if (not_attached) return not_attached;
        // Whether it is connected shows when it can be written.
        find(request.socket)->readiness.writable = !failed;
        return failed ? EINPROGRESS : 0;
    }

    /// An accepted connection joins this kernel before anybody sees it.
    std::intptr_t taken_in(attempt_outcome outcome) noexcept {
        return outcome.accepted ? attach_or_close(static_cast<int>(outcome.value)) : outcome.value;
    }

    void retry(known_socket& known, direction side, operation_queue& completed) noexcept {
        auto*& place = known.waiting[static_cast<int>(side)];
        if (!place || !known.readiness.of(side)) return;
        auto* const attempt = place;
        const auto tried = attempt->again(*attempt, known.readiness);
        if (tried.value == would_block) return;
        place = nullptr;
        auto& waiter = *std::exchange(attempt->waiter, nullptr);
        waiter.complete(taken_in(tried), completed);
    }

    int fetch(deadline until) noexcept {
        const int most = static_cast<int>(events_.size());
        if (until == never) return ::epoll_wait(epoll_, events_.data(), most, -1);
        const auto left = until == long_ago
                              ? duration::zero()
                              : until - std::chrono::steady_clock::now();
        if (left <= duration::zero()) return ::epoll_wait(epoll_, events_.data(), most, 0);
#ifdef SYS_epoll_pwait2
        if (has_nanoseconds_) {
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
            const timespec limit{seconds.count(), (left - seconds).count()};
            const auto count = ::syscall(SYS_epoll_pwait2, epoll_, events_.data(), most, &limit,
                                         nullptr, std::size_t(0));
            if (count >= 0 || errno == EINTR) return static_cast<int>(count);
            has_nanoseconds_ = false;
        }
#endif
        // Rounded up, for a timer is never early.
        const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left).count();
        constexpr int a_day = 86'400'000;
        return ::epoll_wait(epoll_, events_.data(), most,
                            milliseconds < a_day ? static_cast<int>(milliseconds) : a_day);
    }

    void close_own() noexcept {
        if (wake_ >= 0) ::close(wake_);
        if (epoll_ >= 0) ::close(epoll_);
    }

    int epoll_;
    int wake_;
    bool has_nanoseconds_ = true;
    fork_mark process_;
    operation_queue cancelled_;
    granted_receives granted_;
    block_table<known_socket> sockets_;
    // No more than a turn of the loop resumes, so that nothing lies about in buffers meanwhile.
    std::array<epoll_event, 128> events_;
};

static_assert(backend<epoll>);

}  // namespace coho
