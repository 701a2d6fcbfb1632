#pragma once

#include "options.hpp"
#include "request.hpp"
#include "socket_address.hpp"

namespace coho {

/// The calls on sockets that never wait and that POSIX systems and Windows share. They give 0 or
/// the system's error number. System says what it calls a descriptor, and the number of its last
/// failure.
template <class System>
class socket_calls {
public:
    static int bind(handle socket, endpoint where) noexcept {
        const socket_address address(where);
        return number_of(::bind(System::descriptor(socket), address.data(), address.size()));
    }
    static endpoint local_endpoint(handle socket) noexcept {
        socket_address address;
        return ::getsockname(System::descriptor(socket), address.data(), &address.size()) == 0
                   ? address.where()
                   : endpoint();
    }
    static endpoint remote_endpoint(handle socket) noexcept {
        socket_address address;
        return ::getpeername(System::descriptor(socket), address.data(), &address.size()) == 0
                   ? address.where()
                   : endpoint();
    }
    static int v6_only(handle socket, bool only) noexcept {
        return put(socket, IPPROTO_IPV6, IPV6_V6ONLY, int(only));
    }

    static int set(handle socket, no_delay option) noexcept {
        return put(socket, IPPROTO_TCP, TCP_NODELAY, int(option.value));
    }
    static int set(handle socket, linger option) noexcept {
        ::linger value{};
        value.l_onoff = option.value;
        value.l_linger = static_cast<decltype(value.l_linger)>(option.time.count());
        return put(socket, SOL_SOCKET, SO_LINGER, value);
    }
    static int set(handle socket, receive_buffer_size option) noexcept {
        return put(socket, SOL_SOCKET, SO_RCVBUF, option.bytes);
    }
    static int set(handle socket, send_buffer_size option) noexcept {
        return put(socket, SOL_SOCKET, SO_SNDBUF, option.bytes);
    }
    static int set(handle socket, broadcast option) noexcept {
        return put(socket, SOL_SOCKET, SO_BROADCAST, int(option.value));
    }
    static int set(handle socket, hop_limit option) noexcept {
        return local_endpoint(socket).address().is_v6()
                   ? put(socket, IPPROTO_IPV6, IPV6_UNICAST_HOPS, option.value)
                   : put(socket, IPPROTO_IP, IP_TTL, option.value);
    }

    static int get(handle socket, no_delay& option) noexcept {
        return get_number(socket, IPPROTO_TCP, TCP_NODELAY, option.value);
    }
    static int get(handle socket, keep_alive& option) noexcept {
        return get_number(socket, SOL_SOCKET, SO_KEEPALIVE, option.value);
    }
    static int get(handle socket, linger& option) noexcept {
        ::linger value{};
        const int number = take(socket, SOL_SOCKET, SO_LINGER, value);
        option = {value.l_onoff != 0, std::chrono::seconds(value.l_linger)};
        return number;
    }
    static int get(handle socket, receive_buffer_size& option) noexcept {
        return get_number(socket, SOL_SOCKET, SO_RCVBUF, option.bytes);
    }
    static int get(handle socket, send_buffer_size& option) noexcept {
        return get_number(socket, SOL_SOCKET, SO_SNDBUF, option.bytes);
    }
    static int get(handle socket, broadcast& option) noexcept {
        return get_number(socket, SOL_SOCKET, SO_BROADCAST, option.value);
    }
    static int get(handle socket, hop_limit& option) noexcept {
        return local_endpoint(socket).address().is_v6()
                   ? get_number(socket, IPPROTO_IPV6, IPV6_UNICAST_HOPS, option.value)
                   : get_number(socket, IPPROTO_IP, IP_TTL, option.value);
    }

protected:
    static int number_of(int returned) noexcept {
        return returned < 0 ? System::last_number() : 0;
    }
    template <class Value>
    static int put(handle socket, int level, int name, const Value& value) noexcept {
        return number_of(::setsockopt(System::descriptor(socket), level, name,
                                      reinterpret_cast<const char*>(&value), sizeof value));
    }
    template <class Value>
    static int take(handle socket, int level, int name, Value& value) noexcept {
        socklen_t size = sizeof value;
        return number_of(::getsockopt(System::descriptor(socket), level, name,
                                      reinterpret_cast<char*>(&value), &size));
    }
    template <class Number>
    static int get_number(handle socket, int level, int name, Number& number) noexcept {
        int value = 0;
        const int failed = take(socket, level, name, value);
        number = static_cast<Number>(value);
        return failed;
    }
};

}  // namespace coho
