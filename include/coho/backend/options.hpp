#pragma once

#include <chrono>

namespace coho {

/// Socket options as values: `stream.set(coho::no_delay{true})`, `stream.get<coho::no_delay>()`.
/// What each does is in tcp(7), udp(7), ip(7), ipv6(7) and socket(7).

/// TCP_NODELAY: small writes go out at once instead of waiting for the peer's acknowledgement
/// (Nagle). On by default in coho.
struct no_delay {
    bool value = true;
};

/// SO_KEEPALIVE, with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT: asks a silent peer for a sign of
/// life, and gives up with errc::timed_out. get() tells `value` alone.
struct keep_alive {
    bool value = true;
    std::chrono::seconds idle{60};
    std::chrono::seconds interval{10};
    int probes = 6;
};

/// TCP_USER_TIMEOUT: how long sent bytes may stay unacknowledged. Zero is the system's choice.
struct user_timeout {
    std::chrono::milliseconds value{};
};

/// SO_LINGER: with zero, closing resets the connection and drops what was not sent.
struct linger {
    bool value = false;
    std::chrono::seconds time{};
};

/// SO_RCVBUF in bytes; Linux doubles what is set.
struct receive_buffer_size {
    int bytes = 0;
};

/// SO_SNDBUF in bytes; Linux doubles what is set.
struct send_buffer_size {
    int bytes = 0;
};

/// SO_BROADCAST: allows datagrams to broadcast addresses.
struct broadcast {
    bool value = true;
};

/// IP_TTL or IPV6_UNICAST_HOPS: how many routers a packet may pass.
struct hop_limit {
    int value = 64;
};

}  // namespace coho
