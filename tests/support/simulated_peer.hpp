#pragma once

#include "kernels.hpp"
#include "raw_socket.hpp"

#include <coho.hpp>

#include <chrono>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace support {

/// What raw_socket is on a real kernel: a blocking socket, for the other side of what is tested. It
/// lives within run(). While it blocks the world goes on and no coroutine is resumed; what it does
/// has reached the other side when its call is over, as over a real loopback.
class simulated_peer : public blocking_peer<simulated_peer> {
public:
    static constexpr bool resets = true;
    static constexpr int buffer_factor = 1;

    explicit simulated_peer(coho::socket_kind kind,
                            coho::address_family family = coho::address_family::ipv4)
        : simulated_peer(static_cast<coho::handle>(checked(kernel_here().open(family, kind))),
                         kind) {}
    simulated_peer(simulated_peer&& other) noexcept
        : kernel_(other.kernel_), handle_(std::exchange(other.handle_, coho::handle::none)),
          kind_(other.kind_), to_(other.to_) {}
    simulated_peer& operator=(simulated_peer other) noexcept {
        std::swap(kernel_, other.kernel_);
        std::swap(handle_, other.handle_);
        std::swap(kind_, other.kind_);
        std::swap(to_, other.to_);
        return *this;
    }
    ~simulated_peer() { close(); }

    static simulated_peer bound(coho::socket_kind kind,
                                const coho::endpoint& where = coho::endpoint::loopback(0)) {
        simulated_peer socket(kind, where.address().family());
        checked(-socket.kernel_->bind(socket.handle_, where));
        return socket;
    }
    static simulated_peer listening(int backlog = 100) {
        auto socket = bound(coho::socket_kind::stream);
        checked(-socket.kernel_->listen(socket.handle_, backlog));
        return socket;
    }

    void connect(const coho::endpoint& peer) {
        to_ = peer;
        if (kind_ == coho::socket_kind::datagram) return;
        checked(wait_for(coho::request::connect{handle_, peer}, "to be connected"));
        let_arrive();
    }
    simulated_peer accept() {
        const auto accepted = checked(wait_for(coho::request::accept{handle_}, "for a connection"));
        return simulated_peer(static_cast<coho::handle>(accepted), coho::socket_kind::stream);
    }

    void send(std::string_view text) {
        const auto bytes = coho::as_bytes(text);
        if (kind_ == coho::socket_kind::datagram) {
            checked(wait_for(coho::request::send_to{handle_, bytes, to_}, "to send"));
        } else {
            checked(wait_for(coho::request::send{handle_, bytes, true}, "for room to send"));
        }
        let_arrive();
    }
    /// Of a stream: so many bytes, or fewer where it ends before.
    std::string receive(std::size_t count) {
        std::string bytes(count, '\0');
        const auto place = std::as_writable_bytes(std::span(bytes));
        bytes.resize(static_cast<std::size_t>(
            checked(wait_for(coho::request::receive{handle_, place, true}, "for bytes"))));
        let_arrive();
        return bytes;
    }
    /// Whether the stream is over, by an end or a reset; waits for either of them or a byte.
    bool is_over() {
        const auto received = receive_byte();
        return received == 0 || is_reset(received);
    }
    /// Whether a reset has ended the stream; waits for that, an end or a byte.
    bool is_reset() { return is_reset(receive_byte()); }
    void shutdown_send() {
        checked(-kernel_->shutdown(handle_, coho::direction::send));
        let_arrive();
    }
    void close() noexcept {
        if (handle_ == coho::handle::none) return;
        kernel_->close(std::exchange(handle_, coho::handle::none));
        let_arrive();
    }
    /// The peer gets a reset instead of an end.
    void reset() {
        checked(-kernel_->set(handle_, coho::linger{.value = true, .time = {}}));
        close();
    }

    coho::endpoint local_endpoint() const { return kernel_->local_endpoint(handle_); }
    coho::handle native_handle() const noexcept { return handle_; }

    // What a look from outside tells of sockets of coho.
    static std::size_t unread_bytes(coho::handle socket) {
        return kernel_here().unread_bytes(socket);
    }
    static bool has_connection_waiting(coho::handle listener) {
        return kernel_here().has_connection_waiting(listener);
    }
    static std::size_t open_sockets() { return kernel_here().open_handles(); }

private:
    simulated_peer(coho::handle taken_over, coho::socket_kind kind)
        : kernel_(&kernel_here()), handle_(taken_over), kind_(kind) {}

    static simulated& kernel_here() { return coho::scheduler<simulated>::current().kernel(); }
    static std::intptr_t checked(std::intptr_t outcome) {
        if (outcome >= 0) return outcome;
        throw coho::failure(coho::simulated::describe(static_cast<int>(-outcome)));
    }
    static bool is_reset(std::intptr_t outcome) noexcept {
        return outcome < 0 && coho::simulated::describe(static_cast<int>(-outcome)) ==
                                  coho::errc::connection_reset;
    }
    std::intptr_t receive_byte() {
        std::byte byte;
        return wait_for(coho::request::receive{handle_, {&byte, 1}}, "for a byte or the end");
    }
    void let_arrive() noexcept { kernel_->go_on(coho::long_ago); }

    template <class Request>
    std::intptr_t wait_for(Request asked, std::string_view what) {
        coho::operation own;
        simulated::state<Request> state;
        if (kernel_->start(own, state, asked) == coho::started::done) return own.outcome;
        const auto& now = *kernel_->virtual_clock();
        const auto until = now + liveness;
        while (!kernel_->takes_back(own)) {
            if (now < until) {
                kernel_->go_on(until);
                continue;
            }
            kernel_->cancel(own, state);
            while (!kernel_->takes_back(own)) kernel_->go_on(now + liveness);
            throw std::runtime_error("a blocking peer has waited " + std::string(what) +
                                     " for a minute of the world's time: what it waits for does "
                                     "not come by itself, and no coroutine runs meanwhile");
        }
        return own.outcome;
    }

    simulated* kernel_;
    coho::handle handle_;
    coho::socket_kind kind_;
    /// Where a datagram goes.
    coho::endpoint to_;
};

template <class Backend>
inline constexpr bool is_simulated = std::is_same_v<Backend, simulated>;

/// A blocking socket on what that kernel works with.
template <class Backend>
using peer_of = std::conditional_t<is_simulated<Backend>, simulated_peer, raw_socket>;

}  // namespace support
