#pragma once

#include "simulated_streams.hpp"

#include <concepts>

namespace coho {

/// The calls on sockets of a simulated world that never wait. They give 0 or an error number.
class simulated_calls : public simulated_streams {
public:
    std::intptr_t open(address_family family, socket_kind kind) noexcept {
        if (faults_.strikes(fault::failed_open)) return -faults_.lacking();
        auto* const made = sockets_.make();
        if (!made) return -ENOMEM;
        made->family = family;
        if (kind == socket_kind::datagram) {
            made->stage = simulated_stage::datagram;
            made->receive_room.bytes = datagram_room;
        }
        if (const int failed = give_number(*made)) {
            sockets_.remove(*made);
            return -failed;
        }
        return static_cast<std::intptr_t>(made->number);
    }
    int bind(handle number, const endpoint& where) noexcept {
        auto* const socket = sockets_.find(number);
        return socket ? bind_to(*socket, where) : EBADF;
    }
    int listen(handle number, int backlog) noexcept {
        auto* const socket = sockets_.find(number);
        if (!socket) return EBADF;
        if (socket->stage != simulated_stage::idle) return EINVAL;
        if (socket->local.port() == 0) {
            if (const int failed = bind_to(*socket, {ip_address::any(socket->family), 0})) {
                return failed;
            }
        }
        socket->stage = simulated_stage::listening;
        socket->backlog = backlog;
        return 0;
    }
    int attach(handle number) noexcept { return sockets_.find(number) ? 0 : EBADF; }
    void detach(handle) noexcept {}
    void close(handle number) noexcept {
        auto* const socket = sockets_.find(number);
        if (!socket) return;
        check(!socket->waiting[0] && !socket->waiting[1],
              "a socket was closed under its operations");
        note(happening::closed, socket->self.serial, 0);
        leave(*socket);
        forget(*socket);
    }
    int shutdown(handle number, direction side) noexcept {
        auto* const socket = sockets_.find(number);
        if (!socket) return EBADF;
        if (socket->stage != simulated_stage::connected || socket->broken) return ENOTCONN;
        if (side == direction::send) end_sending(*socket);
        else end_receiving(*socket);
        return 0;
    }
    void disconnect(handle number) noexcept {
        auto* const socket = sockets_.find(number);
        if (!socket) return;
        end_sending(*socket);
        end_receiving(*socket);
    }

    int reuse_address(handle number) noexcept { return attach(number); }
    int v6_only(handle number, bool only) noexcept {
        return put(number, &simulated_socket::v6_only, only);
    }
    int batch_datagrams(handle number) noexcept {
        return put(number, &simulated_socket::batches_datagrams, true);
    }
    template <class Option>
    int set(handle number, const Option& option) noexcept {
        return put(number, place_of(option), option);
    }
    int set(handle number, const keep_alive& option) noexcept {
        const int failed = put(number, &simulated_socket::keep_alive, option);
        if (!failed) watch(*sockets_.find(number));
        return failed;
    }
    int set(handle number, const receive_buffer_size& option) noexcept {
        return put(number, &simulated_socket::receive_room, {at_least_smallest(option.bytes)});
    }
    int set(handle number, const send_buffer_size& option) noexcept {
        return put(number, &simulated_socket::send_room, {at_least_smallest(option.bytes)});
    }
    template <class Option>
    int get(handle number, Option& option) noexcept {
        const auto* const socket = sockets_.find(number);
        if (const int refused = refusal_of<Option>(socket)) return refused;
        option = socket->*place_of(option);
        return 0;
    }
    endpoint local_endpoint(handle number) noexcept {
        auto* const socket = sockets_.find(number);
        return socket ? socket->local : endpoint();
    }
    endpoint remote_endpoint(handle number) noexcept {
        auto* const socket = sockets_.find(number);
        const bool known =
            socket && socket->stage == simulated_stage::connected && !socket->broken;
        return known ? socket->remote : endpoint();
    }

protected:
    using simulated_streams::simulated_streams;

    /// 0 or an error number.
    int give_number(simulated_socket& opened) noexcept {
        if (sockets_.open_handles() >= options_.most_handles) return EMFILE;
        if (!sockets_.open(opened, faults_.strikes(fault::reused_handle))) return ENOMEM;
        note(happening::opened, opened.self.serial, static_cast<std::uint64_t>(opened.number));
        return 0;
    }

private:
    // As Linux has it, more or less.
    static constexpr int datagram_room = 212'992;
    static constexpr int smallest_buffer = 2'048;

    static int at_least_smallest(int bytes) noexcept {
        return bytes < smallest_buffer ? smallest_buffer : bytes;
    }
    void end_receiving(simulated_socket& socket) noexcept {
        socket.receiving_ended = true;
        tell(socket);
    }

    /// Options of TCP are not for datagrams, and SO_KEEPALIVE comes with some.
    template <class Value>
    static int refusal_of(const simulated_socket* socket) noexcept {
        if (!socket) return EBADF;
        constexpr bool of_tcp = std::same_as<Value, no_delay> ||
                                std::same_as<Value, user_timeout> ||
                                std::same_as<Value, coho::keep_alive>;
        return of_tcp && socket->stage == simulated_stage::datagram ? ENOPROTOOPT : 0;
    }
    template <class Value>
    int put(handle number, Value simulated_socket::*place, const Value& value) noexcept {
        auto* const socket = sockets_.find(number);
        if (const int refused = refusal_of<Value>(socket)) return refused;
        socket->*place = value;
        return 0;
    }
    static constexpr auto place_of(const no_delay&) noexcept { return &simulated_socket::delay; }
    static constexpr auto place_of(const keep_alive&) noexcept {
        return &simulated_socket::keep_alive;
    }
    static constexpr auto place_of(const user_timeout&) noexcept {
        return &simulated_socket::time_limit;
    }
    static constexpr auto place_of(const coho::linger&) noexcept {
        return &simulated_socket::linger;
    }
    static constexpr auto place_of(const receive_buffer_size&) noexcept {
        return &simulated_socket::receive_room;
    }
    static constexpr auto place_of(const send_buffer_size&) noexcept {
        return &simulated_socket::send_room;
    }
    static constexpr auto place_of(const coho::broadcast&) noexcept {
        return &simulated_socket::broadcast;
    }
    static constexpr auto place_of(const hop_limit&) noexcept { return &simulated_socket::hops; }
};

}  // namespace coho
