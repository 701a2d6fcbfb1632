#pragma once

#include "leased_operations.hpp"
#include "socket.hpp"

#include "../backend/native.hpp"
#include "../task/task.hpp"

#include <cstddef>
#include <span>

namespace coho {

/// A datagram that arrived. Its bytes lie in the buffer that was given.
struct datagram {
    std::span<std::byte> bytes;
    endpoint from;
    /// It was longer than the buffer, and the rest is lost.
    bool truncated = false;
};

template <backend Backend>
class [[nodiscard]] receiving_from
    : public socket_operation<receiving_from<Backend>, Backend, request::receive_from,
                              direction::receive, socket_role::datagram> {
public:
    using receiving_from::socket_operation::socket_operation;

    result<datagram> finish() noexcept {
        auto outcome = this->outcome();
        if (!outcome) return std::move(outcome).error();
        auto& asked = this->request();
        return datagram{asked.buffer.first(*outcome), asked.from, asked.truncated};
    }
};

template <backend Backend>
class [[nodiscard]] sending_to
    : public socket_operation<sending_to<Backend>, Backend, request::send_to, direction::send,
                              socket_role::datagram> {
public:
    using sending_to::socket_operation::socket_operation;

    result<void> finish() noexcept {
        const auto to = this->request().to;
        auto outcome = this->outcome();
        if (!outcome) return about(outcome.error(), "cannot send a datagram to ", to);
        return {};
    }
};

/// A datagram that arrived in a buffer of the scheduler's pool; an empty one has a buffer too.
struct leased_datagram {
    coho::lease lease;
    endpoint from;
    /// It was longer than the buffer, and the rest is lost.
    bool truncated = false;

    std::span<std::byte> bytes() const noexcept { return lease.bytes(); }
};

template <backend Backend>
class [[nodiscard]] receiving_lease
    : public socket_operation<receiving_lease<Backend>, Backend, request::receive_from_leased,
                              direction::receive, socket_role::datagram> {
public:
    using receiving_lease::socket_operation::socket_operation;

    result<leased_datagram> finish() noexcept {
        auto outcome = this->outcome();
        if (!outcome) return std::move(outcome).error();
        const auto& asked = this->request();
        return leased_datagram{this->state().take_held(), asked.from, asked.truncated};
    }
};

/// Datagrams of one sender that arrived as one. Their bytes lie in the buffer that was given, one
/// after another.
///
///     for (auto datagram : *batch) ...
struct datagram_batch {
    std::span<std::byte> bytes;
    /// Of each datagram but the last, which may be shorter.
    std::size_t size = 0;
    endpoint from;
    /// The buffer was too small: what did not fit is lost, and the last datagram here may have lost
    /// its end.
    bool truncated = false;

    struct iterator {
        const datagram_batch* batch;
        std::size_t index;

        std::span<std::byte> operator*() const noexcept { return (*batch)[index]; }
        iterator& operator++() noexcept {
            ++index;
            return *this;
        }
        friend bool operator==(const iterator&, const iterator&) = default;
    };

    /// At least one, for an empty datagram is one too.
    std::size_t count() const noexcept {
        return bytes.empty() ? 1 : (bytes.size() - 1) / size + 1;
    }
    /// From 0 to count() - 1.
    std::span<std::byte> operator[](std::size_t index) const noexcept {
        const auto rest = bytes.subspan(index * size);
        return rest.first(size < rest.size() ? size : rest.size());
    }
    iterator begin() const noexcept { return {this, 0}; }
    iterator end() const noexcept { return {this, count()}; }
};

template <backend Backend>
class [[nodiscard]] receiving_batch
    : public socket_operation<receiving_batch<Backend>, Backend, request::receive_from,
                              direction::receive, socket_role::datagram> {
public:
    using receiving_batch::socket_operation::socket_operation;

    result<datagram_batch> finish() noexcept {
        auto outcome = this->outcome();
        if (!outcome) return std::move(outcome).error();
        const auto& asked = this->request();
        const auto bytes = asked.buffer.first(*outcome);
        return datagram_batch{bytes, asked.size > 0 ? asked.size : bytes.size(), asked.from,
                              asked.truncated};
    }
};

/// The datagrams of a socket in batches, each of which costs the program and the system about as
/// much as one datagram: the system joins what it receives and divides what it sends (UDP_GRO and
/// UDP_SEGMENT of udp(7), Linux 5.0). Where it cannot, datagrams come and go one by one, and the
/// program is the same. The socket must outlive it, and stay where it is.
template <backend Backend>
class basic_datagram_batches {
    using socket_type = basic_socket<Backend, socket_role::datagram>;

public:
    explicit basic_datagram_batches(socket_type& socket) noexcept
        : socket_(&socket), divides_(socket.ask([&](auto& kernel) {
              return kernel.batch_datagrams(socket.native_handle());
          })) {}

    /// What has come of one sender, at least one datagram and at most 65,535 bytes: a smaller
    /// buffer may lose some, see datagram_batch::truncated.
    [[nodiscard]] auto receive(std::span<std::byte> buffer) noexcept {
        return receiving_batch<Backend>(*socket_, {socket_->native_handle(), buffer, {}});
    }

    /// Sends the bytes as datagrams of that size each, the last of which may be shorter; no bytes
    /// are one empty datagram. Any number of them: the system is called once for 64 datagrams or
    /// 65,487 bytes, or for each datagram where it will not divide them, as it may say anew for
    /// each route (such as where the size is above the MTU).
    ///
    /// After an error it is unknown how many went. errc::message_too_large where one of that size
    /// cannot be sent, see send_to(); errc::invalid_argument for a size of 0.
    [[nodiscard]] task<result<void>> send(std::span<const std::byte> bytes, std::size_t size,
                                          endpoint to);

private:
    static std::size_t most_bytes_at_once(std::size_t size) noexcept {
        const auto fitting = request::most_datagram_bytes / size;
        if (fitting == 0) return size;
        return size * (fitting < request::most_datagrams ? fitting : request::most_datagrams);
    }
    /// EINVAL or EMSGSIZE where the size is above the MTU, EIO where the device makes no checksums,
    /// EOPNOTSUPP: nothing was sent, and one datagram alone may still go.
    static bool refuses_to_divide(errc reason) noexcept {
        return reason == errc::invalid_argument || reason == errc::message_too_large ||
               reason == errc::not_supported || reason == errc::other;
    }

    socket_type* socket_;
    bool divides_;
};

using datagram_batches = basic_datagram_batches<native>;

template <backend Backend>
task<result<void>> basic_datagram_batches<Backend>::send(std::span<const std::byte> bytes,
                                                         std::size_t size, endpoint to) {
    bool divides = divides_;
    if (bytes.empty()) size = 1;
    if (size == 0) co_return errc::invalid_argument;
    do {
        const auto most = divides ? most_bytes_at_once(size) : size;
        const auto next = bytes.first(most < bytes.size() ? most : bytes.size());
        const bool several = next.size() > size;
        const request::send_to asked{socket_->native_handle(), next, to, several ? size : 0};
        auto sent = co_await sending_to<Backend>(*socket_, asked);
        if (sent) bytes = bytes.subspan(next.size());
        else if (several && refuses_to_divide(sent.error().reason())) divides = false;
        else co_return std::move(sent).error();
    } while (!bytes.empty());
    co_return result<void>();
}

}  // namespace coho
