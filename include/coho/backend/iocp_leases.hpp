#pragma once

#include "iocp_requests.hpp"
#include "lent_memory.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace coho {

/// A receive into a buffer of a pool. First it is issued without room, which takes nothing away;
/// then into a buffer, once something is there and a buffer is. Base is how it is issued.
template <class Base, class Request>
struct port_lease : Base, leased_buffer<Request> {
    bool settle_or_obtain(bool is_there, std::intptr_t outcome) noexcept {
        auto& pool = *this->asked->buffers;
        if (is_there && !this->held()) {
            (void)this->obtain(pool);
            return false;
        }
        this->settle(outcome, pool);
        return this->finish(outcome);
    }
};

template <class Calls>
struct port_request<Calls, request::receive_leased>
    : port_lease<port_request_base<Calls, request::receive_leased>, request::receive_leased> {
    int issue(Calls& calls, std::size_t& moved) noexcept {
        std::array place{Calls::make_buffer(this->room().data(), this->room().size())};
        return calls.receive(this->socket, place, moved, this->overlapped);
    }
    bool is_over(Calls&, int number, std::size_t moved) noexcept {
        return this->settle_or_obtain(
            !number, number ? -number : static_cast<std::intptr_t>(moved));
    }
};

template <class Calls>
struct port_request<Calls, request::receive_from_leased>
    : port_lease<port_datagram<Calls, request::receive_from_leased>,
                 request::receive_from_leased> {
    int issue(Calls& calls, std::size_t& moved) noexcept {
        return this->receive_into(this->room(), !this->held(), calls, moved);
    }
    bool is_over(Calls&, int number, std::size_t moved) noexcept {
        return this->settle_or_obtain(!number || is_cut(number),
                                      this->outcome_of(number, moved, this->room()));
    }
};

}  // namespace coho
