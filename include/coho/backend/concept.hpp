#pragma once

#include "options.hpp"
#include "request.hpp"

#include "../core/operation.hpp"
#include "../core/timer.hpp"

#include <concepts>
#include <string_view>

namespace coho {

/// A backend performs a request R: it starts it, in the place where the operation, the state and
/// the request stay until the operation is handed back.
///
/// start: `done` sets the outcome and resumes nobody; `pending` means that wait() will hand the
/// operation back, exactly once, also after cancel. cancel: asks, once, for an operation that is
/// pending; one that succeeds all the same reports success. Never fails, never drops.
template <class Backend, class Request>
concept performs =
    std::default_initializable<typename Backend::template state<Request>> &&
    requires(Backend& backend, operation& each, typename Backend::template state<Request>& state,
             Request& request) {
        { backend.template start<Request>(each, state, request) } noexcept -> std::same_as<started>;
        { backend.template cancel<Request>(each, state) } noexcept;
    };

/// What the scheduler needs of a kernel. One thread uses a backend, but for wake().
template <class B>
concept backend = performs<B, request::accept> && performs<B, request::connect> &&
        performs<B, request::receive> && performs<B, request::send> &&
        performs<B, request::receive_leased> && performs<B, request::receive_vectored> &&
        performs<B, request::send_vectored> && performs<B, request::send_file> &&
        performs<B, request::receive_from> && performs<B, request::send_to> &&
        performs<B, request::receive_from_leased> && performs<B, request::poll> &&
        std::constructible_from<B, const typename B::options&> &&
        requires(B& kernel, const B& constant, handle socket, endpoint where, deadline until,
                 operation_queue& completed, address_family family, socket_kind kind, int number,
                 typename B::template state<request::accept>& acceptor) {
        // Sockets. What opens is made to work with this kernel; attach() takes in a handle from
        // elsewhere.
        { kernel.open(family, kind) } noexcept -> std::same_as<std::intptr_t>;
        { kernel.bind(socket, where) } noexcept -> std::same_as<int>;
        { kernel.listen(socket, number) } noexcept -> std::same_as<int>;
        { kernel.attach(socket) } noexcept -> std::same_as<int>;
        { kernel.detach(socket) } noexcept;
        { kernel.shutdown(socket, direction::send) } noexcept -> std::same_as<int>;
        // The peer sees the end at once; what is pending may end by it.
        { kernel.disconnect(socket) } noexcept;
        { kernel.reuse_address(socket) } noexcept -> std::same_as<int>;
        { kernel.v6_only(socket, true) } noexcept -> std::same_as<int>;
        { kernel.set(socket, no_delay()) } noexcept -> std::same_as<int>;
        // From now on one request may receive, or send, several datagrams; where it fails, but one.
        { kernel.batch_datagrams(socket) } noexcept -> std::same_as<int>;
        // No operation may be pending on it; an acceptor is retired before its listener is closed.
        { kernel.close(socket) } noexcept;
        { kernel.retire(acceptor) } noexcept;
        { kernel.local_endpoint(socket) } noexcept -> std::same_as<endpoint>;
        { kernel.remote_endpoint(socket) } noexcept -> std::same_as<endpoint>;
        // The system's number as a portable error, and what a listener makes of it.
        { B::describe(number) } noexcept -> std::same_as<error>;
        { B::after_failed_accept(number) } noexcept -> std::same_as<accept_advice>;

        // Submits, sleeps until something completes, wake() is called or the time has come, and
        // queues what completed. Resumes nobody. A time that has passed means: do not sleep.
        { kernel.wait(until, completed) } noexcept;
        // Any thread, also within a signal handler: the wait() that runs or the next one returns,
        // and what was done before is seen after it.
        { kernel.wake() } noexcept;
        { constant.virtual_clock() } noexcept -> std::same_as<const time_point*>;
        { constant.name() } noexcept -> std::same_as<std::string_view>;
        // Why this kernel, in words.
        { constant.reason() } noexcept -> std::same_as<std::string_view>;
    };

}  // namespace coho
