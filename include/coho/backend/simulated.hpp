#pragma once

#include "concept.hpp"
#include "file_calls.hpp"
#include "posix_errors.hpp"
#include "simulated_attempt.hpp"
#include "simulated_calls.hpp"

#include "../core/event_loop.hpp"
#include "../core/wake_flag.hpp"

#include <array>
#include <string>
#include <utility>

namespace coho {

/// No kernel: hosts and a network in memory, under a clock that jumps to whatever comes next. What
/// happens by chance, faults included, follows from a seed, so that a run repeats bit for bit.
///
/// All hosts live in one program, told apart by their addresses; the loopback and the "any"
/// addresses are one host, on which also a socket lies that connects without being bound. Names are
/// not simulated: connect to addresses. Where nothing more can happen the root task is asked to
/// stop, as by Ctrl-C; a world that stands still once more ends the process with a sentence. One
/// thread.
class simulated : public simulated_calls {
public:
    using options = simulated_options;
    template <class Request>
    using state = simulated_state<Request>;

    explicit simulated(const options& wanted = {}) : simulated_calls(wanted) {
        if (faults_.drawn().contains(fault::stop_request)) {
            // At some step, or while the world sleeps.
            if (random_.one_in(2)) stop_at_turn_ = faults_.turn_to_stop();
            const auto span = static_cast<std::uint64_t>(
                (wanted.faults_end - wanted.faults_begin).count());
            schedule(happening::stop_asked, beginning + wanted.faults_begin +
                                                duration(span ? random_.below(span) : 0));
        }
        reason_ = faults_.in_words(wanted.seed);
    }

    static constexpr std::string_view kernel_name = "simulated";
    std::string_view name() const noexcept { return kernel_name; }
    /// The seed, and the kinds of faults that it has drawn.
    std::string_view reason() const noexcept { return reason_; }
    const time_point* virtual_clock() const noexcept { return &now_; }
    /// The loop that it asks to stop, and whose coroutine frames it may deny their memory.
    void belong_to(event_loop& loop) noexcept {
        loop_ = &loop;
        faults_.deny_memory(loop.frames());
    }
    /// How often nothing more could happen while every task waited.
    int standstills() const noexcept { return standstills_; }
    /// When it asked the root task to stop; `never` where it has not.
    deadline stop_asked_at() const noexcept { return stop_asked_at_; }
    /// Turns of the loop so far.
    std::uint64_t turns() const noexcept { return turns_; }

    static error describe(int number) noexcept { return describe_posix(number); }
    static accept_advice after_failed_accept(int number) noexcept {
        return after_failed_accept_posix(number);
    }

    template <class Request>
    started start(operation& each, state<Request>& state, Request& request) noexcept {
        state.template prepare<simulated>(each, request);
        if constexpr (request::is_leased<Request>) state.grant_by(granted_.of<Request>());
        auto* const socket = sockets_.find(state.socket());
        if (!socket) return finish_now(state, -EBADF);
        note(happening::started, socket->self.serial, static_cast<std::uint64_t>(state.side));
        if (faults_.strikes(fault::full_submission)) return finish_now(state, -EAGAIN);
        if constexpr (std::same_as<Request, request::connect>) {
            const int failed = begin_connect(*socket, request.peer);
            if (failed) return finish_now(state, -failed);
        }
        auto& place = socket->waiting[static_cast<int>(state.side)];
        check(!place, "two operations of one direction were started on one socket");
        const bool later = faults_.strikes(fault::pending_start);
        const auto outcome = later ? blocked : attempt(*socket, state);
        if (outcome != blocked && !faults_.strikes(fault::late_completion)) {
            return finish_now(state, outcome);
        }
        state.serial = ++attempts_;
        const bool scribbles = outcome == blocked && state.progress == 0 &&
                               fills_memory<Request> && faults_.strikes(fault::scribbled_buffer);
        state.digest = state.lend(state, scribbles);
        if (outcome != blocked) {
            complete_later(state, outcome);
        } else {
            place = &state;
            if (later) tell(*socket);
        }
        return started::pending;
    }
    template <class Request>
    void cancel(operation&, state<Request>& state) noexcept {
        auto* const socket = sockets_.find(state.socket());
        // Elsewhere it is done, and on its way back.
        if (!socket || socket->waiting[static_cast<int>(state.side)] != &state) return;
        if (faults_.strikes(fault::late_cancel)) {
            schedule(happening::late_cancel, now_ + random_.up_to(longest_delay), socket->self,
                     state.serial);
        } else {
            take_cancelled(*socket, state);
        }
    }
    void retire(state<request::accept>& acceptor) noexcept {
        if (!acceptor.waiter) return;
        auto* const listener = sockets_.find(acceptor.socket());
        if (listener && listener->waiting[0] == &acceptor) take_cancelled(*listener, acceptor);
    }

    void wait(deadline until, operation_queue& completed) noexcept {
        note(happening::turn, ++turns_, 0);
        check(options_.most_turns == 0 || turns_ <= options_.most_turns,
              "a simulated world has come to no end within its limit of turns");
        if (stop_at_turn_ > 0 && turns_ >= stop_at_turn_ && may_ask_to_stop()) {
            note(happening::stop_asked, turns_, 0);
            ask_to_stop();
        }
        // What a program does takes time too, so that one which waits by asking for the time ends.
        pass_to(now_ + std::chrono::microseconds(1));
        if (faults_.has(fault::clock_jump) && random_.one_in(64) &&
            faults_.strikes(fault::clock_jump)) {
            pass_to(now_ + random_.up_to(std::chrono::minutes(1)));
        }
        while (completed_.empty() && !woken_.take() &&
               now_ < until && !faults_.strikes(fault::idle_wake)) {
            const auto next = agenda_.next() < until ? agenda_.next() : until;
            if (next == never) {
                stand_still();
                break;
            }
            pass_to(next);
        }
        faults_.hand_over(completed_, completed);
    }
    void wake() noexcept { woken_.set(); }

private:
    template <class Request>
    friend struct simulated_state;

    /// From done to handed back, and from asked to cancelled.
    static constexpr duration longest_delay = std::chrono::milliseconds(20);

    // An attempt gives the outcome, or `blocked`.
    std::intptr_t attempt(simulated_socket& listener, state<request::accept>&) noexcept {
        if (listener.broken) return -listener.broken;
        if (listener.stage != simulated_stage::listening) return -EINVAL;
        if (!listener.first_connection) return blocked;
        if (faults_.strikes(fault::failed_accept)) return -fail_accept(listener);
        if (listener.first_connection->number == handle::none) {
            if (const int failed = give_number(*listener.first_connection)) return -failed;
        }
        return static_cast<std::intptr_t>(listener.pop_connection().number);
    }
    std::intptr_t attempt(simulated_socket& client, state<request::connect>&) noexcept {
        if (client.broken) return -client.broken;
        return client.stage == simulated_stage::connected ? 0 : blocked;
    }
    std::intptr_t attempt(simulated_socket& socket, state<request::receive>& state) noexcept {
        const auto& asked = *state.asked;
        return move_bytes(state.progress, asked.buffer.size(), asked.whole, [&](std::size_t most) {
            return take_bytes(socket, asked.buffer.subspan(state.progress, most));
        });
    }
    std::intptr_t attempt(simulated_socket& socket,
                          state<request::receive_leased>& state) noexcept {
        // Silent connections hold no buffer.
        if (is_silent(socket) || !state.obtain(*state.asked->buffers)) return blocked;
        const auto room = state.room();
        const auto most = faults_.cut_short(room.size());
        const auto moved = take_bytes(socket, room.first(most));
        count_short(moved, most, room.size());
        state.settle(moved, *state.asked->buffers);
        return moved;
    }
    std::intptr_t attempt(simulated_socket& socket, state<request::send>& state) noexcept {
        const auto& asked = *state.asked;
        return move_bytes(state.progress, asked.bytes.size(), asked.whole, [&](std::size_t most) {
            return transmit(socket, asked.bytes.subspan(state.progress, most));
        });
    }
    std::intptr_t attempt(simulated_socket& socket,
                          state<request::receive_vectored>& state) noexcept {
        return move_pieces(state, false, [&](std::byte* data, std::size_t most) {
            return take_bytes(socket, {data, most});
        });
    }
    std::intptr_t attempt(simulated_socket& socket, state<request::send_vectored>& state) noexcept {
        return move_pieces(state, true, [&](std::byte* data, std::size_t most) {
            return transmit(socket, {data, most});
        });
    }
    std::intptr_t attempt(simulated_socket& socket, state<request::send_file>& state) noexcept {
        const auto& asked = *state.asked;
        std::array<std::byte, 4096> part;
        return move_bytes(state.progress, asked.count, true, [&](std::size_t most) {
            const auto wanted = most < part.size() ? most : part.size();
            const auto read = file_calls::read(asked.file, asked.offset + state.progress,
                                               std::span(part).first(wanted));
            // Systems differ in the number, and worlds must not.
            if (read < 0) return std::intptr_t(-EIO);
            return transmit(socket, std::span(part).first(static_cast<std::size_t>(read)));
        });
    }
    std::intptr_t attempt(simulated_socket& mailbox, state<request::receive_from>& state) noexcept {
        if (mailbox.broken) return -mailbox.broken;
        if (!mailbox.first_datagram) return blocked;
        // How many are joined is for a kernel to say.
        const auto most =
            mailbox.batches_datagrams ? faults_.cut_short(request::most_datagrams) : 1;
        return static_cast<std::intptr_t>(mailbox.take_datagrams(*state.asked, most));
    }
    std::intptr_t attempt(simulated_socket& mailbox,
                          state<request::receive_from_leased>& state) noexcept {
        auto& asked = *state.asked;
        auto outcome = static_cast<std::intptr_t>(-mailbox.broken);
        if (!mailbox.broken) {
            if (!mailbox.first_datagram || !state.obtain(*asked.buffers)) return blocked;
            outcome = static_cast<std::intptr_t>(mailbox.take_datagram(state.room(), asked));
        }
        state.settle(outcome, *asked.buffers);
        return outcome;
    }
    std::intptr_t attempt(simulated_socket& socket, state<request::send_to>& state) noexcept {
        if (faults_.strikes(fault::exhausted_buffers)) return -ENOBUFS;
        const auto& asked = *state.asked;
        const int failed = asked.size > 0
                               ? send_datagrams(socket, asked.to, asked.bytes, asked.size)
                               : send_datagram(socket, asked.to, asked.bytes);
        return failed ? -failed : static_cast<std::intptr_t>(asked.bytes.size());
    }
    std::intptr_t attempt(simulated_socket& socket, state<request::poll>& state) noexcept {
        const bool ready = state.side == direction::send
                               ? socket.broken || has_room(socket)
                               : can_receive(socket) || socket.first_connection ||
                                     socket.first_datagram;
        return ready ? 0 : blocked;
    }
    /// Nothing can be told to who receives, not even an error.
    static bool is_silent(const simulated_socket& socket) noexcept {
        return !can_receive(socket) && (socket.stage == simulated_stage::connected ||
                                        socket.stage == simulated_stage::connecting);
    }
    /// There are bytes, or the end of them.
    static bool can_receive(const simulated_socket& socket) noexcept {
        return socket.broken || socket.arrived > 0 || socket.end_arrived || socket.receiving_ended;
    }

    /// The number of what went wrong; a connection that broke is gone.
    int fail_accept(simulated_socket& listener) noexcept {
        if (random_.one_in(2)) return faults_.lacking();
        auto& broken = listener.pop_connection();
        leave(broken);
        forget(broken);
        return faults_.broken_connection();
    }
    void count_short(std::intptr_t moved, std::size_t most, std::size_t wanted) noexcept {
        if (most < wanted && moved == static_cast<std::intptr_t>(most)) {
            faults_.count(fault::short_transfer);
        }
    }
    template <class Move>
    std::intptr_t move_bytes(std::size_t& progress, std::size_t wanted, bool whole,
                             Move&& move) noexcept {
        for (;;) {
            if (faults_.strikes(fault::exhausted_buffers)) return -ENOBUFS;
            const auto left = wanted - progress;
            const auto most = faults_.cut_short(left);
            const auto moved = move(most);
            if (moved < 0) return moved;
            count_short(moved, most, left);
            progress += static_cast<std::size_t>(moved);
            if (!whole || moved == 0 || progress == wanted) {
                return static_cast<std::intptr_t>(progress);
            }
        }
    }
    template <class State, class Move>
    std::intptr_t move_pieces(State& state, bool whole, Move&& move) noexcept {
        std::size_t wanted = 0;
        for_each_lent(*state.asked, [&](std::byte*, std::size_t size) { wanted += size; });
        return move_bytes(state.progress, wanted, whole, [&](std::size_t most) {
            std::intptr_t moved = 0;
            bool goes_on = true;
            request::for_each_piece(
                state.asked->pieces, state.asked->count, state.progress,
                [&](std::byte* data, std::size_t size) {
                    const auto left = most - static_cast<std::size_t>(moved);
                    if (!goes_on || left == 0) return;
                    const auto part = move(data, size < left ? size : left);
                    goes_on = part > 0;
                    if (part > 0 || moved == 0) moved += part;
                });
            return moved;
        });
    }

    /// Numbers of errors differ between systems, and traces must not.
    static std::uint64_t portable(std::intptr_t outcome) noexcept {
        if (outcome >= 0) return static_cast<std::uint64_t>(outcome);
        const auto reason = describe_posix(static_cast<int>(-outcome)).reason();
        return std::uint64_t(0) - static_cast<std::uint64_t>(reason);
    }
    /// The state may outlive the operation, and is to forget it.
    static started finish_now(simulated_attempt& done, std::intptr_t outcome) noexcept {
        std::exchange(done.waiter, nullptr)->outcome = outcome;
        return started::done;
    }
    void complete_later(simulated_attempt& done, std::intptr_t outcome) noexcept {
        done.waiter->outcome = outcome;
        schedule(happening::completion, now_ + random_.up_to(longest_delay), {}, done.serial,
                 &done);
    }
    void hand_back(simulated_attempt& done, std::intptr_t outcome) noexcept {
        check(done.waiter, "a simulated kernel hands an operation back twice");
        give_memory_back(done);
        std::exchange(done.waiter, nullptr)->complete(outcome, completed_);
    }
    static void give_memory_back(simulated_attempt& lender) noexcept {
        check(lender.give_back(lender) == lender.digest,
              "memory was changed while it was the kernel's: a buffer was used, or freed, before "
              "its operation was over");
    }
    void take_cancelled(simulated_socket& socket, simulated_attempt& stopped) noexcept {
        note(happening::cancelled, socket.self.serial, static_cast<std::uint64_t>(stopped.side));
        socket.waiting[static_cast<int>(stopped.side)] = nullptr;
        if (stopped.give_up_buffer) stopped.give_up_buffer(stopped);
        if (stopped.connects) abandon_connect(socket);
        hand_back(stopped, -ECANCELED);
    }

    void try_again(simulated_socket& socket, direction side) noexcept {
        auto*& place = socket.waiting[static_cast<int>(side)];
        if (!place) return;
        auto& waiting = *place;
        // What is only read need not be digested each time: its pieces may be many.
        if (waiting.fills) give_memory_back(waiting);
        const auto outcome = waiting.again(waiting, *this, socket);
        if (waiting.fills) waiting.digest = waiting.lend(waiting, false);
        if (outcome == blocked) return;
        place = nullptr;
        note(happening::finished, socket.self.serial, portable(outcome));
        if (faults_.strikes(fault::late_completion)) complete_later(waiting, outcome);
        else hand_back(waiting, outcome);
    }
    void look_at_changed() noexcept {
        do {
            look_at_granted();
            look_at_told();
        } while (!granted_.empty());
    }
    void look_at_told() noexcept {
        for (std::size_t i = 0; i < changed_count_; ++i) {
            const auto which = changed_[i];
            for (const auto side : {direction::receive, direction::send}) {
                auto* const socket = sockets_.find(which);
                if (!socket) continue;
                socket->changed = false;
                accept_ahead(*socket);
                try_again(*socket, side);
            }
        }
        changed_count_ = 0;
    }
    /// As a kernel does that goes on accepting (multishot); they count as open from here on.
    void accept_ahead(simulated_socket& listener) noexcept {
        for (auto* each = listener.first_connection; each; each = each->next_connection) {
            if (each->number != handle::none || !faults_.strikes(fault::accept_ahead)) break;
            if (give_number(*each)) break;
        }
    }

    void look_at_granted() noexcept {
        granted_.take_each<simulated>(
            [this](auto& state) { tell(*sockets_.find(state.socket())); });
    }

    /// Everything up to that time happens.
    void pass_to(time_point when) noexcept {
        look_at_changed();
        while (agenda_.next() <= when) {
            const auto event = agenda_.pop();
            if (event.when > now_) set_clock(event.when);
            note(event.what, event.of.serial, event.amount);
            happen(event);
            look_at_changed();
        }
        if (when > now_) set_clock(when);
    }
    void happen(const simulated_event& event) noexcept {
        auto* const socket = sockets_.find(event.of);
        if (event.what == happening::datagram) {
            deliver(std::unique_ptr<simulated_datagram>(
                static_cast<simulated_datagram*>(event.subject)));
        } else if (event.what == happening::completion) {
            auto& done = *static_cast<simulated_attempt*>(event.subject);
            hand_back(done, done.waiter->outcome);
        } else if (event.what == happening::cut || event.what == happening::mend) {
            change_weather(event.what);
        } else if (event.what == happening::stop_asked) {
            ask_to_stop();
        } else if (socket && event.what == happening::late_cancel) {
            for (auto* each : socket->waiting) {
                if (each && each->serial == event.amount) take_cancelled(*socket, *each);
            }
        } else if (socket) {
            happen_to(*socket, event);
        }
    }
    bool may_ask_to_stop() const noexcept {
        return stop_asked_at_ == never && faults_.has(fault::stop_request);
    }
    void ask_to_stop() noexcept {
        if (!may_ask_to_stop()) return;
        stop_asked_at_ = now_;
        faults_.count(fault::stop_request);
        if (loop_) loop_->request_stop();
    }
    void stand_still() noexcept {
        note(happening::standstill, ++standstills_, 0);
        check(standstills_ == 1,
              "a simulated world stands still: every task waits, nothing more can happen, and the "
              "request to stop has changed nothing");
        if (loop_) loop_->request_stop();
    }

    std::string reason_;
    event_loop* loop_ = nullptr;
    wake_flag<> woken_;
    operation_queue completed_;
    granted_receives granted_;
    std::uint64_t attempts_ = 0;
    std::uint64_t turns_ = 0;
    std::uint64_t stop_at_turn_ = 0;
    int standstills_ = 0;
    deadline stop_asked_at_ = never;
};

static_assert(backend<simulated>);

}  // namespace coho
