#pragma once

#include "concept.hpp"
#include "ring_acceptor.hpp"
#include "ring_buffers.hpp"
#include "ring_files.hpp"
#include "ring_leases.hpp"
#include "ring_queues.hpp"
#include "ring_requests.hpp"

#include "../core/allocation_guard.hpp"

#include <type_traits>
#include <utility>

#include <sys/eventfd.h>

namespace coho {

struct io_uring_options {
    /// IORING_SETUP_SINGLE_ISSUER and DEFER_TASKRUN (Linux 6.1), io_uring_setup(2).
    bool deferred_task_work = true;
    /// One submission accepts until it is cancelled (Linux 5.19),
    /// io_uring_prep_multishot_accept(3).
    bool multishot_accept = true;
    /// The kernel picks a buffer for leases when bytes come (Linux 5.19),
    /// io_uring_register_buf_ring(3).
    bool buffer_ring = true;
    /// Leases of at least so many bytes are sent from where they lie, and not copied (Linux 6.0),
    /// io_uring_prep_send_zc(3). Only worth it on a network that was measured:
    /// docs/decisions/0014. Never, unless it is set.
    std::size_t zero_copy_from = SIZE_MAX;
    /// Submissions gathered at most before the kernel is entered.
    unsigned entries = 512;
};

/// Linux' io_uring(7) by way of liburing. Submissions are gathered and go to the kernel once per
/// turn of the loop, with the wait; what completes is run by this thread alone, when it asks.
class io_uring : public posix_sockets {
public:
    using options = io_uring_options;

    template <class Request>
    using state = std::conditional_t<std::is_same_v<Request, request::accept>, ring_acceptor_place,
                                     ring_state<Request>>;

    /// Tries what it is going to need, so that a system which allows io_uring only in part shows
    /// here. Throws coho::failure.
    explicit io_uring(const options& wanted = {})
        : queues_(wanted.entries, wanted.deferred_task_work),
          multishot_accept_(wanted.multishot_accept), buffer_ring_(wanted.buffer_ring),
          zero_copy_from_(wanted.zero_copy_from), wake_(::eventfd(0, EFD_CLOEXEC)) {
        if (wake_ < 0) throw failure({describe(errno), {"cannot make an eventfd"}});
        const bool sends_copies = zero_copy_from_ == SIZE_MAX;
        if (!sends_copies && !queues_.supports({IORING_OP_SEND_ZC})) zero_copy_from_ = SIZE_MAX;
    }
    io_uring(const io_uring&) = delete;
    io_uring& operator=(const io_uring&) = delete;
    ~io_uring() {
        await_sent();
        ::close(wake_);
    }

    static constexpr std::string_view kernel_name = "io_uring";
    std::string_view name() const noexcept { return kernel_name; }
    std::string_view reason() const noexcept { return "io_uring was asked for"; }
    const time_point* virtual_clock() const noexcept { return nullptr; }

    std::intptr_t open(address_family family, socket_kind kind) noexcept {
        return open_descriptor(family, kind, 0);
    }
    int listen(handle socket, int backlog) noexcept {
        return number_of(::listen(descriptor_of(socket), backlog));
    }
    int attach(handle) noexcept { return 0; }
    void detach(handle) noexcept {}
    void close(handle socket) noexcept { ::close(descriptor_of(socket)); }

    template <class Request>
    started start(operation& each, state<Request>& state, Request& request) noexcept {
        if constexpr (std::is_same_v<Request, request::accept>) {
            return start_accept(each, state, request);
        } else if constexpr (request::is_leased<Request>) {
            return start_leased(each, state, request);
        } else if constexpr (std::is_same_v<Request, request::send_file>) {
            return start_file(each, state, request);
        } else {
            auto* entry = queues_.next_entry();
            if (!entry) return finish_now(each, -EAGAIN);
            if constexpr (std::is_same_v<Request, request::send>) {
                if (request.bytes.size() < zero_copy_from_) request.may_linger = false;
            }
            prepare_submission(*entry, each, state, request);
            return started::pending;
        }
    }

    template <class Request>
    void cancel(operation& each, state<Request>& state) noexcept {
        if constexpr (std::is_same_v<Request, request::accept>) {
            // The kernel may go on accepting; what it accepts is kept for the next to ask.
            state.acceptor->waiter = nullptr;
            each.complete(-ECANCELED, completed_);
        } else {
            if (is_cancelled_with_pool(each, state)) return;
            each.cancel_asked = true;
            // In flight, an operation uses neither its link nor its outcome.
            each.outcome = static_cast<std::intptr_t>(ring_data_of(each, state));
            cancels_.push(each);
        }
    }

    /// Ends what goes on for a listener, and waits for it: from then on the listener can be closed.
    void retire(ring_acceptor_place& place) noexcept {
        if (!place.acceptor) return;
        auto& acceptor = *place.acceptor;
        if (acceptor.waiter) {
            std::exchange(acceptor.waiter, nullptr)->complete(-ECANCELED, completed_);
        }
        while (acceptor.armed) {
            cancel_acceptor(acceptor);
            queues_.enter(never);
            reap();
        }
        place.acceptor.reset();
    }

    void wait(deadline until, operation_queue& completed) noexcept {
        queues_.check_same_process();
        while (!granted_.empty() || !granted_files_.empty()) go_on_with_granted();
        buffers_.refill();
        submit_cancels();
        if (!wake_awaited_) await_wake();
        const bool may_sleep = completed_.empty() && !queues_.has_completions();
        queues_.enter(may_sleep ? until : long_ago);
        reap();
        completed.take_all(completed_);
    }
    void wake() noexcept {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
    }

private:
    static started finish_now(operation& each, std::intptr_t outcome) noexcept {
        each.outcome = outcome;
        return started::done;
    }

    started start_accept(operation& each, ring_acceptor_place& place,
                         const request::accept& request) noexcept {
        if (!place.acceptor) {
            allocation_guard::note("what accepts for a listener", sizeof(ring_acceptor));
            place.acceptor.reset(new (std::nothrow) ring_acceptor(request.listener));
        }
        if (!place.acceptor) return finish_now(each, -ENOMEM);
        auto& acceptor = *place.acceptor;
        if (const auto outcome = acceptor.take()) return finish_now(each, *outcome);
        acceptor.waiter = &each;
        if (!acceptor.armed && !arm(acceptor)) {
            acceptor.waiter = nullptr;
            return finish_now(each, -EAGAIN);
        }
        return started::pending;
    }
    bool arm(ring_acceptor& acceptor) noexcept {
        auto* entry = queues_.next_entry();
        if (!entry) return false;
        const int listener = descriptor_of(acceptor.listener);
        if (multishot_accept_ && acceptor.may_take_many()) {
            io_uring_prep_multishot_accept(entry, listener, nullptr, nullptr, SOCK_CLOEXEC);
        } else {
            io_uring_prep_accept(entry, listener, nullptr, nullptr, SOCK_CLOEXEC);
        }
        io_uring_sqe_set_data64(entry, ring_data(&acceptor, ring_tag::acceptor));
        acceptor.armed = true;
        acceptor.cancelled = false;
        return true;
    }
    void cancel_acceptor(ring_acceptor& acceptor) noexcept {
        if (acceptor.cancelled) return;
        acceptor.cancelled = queues_.submit_cancel(ring_data(&acceptor, ring_tag::acceptor));
    }
    /// A cancel that finds no room stays in the queue for the next turn.
    void submit_cancels() noexcept {
        while (!cancels_.empty()) {
            auto& each = cancels_.pop();
            if (!queues_.submit_cancel(static_cast<std::uint64_t>(each.outcome))) {
                cancels_.push(each);
                return;
            }
        }
    }

    void await_wake() noexcept {
        auto* entry = queues_.next_entry();
        if (!entry) return;
        io_uring_prep_read(entry, wake_, &wake_count_, sizeof wake_count_, 0);
        io_uring_sqe_set_data64(entry, ring_data(nullptr, ring_tag::wake));
        wake_awaited_ = true;
    }

    void reap() noexcept {
        queues_.reap([this](std::uint64_t data, int outcome, unsigned flags) {
            take(data, outcome, flags);
        });
    }
    void take(std::uint64_t data, int outcome, unsigned flags) noexcept {
        if (data == no_ring_data) return;
        auto* const address = reinterpret_cast<void*>(data & ~std::uint64_t(ring_tag_mask));
        switch (static_cast<ring_tag>(data & ring_tag_mask)) {
        case ring_tag::operation: {
            auto& waiter = *static_cast<operation*>(address);
            forget_cancel(waiter);
            waiter.complete(outcome, completed_);
            break;
        }
        case ring_tag::request:
            take_request(*static_cast<ring_request*>(address), outcome);
            break;
        case ring_tag::sent:
            take_sent(*static_cast<pooled_buffer*>(address), outcome, flags);
            break;
        case ring_tag::acceptor:
            take_accepted(*static_cast<ring_acceptor*>(address), outcome, flags);
            break;
        case ring_tag::leased:
            take_leased(*static_cast<ring_state<request::receive_leased>*>(address), outcome,
                        flags);
            break;
        case ring_tag::leased_datagram:
            take_leased(*static_cast<ring_state<request::receive_from_leased>*>(address), outcome,
                        flags);
            break;
        case ring_tag::file:
            take_file(*static_cast<ring_state<request::send_file>*>(address), outcome);
            break;
        case ring_tag::wake: wake_awaited_ = false; break;
        }
    }
    void take_request(ring_request& request, int outcome) noexcept {
        auto& waiter = *request.waiter;
        forget_cancel(waiter);
        if (!request.of->completed(request, outcome) && submit_again(request)) return;
        waiter.complete(waiter.outcome, completed_);
    }
    /// A send without a copy is over when its bytes are the system's, but the memory is its until
    /// the peer has acknowledged them: where the first completion says so, a second one follows.
    void take_sent(pooled_buffer& buffer, int outcome, unsigned flags) noexcept {
        if (flags & IORING_CQE_F_NOTIF) {
            --being_sent_;
            buffer.pool->return_sent(buffer);
            return;
        }
        if (flags & IORING_CQE_F_MORE) {
            ++being_sent_;
            buffer.pool->lend_sent(buffer);
        }
        take_request(*static_cast<ring_request*>(buffer.sender), outcome);
    }
    /// Not for ever, for a peer may be gone without a word: the pool leaves its memory to the
    /// system then.
    void await_sent() noexcept {
        const auto end = std::chrono::steady_clock::now() + longest_farewell;
        operation_queue nobody;
        while (being_sent_ > 0 && std::chrono::steady_clock::now() < end) wait(end, nobody);
    }
    void forget_cancel(operation& waiter) noexcept {
        if (!cancels_.empty()) cancels_.remove(waiter);
    }
    bool submit_again(ring_request& request) noexcept {
        if (request.waiter->cancel_asked) {
            request.waiter->outcome = -ECANCELED;
            return false;
        }
        auto* entry = queues_.next_entry();
        if (!entry) {
            request.waiter->outcome = -EAGAIN;
            return false;
        }
        request.of->prepare(request, *entry);
        return true;
    }
    template <class Request>
    started start_leased(operation& each, ring_state<Request>& state, Request& request) noexcept {
        if (buffer_ring_) buffers_.set_up(queues_.native(), *request.buffers);
        state.waiter = &each;
        state.asked = &request;
        state.grant_by(granted_.of<Request>());
        state.step =
            buffers_.serves(*request.buffers) ? lease_step::picks : lease_step::polls;
        return submit_next(state) ? started::pending : finish_now(each, -EAGAIN);
    }
    template <class State>
    bool submit_next(State& state) noexcept {
        auto* entry = queues_.next_entry();
        if (entry) prepare_submission(*entry, state);
        return entry;
    }
    /// Whether nothing of it is with the kernel, which then need not be asked.
    template <class State>
    bool is_cancelled_with_pool([[maybe_unused]] operation& each,
                                [[maybe_unused]] State& state) noexcept {
        if constexpr (std::derived_from<State, buffer_waiter>) {
            // It has all that it waits for, and is over in the next turn.
            if (state.is_granted() && state.has_received()) return true;
            if (state.waits() || state.is_granted()) {
                state.give_up(*state.asked->buffers);
                each.complete(-ECANCELED, completed_);
                return true;
            }
        }
        return false;
    }
    template <class State>
    void take_leased(State& state, int outcome, unsigned flags) noexcept {
        forget_cancel(*state.waiter);
        if (flags & IORING_CQE_F_BUFFER) state.held() = buffers_.take(flags, outcome);
        const bool has_no_buffer = outcome == -ENOBUFS && state.step != lease_step::receives;
        const bool is_ready = state.step == lease_step::polls && outcome >= 0;
        if (!has_no_buffer && !is_ready && outcome != -EINTR) return end_leased(state, outcome);
        if (state.waiter->cancel_asked) return finish_leased(state, -ECANCELED);
        if (has_no_buffer && state.step == lease_step::picks) {
            // Others may have taken what was there, and it fails even where nothing is to be read.
            if (!buffers_.refill_more()) state.step = lease_step::picks_when_sure;
        } else if (outcome != -EINTR) {
            state.step = lease_step::receives;
            if (!state.obtain(*state.asked->buffers)) return;
        }
        if (!submit_next(state)) finish_leased(state, -EAGAIN);
    }
    template <class State>
    void end_leased(State& state, int outcome) noexcept {
        if (state.brings(outcome)) {
            state.received();
            // The kernel takes a buffer back that an empty datagram has left empty. Who is stopped
            // before there is another loses that datagram.
            state.step = lease_step::ends;
            if (!state.obtain(*state.asked->buffers)) {
                if (state.waiter->cancel_asked) finish_leased(state, -ECANCELED);
                return;
            }
        }
        finish_leased(state, outcome);
    }
    template <class State>
    void finish_leased(State& state, int outcome) noexcept {
        state.settle(outcome, *state.asked->buffers);
        state.waiter->complete(outcome, completed_);
    }
    started start_file(operation& each, ring_state<request::send_file>& state,
                       request::send_file& request) noexcept {
        state.waiter = &each;
        state.asked = &request;
        state.progress = 0;
        state.step = file_step::needs_buffer;
        state.grant_by(granted_files_);
        return submit_or_wait(state) ? started::pending : started::done;
    }
    /// False where it is over, for nothing more can be submitted.
    bool submit_or_wait(ring_state<request::send_file>& state) noexcept {
        if (state.step == file_step::needs_buffer) {
            if (!state.obtain(*state.asked->buffers)) return true;
            state.step = file_step::reads;
        }
        return submit_next(state) || !state.finish(-EAGAIN);
    }
    void go_on(ring_state<request::send_file>& state) noexcept {
        if (!submit_or_wait(state)) state.waiter->complete(state.waiter->outcome, completed_);
    }
    void take_file(ring_state<request::send_file>& state, int outcome) noexcept {
        auto& waiter = *state.waiter;
        forget_cancel(waiter);
        const bool is_over = state.completed(outcome) ||
                             (waiter.cancel_asked && state.finish(-ECANCELED));
        if (is_over) waiter.complete(waiter.outcome, completed_);
        else go_on(state);
    }
    /// Those who waited for a buffer, and now have one.
    void go_on_with_granted() noexcept {
        granted_.take_each<io_uring>([this](auto& state) {
            if (state.has_received()) finish_leased(state, 0);
            else if (!submit_next(state)) finish_leased(state, -EAGAIN);
        });
        if (granted_files_.empty()) return;
        go_on(buffer_waiter::next_of<ring_state<request::send_file>>(granted_files_));
    }
    void take_accepted(ring_acceptor& acceptor, int outcome, unsigned flags) noexcept {
        if (!(flags & IORING_CQE_F_MORE)) acceptor.armed = false;
        if (outcome == -EINVAL && multishot_accept_ && !acceptor.has_accepted) {
            // Linux before 5.19; a listener that is none says so again to the plain accept.
            multishot_accept_ = false;
            if (acceptor.waiter && arm(acceptor)) return;
        }
        acceptor.keep(outcome);
        if (acceptor.waiter) {
            auto next = acceptor.take();
            // Cancelled while nobody asked, and asked again before the cancel was through.
            if (!next && !acceptor.armed && !arm(acceptor)) next = -EAGAIN;
            if (next) std::exchange(acceptor.waiter, nullptr)->complete(*next, completed_);
        }
        // Nobody takes them: leave the others in the listener's backlog.
        if (acceptor.armed && acceptor.kept() >= ring_acceptor::enough) cancel_acceptor(acceptor);
    }

    static constexpr duration longest_farewell = std::chrono::milliseconds(300);

    ring_buffers buffers_;
    ring_queues queues_;
    bool multishot_accept_;
    bool buffer_ring_;
    std::size_t zero_copy_from_;
    std::size_t being_sent_ = 0;
    bool wake_awaited_ = false;
    int wake_;
    std::uint64_t wake_count_ = 0;
    operation_queue completed_;
    operation_queue cancels_;
    granted_receives granted_;
    intrusive_queue<buffer_waiter> granted_files_;
};

static_assert(backend<io_uring>);

}  // namespace coho
