#pragma once

#include "tcp_stream.hpp"

#include "../task/sleep.hpp"
#include "../task/yield.hpp"

#include <cstdint>

namespace coho {

struct listen_options {
    /// Connections that the system completes and keeps until they are accepted; it may have a lower
    /// limit.
    int backlog = 4096;
    /// A listener on :: takes no IPv4 clients.
    bool v6_only = false;
};

/// What a listener met besides connections.
struct accept_statistics {
    /// Connections that broke before they were accepted.
    std::uint64_t skipped = 0;
    /// Times that accepting was put off, for descriptors or memory were lacking.
    std::uint64_t starved = 0;
};

/// The next connection's handle, or the system's number of why not.
template <backend Backend>
class [[nodiscard]] accepting
    : public socket_operation<accepting<Backend>, Backend, request::accept, direction::receive,
                              socket_role::listener> {
public:
    using accepting::socket_operation::socket_operation;

    struct outcome_of_accept {
        result<std::size_t> accepted;
        accept_advice advice;
    };
    outcome_of_accept finish() noexcept {
        auto accepted = this->outcome();
        const bool final = accepted || this->stop_reason() != errc::none ||
                           accepted.error() == errc::closed;
        return {std::move(accepted),
                final ? accept_advice::give_up : Backend::after_failed_accept(this->number())};
    }
};

/// Accepts TCP connections on an address. Sockets accepted are close-on-exec and have no_delay set.
template <backend Backend>
class basic_tcp_listener {
public:
    /// Binds and listens; to be called within a task. Errors name the address. endpoint::any()
    /// takes IPv6 and IPv4 clients, and IPv4 alone on a system without IPv6.
    static result<basic_tcp_listener> bind(endpoint where, listen_options options = {}) noexcept;

    /// The next connection. Fails only for good: where stop is asked, or the listener is closed.
    /// Connections that broke meanwhile are skipped, and a lack of descriptors or memory is waited
    /// out with back-off.
    task<result<basic_tcp_stream<Backend>>> accept();

    /// Stops listening. An accept that waits ends as errc::cancelled; connections not yet accepted
    /// are reset.
    [[nodiscard]] auto close() noexcept { return socket_.close(); }
    bool is_open() const noexcept { return socket_.is_open(); }

    /// Where it listens, with the port that the system chose.
    endpoint local_endpoint() const noexcept {
        return is_open() ? socket_.kernel().local_endpoint(socket_.native_handle()) : endpoint();
    }
    const accept_statistics& statistics() const noexcept { return statistics_; }
    handle native_handle() const noexcept { return socket_.native_handle(); }

private:
    using socket = basic_socket<Backend, socket_role::listener>;

    static constexpr duration shortest_pause = std::chrono::milliseconds(10);
    static constexpr duration longest_pause = std::chrono::milliseconds(80);

    explicit basic_tcp_listener(socket&& listening) noexcept : socket_(std::move(listening)) {}
    static int set_up(Backend& kernel, handle opened, const endpoint& where,
                      const listen_options& options) noexcept;

    socket socket_;
    accept_statistics statistics_;
};

using tcp_listener = basic_tcp_listener<native>;

template <backend Backend>
int basic_tcp_listener<Backend>::set_up(Backend& kernel, handle opened, const endpoint& where,
                                        const listen_options& options) noexcept {
    int failed = kernel.reuse_address(opened);
    if (!failed && where.address().is_v6()) failed = kernel.v6_only(opened, options.v6_only);
    // Accepted sockets inherit it, which saves a call for each.
    if (!failed) failed = kernel.set(opened, no_delay{});
    if (!failed) failed = kernel.bind(opened, where);
    if (!failed) failed = kernel.listen(opened, options.backlog);
    return failed;
}

template <backend Backend>
result<basic_tcp_listener<Backend>> basic_tcp_listener<Backend>::bind(
    endpoint where, listen_options options) noexcept {
    auto& on = scheduler<Backend>::current();
    const auto opened = on.kernel().open(where.address().family(), socket_kind::stream);
    int failed = opened < 0 ? static_cast<int>(-opened) : 0;
    if (!failed) {
        socket listening(on, static_cast<handle>(opened));
        failed = set_up(on.kernel(), listening.native_handle(), where, options);
        if (!failed) return basic_tcp_listener(std::move(listening));
    }
    const auto why = Backend::describe(failed);
    const bool without_v6 = why == errc::not_supported || why == errc::address_not_available;
    if (without_v6 && !options.v6_only && where == endpoint::any(where.port())) {
        return bind({ip_address::any(), where.port()}, options);
    }
    return about(why, "cannot listen on ", where);
}

template <backend Backend>
task<result<basic_tcp_stream<Backend>>> basic_tcp_listener<Backend>::accept() {
    auto pause = shortest_pause;
    for (;;) {
        auto [accepted, advice] =
            co_await accepting<Backend>(socket_, {socket_.native_handle()});
        if (accepted) {
            co_return basic_tcp_stream<Backend>(socket_.on(), static_cast<handle>(*accepted));
        }
        if (advice == accept_advice::give_up) co_return std::move(accepted).error();
        if (advice == accept_advice::go_on) {
            ++statistics_.skipped;
            co_await yield();
        } else {
            ++statistics_.starved;
            co_await sleep(pause);
            if (pause < longest_pause) pause *= 2;
        }
    }
}

}  // namespace coho
