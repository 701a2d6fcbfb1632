#pragma once

#include "concept.hpp"
#include "posix_errors.hpp"
#include "simulated_faults.hpp"

#include "../core/clock.hpp"
#include "../core/event_loop.hpp"

#include <concepts>
#include <string>
#include <utility>

namespace coho {

template <class Kernel>
struct faulty_options {
    typename Kernel::options kernel{};
    /// Which faults are drawn, and when they strike, follows from it. A run does not repeat: what
    /// the kernel below does is its own.
    std::uint64_t seed = 1;
    /// The faults that may happen, of which the seed draws some. Those that cannot be done over a
    /// real kernel never do.
    fault_set faults = fault_set::all();
};

/// A kernel under which programs meet the bad luck that a real one brings seldom: what goes to the
/// kernel below, and what comes back from it, is shortened, delayed, reordered or refused. In force
/// from the start. Nothing of it allocates once it is made. Threads are those of the kernel below.
///
/// What goes wrong with transfers goes wrong before they begin, so that what arrives is what was
/// reported as sent; but a lost datagram, or a batch of them, is reported as sent, as every network
/// does. A reset connection is shut down, which its peer sees as the end.
template <class Kernel>
class faulty {
    /// A cancel that has not been passed on.
    struct late_cancel {
        late_cancel* next = nullptr;
        void (*pass_on)(late_cancel&, Kernel&) noexcept = nullptr;
        bool waits = false;
    };
    /// The operation that the kernel below sees, in place of the one that came from above.
    struct carried : operation, late_cancel {
        operation* above = nullptr;
        bool accepts = false;
    };

public:
    using options = faulty_options<Kernel>;

    /// One request's state; of accept it belongs to the listener, as in every kernel.
    template <class Request>
    struct state : carried {
        typename Kernel::template state<Request> below{};
        Request shortened{};

        auto take_held() noexcept
            requires requires { below.take_held(); }
        {
            return below.take_held();
        }
    };

    /// Those that can be done here.
    static constexpr fault_set possible{
        fault::short_transfer,     fault::late_completion,   fault::reordered_completion,
        fault::partial_completion, fault::idle_wake,         fault::late_cancel,
        fault::failed_accept,      fault::failed_open,       fault::full_submission,
        fault::exhausted_buffers,  fault::failed_allocation, fault::connection_reset,
        fault::refused_connection, fault::lost_datagram,     fault::stop_request};

    /// Throws what the kernel below throws.
    explicit faulty(const options& wanted = {})
        : kernel_(wanted.kernel), random_(wanted.seed),
          faults_(wanted.faults & possible, random_), reason_(faults_.in_words(wanted.seed)) {
        reason_.append(", over ").append(kernel_.name());
        faults_.put_in_force(true);
        if (faults_.has(fault::stop_request)) stop_at_turn_ = faults_.turn_to_stop();
    }
    faulty(const faulty&) = delete;
    faulty& operator=(const faulty&) = delete;

    static constexpr std::string_view kernel_name = "faulty";
    std::string_view name() const noexcept { return kernel_name; }
    /// The seed, the kinds of faults that it has drawn, and the kernel below.
    std::string_view reason() const noexcept { return reason_; }
    const time_point* virtual_clock() const noexcept { return kernel_.virtual_clock(); }
    /// What was drawn, and how often each has struck.
    const fault_plan& faults() const noexcept { return faults_; }
    /// The loop that it asks to stop, and whose coroutine frames it may deny their memory.
    void belong_to(event_loop& loop) noexcept {
        if constexpr (requires { kernel_.belong_to(loop); }) kernel_.belong_to(loop);
        loop_ = &loop;
        faults_.deny_memory(loop.frames());
    }

    static error describe(int number) noexcept {
        return number > made_up ? describe_posix(number - made_up) : Kernel::describe(number);
    }
    static accept_advice after_failed_accept(int number) noexcept {
        return number > made_up ? after_failed_accept_posix(number - made_up)
                                : Kernel::after_failed_accept(number);
    }

    std::intptr_t open(address_family family, socket_kind kind) noexcept {
        if (faults_.strikes(fault::failed_open)) return -(made_up + faults_.lacking());
        return kernel_.open(family, kind);
    }
    int bind(handle socket, endpoint where) noexcept { return kernel_.bind(socket, where); }
    int listen(handle socket, int backlog) noexcept { return kernel_.listen(socket, backlog); }
    int attach(handle socket) noexcept { return kernel_.attach(socket); }
    void detach(handle socket) noexcept { kernel_.detach(socket); }
    int shutdown(handle socket, direction side) noexcept { return kernel_.shutdown(socket, side); }
    void disconnect(handle socket) noexcept { kernel_.disconnect(socket); }
    void close(handle socket) noexcept { kernel_.close(socket); }
    int reuse_address(handle socket) noexcept { return kernel_.reuse_address(socket); }
    int v6_only(handle socket, bool only) noexcept { return kernel_.v6_only(socket, only); }
    int batch_datagrams(handle socket) noexcept { return kernel_.batch_datagrams(socket); }
    template <class Option>
    int set(handle socket, const Option& option) noexcept {
        return kernel_.set(socket, option);
    }
    template <class Option>
    int get(handle socket, Option& option) noexcept {
        return kernel_.get(socket, option);
    }
    endpoint local_endpoint(handle socket) noexcept { return kernel_.local_endpoint(socket); }
    endpoint remote_endpoint(handle socket) noexcept { return kernel_.remote_endpoint(socket); }

    template <class Request>
    started start(operation& each, state<Request>& state, Request& request) noexcept {
        state.above = &each;
        state.accepts = std::same_as<Request, request::accept>;
        if (const int failed = refusal(request)) return finish_now(each, -(made_up + failed));
        if constexpr (std::same_as<Request, request::send_to>) {
            if (faults_.strikes(fault::lost_datagram)) {
                return finish_now(each, static_cast<std::intptr_t>(request.bytes.size()));
            }
        }
        auto& asked = cut_short(state.shortened, request);
        state.pending =
            kernel_.template start<Request>(state, state.below, asked) == started::pending;
        if (state.pending) return started::pending;
        each.outcome = outcome_of(state);
        if (!faults_.strikes(fault::late_completion)) return started::done;
        late_.push(each);
        return started::pending;
    }
    template <class Request>
    void cancel(operation&, state<Request>& state) noexcept {
        // The kernel below has done it, and here it is on its way back.
        if (!state.pending) return;
        state.pass_on = [](late_cancel& self, Kernel& kernel) noexcept {
            auto& mine = static_cast<faulty::state<Request>&>(self);
            // Meanwhile done, and not handed back yet, where that kernel had to end accepting.
            if (mine.pending) kernel.template cancel<Request>(mine, mine.below);
        };
        state.waits = faults_.strikes(fault::late_cancel);
        if (state.waits) cancels_.push(state);
        else state.pass_on(state, kernel_);
    }
    void retire(state<request::accept>& acceptor) noexcept { kernel_.retire(acceptor.below); }

    void wait(deadline until, operation_queue& completed) noexcept {
        if (++turns_ == stop_at_turn_) ask_to_stop();
        pass_cancels_on();
        if (faults_.strikes(fault::idle_wake)) until = long_ago;
        // What is kept back comes in a later turn, and there must be one.
        if (!done_.empty() || !late_.empty() || !cancels_.empty()) until = soon(until);
        operation_queue from_below;
        kernel_.wait(until, from_below);
        let_late_go();
        while (!from_below.empty()) take(static_cast<carried&>(from_below.pop()));
        faults_.hand_over(done_, completed);
    }
    void wake() noexcept { kernel_.wake(); }

private:
    // Error numbers of POSIX that this kernel has made up are told from the system's own, which
    // over Winsock are others.
    static constexpr int made_up = 1 << 24;
    /// What is late leaves, each turn, with a chance of one in so many.
    static constexpr std::uint64_t lateness = 4;
    static constexpr duration longest_turn = std::chrono::milliseconds(1);

    static started finish_now(operation& each, std::intptr_t outcome) noexcept {
        each.outcome = outcome;
        return started::done;
    }

    /// 0, or the number of why it does not begin.
    template <class Request>
    int refusal(const Request& asked) noexcept {
        if (faults_.strikes(fault::full_submission)) return EAGAIN;
        if constexpr (std::same_as<Request, request::accept>) {
            if (!faults_.strikes(fault::failed_accept)) return 0;
            return random_.one_in(2) ? faults_.lacking() : faults_.broken_connection();
        } else if constexpr (std::same_as<Request, request::connect>) {
            if (faults_.strikes(fault::refused_connection)) return ECONNREFUSED;
        } else if constexpr (moves_stream<Request>) {
            if (faults_.strikes(fault::connection_reset)) {
                kernel_.disconnect(asked.socket);
                return ECONNRESET;
            }
        }
        if constexpr (moves_stream<Request> || std::same_as<Request, request::send_to>) {
            if (faults_.strikes(fault::exhausted_buffers)) return ENOBUFS;
        }
        return 0;
    }
    template <class Request>
    static constexpr bool moves_stream =
        std::same_as<Request, request::receive> || std::same_as<Request, request::send> ||
        std::same_as<Request, request::receive_leased> ||
        std::same_as<Request, request::receive_vectored> ||
        std::same_as<Request, request::send_vectored> ||
        std::same_as<Request, request::send_file>;

    std::size_t cut_short(std::size_t whole) noexcept {
        const auto most = faults_.cut_short(whole);
        if (most < whole) faults_.count(fault::short_transfer);
        return most;
    }
    /// What the kernel below is asked for, where that may be less than was asked for here.
    request::receive& cut_short(request::receive& shortened, request::receive& whole) noexcept {
        if (whole.whole) return whole;
        shortened = whole;
        shortened.buffer = whole.buffer.first(cut_short(whole.buffer.size()));
        return shortened;
    }
    request::send& cut_short(request::send& shortened, request::send& whole) noexcept {
        if (whole.whole) return whole;
        shortened = whole;
        shortened.bytes = whole.bytes.first(cut_short(whole.bytes.size()));
        return shortened;
    }
    request::receive_vectored& cut_short(request::receive_vectored& shortened,
                                         request::receive_vectored& whole) noexcept {
        std::size_t left = 0;
        for (std::size_t i = 0; i < whole.count; ++i) left += whole.pieces[i].size();
        left = cut_short(left);
        shortened = whole;
        for (std::size_t i = 0; i < whole.count; ++i) {
            auto& piece = shortened.pieces[i];
            if (left < piece.size()) piece = piece.first(left);
            left -= piece.size();
        }
        return shortened;
    }
    template <class Request>
    static Request& cut_short(Request&, Request& whole) noexcept {
        return whole;
    }

    /// The kernel below has done it; a new connection may break at once.
    std::intptr_t outcome_of(const carried& done) noexcept {
        if (!done.accepts || done.outcome < 0) return done.outcome;
        if (!faults_.strikes(fault::failed_accept)) return done.outcome;
        kernel_.close(static_cast<handle>(done.outcome));
        return -(made_up + ECONNABORTED);
    }
    void take(carried& done) noexcept {
        if (std::exchange(done.waits, false)) cancels_.remove(done);
        done.above->complete(outcome_of(done),
                             faults_.strikes(fault::late_completion) ? late_ : done_);
    }

    void ask_to_stop() noexcept {
        faults_.count(fault::stop_request);
        if (loop_) loop_->request_stop();
    }
    void pass_cancels_on() noexcept {
        intrusive_queue<late_cancel> waiting;
        while (!cancels_.empty()) {
            auto& each = cancels_.pop();
            each.waits = !random_.one_in(lateness);
            if (each.waits) waiting.push(each);
            else each.pass_on(each, kernel_);
        }
        cancels_.take_all(waiting);
    }
    void let_late_go() noexcept {
        operation_queue staying;
        while (!late_.empty()) {
            auto& each = late_.pop();
            if (random_.one_in(lateness)) each.complete(each.outcome, done_);
            else staying.push(each);
        }
        late_.take_all(staying);
    }
    deadline soon(deadline until) noexcept {
        const auto* clock = kernel_.virtual_clock();
        const auto turn_ends = (clock ? *clock : std::chrono::steady_clock::now()) +
                               random_.up_to(longest_turn);
        return turn_ends < until ? turn_ends : until;
    }

    Kernel kernel_;
    seeded_generator random_;
    fault_plan faults_;
    std::string reason_;
    event_loop* loop_ = nullptr;
    std::uint64_t turns_ = 0;
    std::uint64_t stop_at_turn_ = 0;
    /// To be handed back this turn, or the next.
    operation_queue done_;
    operation_queue late_;
    intrusive_queue<late_cancel> cancels_;
};

}  // namespace coho
