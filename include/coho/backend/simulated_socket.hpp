#pragma once

#include "options.hpp"
#include "request.hpp"

#include "../core/clock.hpp"
#include "../core/growing_array.hpp"

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

namespace coho {

struct simulated_attempt;

/// Bytes of a stream that were sent and not yet read.
class byte_queue {
public:
    std::size_t size() const noexcept { return end_ - first_; }
    /// The first of them, at most so many; valid until the queue changes.
    std::span<const std::byte> front(std::size_t most) noexcept {
        return {&bytes_[first_], most < size() ? most : size()};
    }
    /// False where there is no memory.
    bool push(std::span<const std::byte> added) noexcept {
        if (end_ + added.size() > bytes_.size() && first_ > 0) {
            std::memmove(&bytes_[0], &bytes_[first_], size());
            end_ -= first_;
            first_ = 0;
        }
        if (!bytes_.grow(end_ + added.size())) return false;
        if (!added.empty()) std::memcpy(&bytes_[end_], added.data(), added.size());
        end_ += added.size();
        return true;
    }
    void pop(std::size_t count) noexcept {
        first_ += count;
        if (first_ == end_) first_ = end_ = 0;
    }

private:
    growing_array<std::byte> bytes_;
    std::size_t first_ = 0;
    std::size_t end_ = 0;
};

/// A datagram on its way, or waiting to be received.
struct simulated_datagram {
    simulated_datagram* next = nullptr;
    endpoint from;
    endpoint to;
    std::size_t size = 0;
    std::unique_ptr<std::byte[]> bytes;

    /// Null where there is no memory.
    static simulated_datagram* make(const endpoint& from, const endpoint& to,
                                    std::span<const std::byte> content) noexcept {
        std::unique_ptr<simulated_datagram> made(new (std::nothrow) simulated_datagram);
        if (!made) return nullptr;
        made->bytes.reset(new (std::nothrow) std::byte[content.size() + 1]);
        if (!made->bytes) return nullptr;
        if (!content.empty()) std::memcpy(made->bytes.get(), content.data(), content.size());
        made->from = from;
        made->to = to;
        made->size = content.size();
        return made.release();
    }
};

/// Names a socket for as long as it is there: another may have its place, but not its serial
/// number.
struct socket_reference {
    std::uint32_t index = 0;
    std::uint64_t serial = 0;
};

enum class simulated_stage : std::uint8_t { idle, listening, connecting, connected, datagram };

/// A socket of a simulated world: one end of a connection, a listener or a mailbox of datagrams.
struct simulated_socket {
    static constexpr std::size_t default_buffer_size = 64 * 1024;

    socket_reference self;
    handle number = handle::none;
    simulated_stage stage = simulated_stage::idle;
    address_family family = address_family::none;
    bool v6_only = false;
    endpoint local;
    endpoint remote;
    std::array<simulated_attempt*, 2> waiting{};
    bool changed = false;
    /// What it has sent keeps its way busy until then.
    time_point busy_until{};

    // One end of a connection. What the peer sends lies here as soon as it is sent; so much of it
    // has arrived.
    socket_reference peer;
    byte_queue incoming;
    std::size_t arrived = 0;
    time_point last_arrival{};
    time_point blocked_since = never;
    /// The peer does not answer any more to what we send.
    time_point unanswered_since = never;
    std::size_t unanswered_bytes = 0;
    bool end_arrived = false;
    bool end_sent = false;
    bool receiving_ended = false;
    /// Its peer was lost without a word: nothing passes between them any more.
    bool cut_off = false;
    /// Its host has crashed.
    bool dead = false;
    /// The error number of every operation from now on.
    int broken = 0;
    std::uint64_t connect_attempt = 0;
    time_point connect_began{};

    // A listener's connections that nobody has accepted yet, in their order.
    simulated_socket* next_connection = nullptr;
    simulated_socket* first_connection = nullptr;
    simulated_socket* last_connection = nullptr;
    int backlog = 0;
    int connections_waiting = 0;

    // A mailbox.
    simulated_datagram* first_datagram = nullptr;
    simulated_datagram* last_datagram = nullptr;
    std::size_t datagram_bytes = 0;
    bool batches_datagrams = false;

    no_delay delay{.value = false};
    coho::keep_alive keep_alive{.value = false};
    /// Which of its series of probes is the valid one.
    std::uint64_t probing = 0;
    user_timeout time_limit;
    coho::linger linger;
    receive_buffer_size receive_room{default_buffer_size};
    send_buffer_size send_room{default_buffer_size};
    coho::broadcast broadcast{.value = false};
    hop_limit hops;
    unsigned unanswered_probes = 0;

    ~simulated_socket() {
        while (first_datagram) {
            delete std::exchange(first_datagram, first_datagram->next);
        }
    }

    void push_connection(simulated_socket& made) noexcept {
        made.next_connection = nullptr;
        (last_connection ? last_connection->next_connection : first_connection) = &made;
        last_connection = &made;
        ++connections_waiting;
    }
    /// Only where there is one.
    simulated_socket& pop_connection() noexcept {
        auto& first = *first_connection;
        first_connection = first.next_connection;
        if (!first_connection) last_connection = nullptr;
        --connections_waiting;
        return first;
    }
    void push_datagram(simulated_datagram& arrived_now) noexcept {
        arrived_now.next = nullptr;
        (last_datagram ? last_datagram->next : first_datagram) = &arrived_now;
        last_datagram = &arrived_now;
        datagram_bytes += arrived_now.size;
    }
    /// Moves the first datagram into that room. Gives the bytes.
    template <class Request>
    std::size_t take_datagram(std::span<std::byte> room, Request& asked) noexcept {
        const auto first = pop_datagram();
        const auto filled = first->size < room.size() ? first->size : room.size();
        if (filled > 0) std::memcpy(room.data(), first->bytes.get(), filled);
        asked.from = first->from;
        asked.truncated = filled < first->size;
        return filled;
    }
    /// The same, with those after it that a kernel may join to it, at most so many in all: of one
    /// sender and one size, but the last, which may be shorter. What is not the first, and does not
    /// fit, waits.
    std::size_t take_datagrams(request::receive_from& asked, std::size_t most) noexcept {
        const auto size = first_datagram->size;
        auto filled = take_datagram(asked.buffer, asked);
        asked.size = 0;
        auto last = size;
        for (std::size_t count = 1; count < most && first_datagram; ++count) {
            const auto& next = *first_datagram;
            const bool joins = next.size > 0 && next.size <= last && last == size &&
                               next.from == asked.from &&
                               next.size <= asked.buffer.size() - filled;
            if (!joins) break;
            std::memcpy(&asked.buffer[filled], next.bytes.get(), next.size);
            filled += next.size;
            last = next.size;
            asked.size = size;
            pop_datagram();
        }
        return filled;
    }
    std::unique_ptr<simulated_datagram> pop_datagram() noexcept {
        std::unique_ptr<simulated_datagram> first(first_datagram);
        first_datagram = first->next;
        if (!first_datagram) last_datagram = nullptr;
        datagram_bytes -= first->size;
        return first;
    }
};

/// All sockets of a world, by their place and by their handle.
class simulated_socket_table {
public:
    simulated_socket_table() noexcept = default;
    simulated_socket_table(const simulated_socket_table&) = delete;
    simulated_socket_table& operator=(const simulated_socket_table&) = delete;
    ~simulated_socket_table() {
        for (std::size_t i = 0; i < end_; ++i) delete sockets_[i];
    }

    /// Null where there is no memory.
    simulated_socket* make() noexcept {
        auto* const made = new (std::nothrow) simulated_socket;
        if (!made) return nullptr;
        std::size_t index = end_;
        if (free_count_ > 0) index = free_places_[--free_count_];
        else if (sockets_.grow(end_ + 1) && free_places_.grow(end_ + 1)) ++end_;
        else return delete made, nullptr;
        sockets_[index] = made;
        made->self = {static_cast<std::uint32_t>(index), ++serial_};
        return made;
    }
    void remove(simulated_socket& gone) noexcept {
        const auto index = gone.self.index;
        sockets_[index] = nullptr;
        free_places_[free_count_++] = index;
        delete &gone;
    }

    simulated_socket* find(socket_reference named) noexcept {
        auto* const found = named.index < end_ ? sockets_[named.index] : nullptr;
        return found && found->self.serial == named.serial ? found : nullptr;
    }
    simulated_socket* find(handle number) noexcept {
        const auto index = static_cast<std::size_t>(number) - first_number;
        return index < numbers_.size() ? numbers_[index] : nullptr;
    }
    template <class Function>
    void for_each(Function&& function) noexcept {
        for (std::size_t i = 0; i < end_; ++i) {
            if (sockets_[i]) function(*sockets_[i]);
        }
    }
    /// Whether the function is true of one of them.
    template <class Function>
    bool has(Function&& function) noexcept {
        for (std::size_t i = 0; i < end_; ++i) {
            if (sockets_[i] && function(*sockets_[i])) return true;
        }
        return false;
    }

    /// Gives the socket a number; false where there is no memory.
    bool open(simulated_socket& opened, bool reuse) noexcept {
        std::size_t index = next_number_;
        if (reuse && last_closed_ < next_number_ && !numbers_[last_closed_]) index = last_closed_;
        else if (numbers_.grow(index + 1)) ++next_number_;
        else return false;
        numbers_[index] = &opened;
        opened.number = static_cast<handle>(index + first_number);
        ++open_;
        return true;
    }
    void close(simulated_socket& closed) noexcept {
        last_closed_ = static_cast<std::size_t>(closed.number) - first_number;
        numbers_[last_closed_] = nullptr;
        closed.number = handle::none;
        --open_;
    }
    std::size_t open_handles() const noexcept { return open_; }

private:
    // As if standard input, output and error were open.
    static constexpr std::size_t first_number = 3;

    growing_array<simulated_socket*> sockets_;
    growing_array<std::uint32_t> free_places_;
    growing_array<simulated_socket*> numbers_;
    std::size_t end_ = 0;
    std::size_t free_count_ = 0;
    std::size_t next_number_ = 0;
    std::size_t last_closed_ = static_cast<std::size_t>(-1);
    std::size_t open_ = 0;
    std::uint64_t serial_ = 0;
};

}  // namespace coho
