#pragma once

#include "datagram_operations.hpp"

#include <array>
#include <concepts>
#include <span>
#include <utility>

namespace coho {

/// Sends and receives datagrams: messages with bounds, each on its own, which may be lost, doubled
/// or overtaken. udp(7). One task at a time may receive, and one may send.
template <backend Backend>
class basic_udp_socket {
    using socket_type = basic_socket<Backend, socket_role::datagram>;

public:
    /// Binds to an address; to be called within a task. Port 0 is any free one, for clients.
    static result<basic_udp_socket> bind(endpoint where) noexcept {
        auto& on = scheduler<Backend>::current();
        auto& kernel = on.kernel();
        const auto opened = kernel.open(where.address().family(), socket_kind::datagram);
        int failed = opened < 0 ? static_cast<int>(-opened) : 0;
        if (!failed) {
            socket_type socket(on, static_cast<handle>(opened));
            if (where.address().is_v6()) failed = kernel.v6_only(socket.native_handle(), false);
            if (!failed) failed = kernel.bind(socket.native_handle(), where);
            if (!failed) return basic_udp_socket(std::move(socket));
        }
        return about(Backend::describe(failed), "cannot bind a datagram socket to ", where);
    }

    /// One datagram, from anybody. An empty one is a datagram too.
    [[nodiscard]] auto receive_from(std::span<std::byte> buffer) noexcept {
        check(!in_batches_, one_by_one);
        return receiving_from<Backend>(socket_, {socket_.native_handle(), buffer, {}, false});
    }
    /// Sends all of it as one datagram: 65,507 bytes at most over IPv4, else
    /// errc::message_too_large.
    [[nodiscard]] auto send_to(std::span<const std::byte> bytes, endpoint to) noexcept {
        return sending_to<Backend>(socket_, {socket_.native_handle(), bytes, to});
    }

    /// Sends the bytes of a lease as one datagram, and its buffer goes home once that is over.
    // A template, so that send_to({}, to) goes on to mean an empty datagram.
    template <std::same_as<lease> Lease>
    [[nodiscard]] auto send_to(Lease&& bytes, endpoint to) noexcept {
        auto sending = send_to(std::span<const std::byte>(bytes.bytes()), to);
        return sending_leases(std::move(sending), std::array{bytes.release()});
    }

    /// The datagrams that come, as leases of the scheduler's pool of buffers: no buffer belongs to
    /// a socket that is silent. One that is longer than a buffer is cut. From now on the socket has
    /// no batches. Throws std::bad_alloc where there is no memory for the pool.
    ///
    ///     auto incoming = socket.incoming();
    ///     while (auto datagram = co_await incoming.next()) ...
    [[nodiscard]] auto incoming() {
        check(!in_batches_, one_by_one);
        in_leases_ = true;
        return basic_incoming<socket_type, receiving_lease<Backend>>(socket_);
    }

    /// Its datagrams in batches. From now on it is received from by batches alone; datagrams that
    /// are sent one by one may still be.
    ///
    ///     auto batches = socket.batches();
    ///     while (auto batch = co_await batches.receive(buffer)) ...
    [[nodiscard]] basic_datagram_batches<Backend> batches() noexcept {
        check(!socket_.is_used(direction::receive) && !in_leases_, one_by_one);
        in_batches_ = true;
        return basic_datagram_batches<Backend>(socket_);
    }

    /// What others still wait for on this socket ends as errc::cancelled.
    [[nodiscard]] auto close() noexcept { return socket_.close(); }
    bool is_open() const noexcept { return socket_.is_open(); }

    endpoint local_endpoint() const noexcept {
        return is_open() ? socket_.kernel().local_endpoint(native_handle()) : endpoint();
    }

    template <class Option>
    result<void> set(Option option) noexcept {
        return socket_.ask([&](auto& kernel) { return kernel.set(native_handle(), option); });
    }
    template <class Option>
    result<Option> get() const noexcept {
        Option option;
        auto asked = socket_.ask([&](auto& kernel) { return kernel.get(native_handle(), option); });
        if (!asked) return std::move(asked).error();
        return option;
    }

    handle native_handle() const noexcept { return socket_.native_handle(); }

private:
    static constexpr const char* one_by_one =
        "receive_from() or incoming() was used on a socket that receives batches, and would take "
        "several datagrams for one; receive from its batches alone";

    explicit basic_udp_socket(socket_type&& bound) noexcept
        : socket_(std::move(bound)) {}

    socket_type socket_;
    bool in_batches_ = false;
    bool in_leases_ = false;
};

using udp_socket = basic_udp_socket<native>;

}  // namespace coho
