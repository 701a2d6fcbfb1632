#pragma once

#include "posix_sockets.hpp"

#include "../core/growing_array.hpp"
#include "../core/operation.hpp"

#include <memory>
#include <optional>

namespace coho {

/// What io_uring keeps for a listener. One submission may bring many connections (multishot); those
/// that come while nobody asks are kept here, in their order, and closed with it.
struct ring_acceptor {
    /// So many unasked ones are kept before accepting stops; the rest waits in the listener's
    /// backlog.
    static constexpr std::size_t enough = 64;

    explicit ring_acceptor(handle listening) noexcept : listener(listening) {}
    ring_acceptor(const ring_acceptor&) = delete;
    ring_acceptor& operator=(const ring_acceptor&) = delete;
    ~ring_acceptor() {
        while (const auto outcome = take()) {
            if (*outcome >= 0) ::close(*outcome);
        }
    }

    std::size_t kept() const noexcept { return end_ - first_; }

    /// Whether one submission may bring many connections: it would bring all that wait already, who
    /// then hold descriptors though nobody asked for them. TCP_INFO, tcp(7).
    bool may_take_many() const noexcept {
        tcp_info known{};
        socklen_t size = sizeof known;
        ::getsockopt(descriptor_of(listener), IPPROTO_TCP, TCP_INFO, &known, &size);
        // Of a listener, this is the length of its backlog.
        return known.tcpi_unacked < enough;
    }

    /// A new connection, or the error that ended accepting.
    void keep(int outcome) noexcept {
        // The end of our own cancel is no news.
        if (outcome == -ECANCELED && cancelled) return;
        has_accepted = has_accepted || outcome >= 0;
        if (outcomes_.grow(end_ + 1)) outcomes_[end_++] = outcome;
        // Without memory to remember it, the connection cannot be kept.
        else if (outcome >= 0) ::close(outcome);
    }
    std::optional<int> take() noexcept {
        if (kept() == 0) return {};
        const int outcome = outcomes_[first_++];
        if (kept() == 0) first_ = end_ = 0;
        return outcome;
    }

    handle listener;
    operation* waiter = nullptr;
    bool armed = false;
    bool cancelled = false;
    bool has_accepted = false;

private:
    growing_array<int> outcomes_;
    std::size_t first_ = 0;
    std::size_t end_ = 0;
};

/// The listener's end of it: movable, for listeners are.
struct ring_acceptor_place {
    std::unique_ptr<ring_acceptor> acceptor;
};

}  // namespace coho
