#pragma once

#include "lent_memory.hpp"
#include "simulated_socket.hpp"

#include "../core/check.hpp"
#include "../core/operation.hpp"

#include <concepts>

namespace coho {

class simulated;

/// A request that a simulated kernel works on, without its type.
struct simulated_attempt {
    operation* waiter = nullptr;
    std::intptr_t (*again)(simulated_attempt&, simulated&, simulated_socket&) noexcept = nullptr;
    /// Hands the request's memory to the kernel, or back, and gives a digest of it.
    std::uint64_t (*lend)(simulated_attempt&, bool scribble) noexcept = nullptr;
    std::uint64_t (*give_back)(simulated_attempt&) noexcept = nullptr;
    /// It waits for a buffer no more; null where none is needed.
    void (*give_up_buffer)(simulated_attempt&) noexcept = nullptr;
    std::uint64_t serial = 0;
    std::uint64_t digest = 0;
    direction side = direction::receive;
    bool connects = false;
    bool fills = false;
};

/// A request that a simulated kernel works on.
template <class Request>
struct simulated_state : simulated_attempt, leased_buffer<Request> {
    Request* asked = nullptr;
    std::size_t progress = 0;

    handle socket() const noexcept {
        if (!asked) return handle::none;
        if constexpr (std::same_as<Request, request::accept>) return asked->listener;
        else if constexpr (std::same_as<Request, request::poll>) return asked->foreign;
        else return asked->socket;
    }

    template <class Kernel>
    void prepare(operation& each, Request& request) noexcept {
        waiter = &each;
        asked = &request;
        progress = 0;
        connects = std::same_as<Request, request::connect>;
        fills = fills_memory<Request>;
        if constexpr (std::same_as<Request, request::poll>) {
            side = request.until;
        } else {
            side = request::side_of<Request>;
        }
        if constexpr (request::is_leased<Request>) {
            give_up_buffer = [](simulated_attempt& self) noexcept {
                auto& state = static_cast<simulated_state&>(self);
                state.give_up(*state.asked->buffers);
            };
        }
        again = [](simulated_attempt& self, simulated& kernel, simulated_socket& on) noexcept {
            return static_cast<Kernel&>(kernel).attempt(on, static_cast<simulated_state&>(self));
        };
        lend = [](simulated_attempt& self, [[maybe_unused]] bool scribble) noexcept {
            std::uint64_t digest = 0;
            for_each_lent(*static_cast<simulated_state&>(self).asked,
                          [&](std::byte* data, std::size_t size) {
                              if constexpr (fills_memory<Request>) {
                                  if (scribble && size > 0) std::memset(data, 0xc5, size);
                              }
                              digest += digest_of(data, size);
                              if constexpr (fills_memory<Request>) forbid(data, size);
                          });
            return digest;
        };
        give_back = [](simulated_attempt& self) noexcept {
            std::uint64_t digest = 0;
            for_each_lent(*static_cast<simulated_state&>(self).asked,
                          [&](std::byte* data, std::size_t size) {
                              if constexpr (fills_memory<Request>) allow(data, size);
                              digest += digest_of(data, size);
                          });
            return digest;
        };
    }
};

}  // namespace coho
