#pragma once

#include "leased_operations.hpp"
#include "socket.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace coho {

/// What no bytes mean: the end, or that reading was stopped here.
inline errc reason_of_end(errc stop_reason) noexcept {
    return stop_reason == errc::none ? errc::end_of_stream : stop_reason;
}
/// What a receive tells the caller.
inline result<std::size_t> received(result<std::size_t> outcome, errc stop_reason) noexcept {
    if (outcome && *outcome == 0) return reason_of_end(stop_reason);
    return outcome;
}

template <backend Backend>
class [[nodiscard]] reading_some
    : public socket_operation<reading_some<Backend>, Backend, request::receive,
                              direction::receive> {
public:
    using reading_some::socket_operation::socket_operation;

    // A kernel would wait for bytes even where there is no room for any.
    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        if (this->request().buffer.empty()) return started::done;
        return reading_some::socket_operation::start(inherited, waiter);
    }
    result<std::size_t> finish() noexcept {
        if (this->request().buffer.empty()) return errc::invalid_argument;
        return received(this->outcome(), this->stop_reason());
    }
};

template <backend Backend>
class [[nodiscard]] reading_exactly
    : public socket_operation<reading_exactly<Backend>, Backend, request::receive,
                              direction::receive> {
public:
    using reading_exactly::socket_operation::socket_operation;

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        if (this->request().buffer.empty()) return started::done;
        return reading_exactly::socket_operation::start(inherited, waiter);
    }
    result<void> finish() noexcept {
        if (this->request().buffer.empty()) return {};
        auto outcome = this->outcome();
        if (!outcome) return std::move(outcome).error();
        if (*outcome == this->request().buffer.size()) return {};
        return reason_of_end(this->stop_reason());
    }
};

template <backend Backend>
class [[nodiscard]] writing_some
    : public socket_operation<writing_some<Backend>, Backend, request::send, direction::send> {
public:
    using writing_some::socket_operation::socket_operation;

    result<std::size_t> finish() noexcept { return this->outcome(); }
};

template <class Self, backend Backend>
class [[nodiscard]] writing_whole
    : public socket_operation<Self, Backend, request::send, direction::send> {
public:
    using writing_whole::socket_operation::socket_operation;

    result<void> finish() noexcept { return this->success(); }
};
template <backend Backend>
class [[nodiscard]] writing_all : public writing_whole<writing_all<Backend>, Backend> {
public:
    using writing_all::writing_whole::writing_whole;
};

/// A write that owns the lease that its request speaks of, until it is over.
template <backend Backend>
class [[nodiscard]] writing_lease : public writing_whole<writing_lease<Backend>, Backend> {
public:
    writing_lease(basic_socket<Backend>& socket, lease&& sent) noexcept
        // Braces, for their contents are evaluated in order.
        : writing_lease{socket, sent.bytes(), sent.release()} {}
    writing_lease(writing_lease&& unstarted) noexcept
        : writing_lease::writing_whole(std::move(unstarted)) {
        unstarted.request().leased = nullptr;
    }
    ~writing_lease() { (void)take_held(); }

    result<void> finish() noexcept {
        const auto held = take_held();
        return writing_lease::writing_whole::finish();
    }

private:
    writing_lease(basic_socket<Backend>& socket, std::span<const std::byte> bytes,
                  owned_buffer held) noexcept
        : writing_lease::writing_whole(socket, {socket.native_handle(), bytes, true,
                                                held->pool->belongs_to(socket.on()), held.get()}) {
        (void)held.release();
    }
    owned_buffer take_held() noexcept {
        return owned_buffer(std::exchange(this->request().leased, nullptr));
    }
};

template <backend Backend>
class [[nodiscard]] sending_file
    : public socket_operation<sending_file<Backend>, Backend, request::send_file,
                              direction::send> {
public:
    using sending_file::socket_operation::socket_operation;

    // To a system the offset has a sign, and some take a negative one for none.
    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        constexpr auto most = ~std::uint64_t(0) >> 1;
        if (this->request().offset > most) return this->refuse(errc::invalid_argument);
        return sending_file::socket_operation::start(inherited, waiter);
    }
    result<std::uint64_t> finish() noexcept {
        auto outcome = this->outcome();
        if (!outcome) return std::move(outcome).error();
        return std::uint64_t(*outcome);
    }
};

/// A request over several pieces of memory, with at most as many as one call takes.
template <class Request, class Piece>
Request request_of_pieces(handle socket, std::span<const Piece> pieces) noexcept {
    check(pieces.size() <= request::most_pieces, "more than 16 pieces of memory were given to one "
                                                 "read or write");
    Request asked;
    asked.socket = socket;
    asked.count = pieces.size();
    for (std::size_t i = 0; i < pieces.size(); ++i) asked.pieces[i] = pieces[i];
    return asked;
}

template <backend Backend>
class [[nodiscard]] reading_pieces
    : public socket_operation<reading_pieces<Backend>, Backend, request::receive_vectored,
                              direction::receive> {
public:
    reading_pieces(basic_socket<Backend>& socket,
                   std::span<const std::span<std::byte>> pieces) noexcept
        : reading_pieces::socket_operation(socket, request_of_pieces<request::receive_vectored>(
                                                       socket.native_handle(), pieces)) {}

    started start(environment& inherited, std::coroutine_handle<> waiter) noexcept {
        if (has_no_room()) return started::done;
        return reading_pieces::socket_operation::start(inherited, waiter);
    }
    result<std::size_t> finish() noexcept {
        if (has_no_room()) return errc::invalid_argument;
        return received(this->outcome(), this->stop_reason());
    }

private:
    bool has_no_room() noexcept {
        for (std::size_t i = 0; i < this->request().count; ++i) {
            if (!this->request().pieces[i].empty()) return false;
        }
        return true;
    }
};

template <backend Backend>
class [[nodiscard]] writing_pieces
    : public socket_operation<writing_pieces<Backend>, Backend, request::send_vectored,
                              direction::send> {
public:
    writing_pieces(basic_socket<Backend>& socket,
                   std::span<const std::span<const std::byte>> pieces) noexcept
        : writing_pieces::socket_operation(
              socket, request_of_pieces<request::send_vectored>(socket.native_handle(), pieces)) {}

    result<void> finish() noexcept { return this->success(); }
};

template <backend Backend>
class [[nodiscard]] reading_lease
    : public socket_operation<reading_lease<Backend>, Backend, request::receive_leased,
                              direction::receive> {
public:
    using reading_lease::socket_operation::socket_operation;

    result<lease> finish() noexcept {
        auto outcome = received(this->outcome(), this->stop_reason());
        if (!outcome) return std::move(outcome).error();
        return this->state().take_held();
    }
};

template <backend Backend>
class [[nodiscard]] connecting
    : public socket_operation<connecting<Backend>, Backend, request::connect, direction::send> {
public:
    using connecting::socket_operation::socket_operation;

    result<void> finish() noexcept { return this->success(); }
};

}  // namespace coho
