#pragma once

#include "iocp_requests.hpp"

#include <memory>
#include <optional>

namespace coho {

/// What a completion port keeps for a listener. One AcceptEx is under way from the first accept on;
/// a connection that it brings while nobody asks is kept for the next who does, and closed with the
/// listener.
template <class Calls>
struct port_acceptor : port_operation<Calls> {
    port_acceptor(Calls& calls, handle listening) noexcept : its_calls(calls) {
        this->socket = listening;
    }
    port_acceptor(const port_acceptor&) = delete;
    port_acceptor& operator=(const port_acceptor&) = delete;
    ~port_acceptor() {
        if (fresh != handle::none) its_calls.close(fresh);
        if (outcome && *outcome >= 0) its_calls.close(static_cast<handle>(*outcome));
    }

    Calls& its_calls;
    /// The socket that becomes the next connection.
    handle fresh = handle::none;
    operation* waiter = nullptr;
    bool armed = false;
    /// What came of the last one, and nobody has taken.
    std::optional<std::intptr_t> outcome;
    typename Calls::accept_room room;
};

/// The listener's end of it: movable, for listeners are.
template <class Calls>
struct port_acceptor_place {
    std::unique_ptr<port_acceptor<Calls>> acceptor;
};

}  // namespace coho
