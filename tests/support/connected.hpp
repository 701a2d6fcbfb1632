#pragma once

#include "catch.hpp"
#include "kernels.hpp"
#include "simulated_peer.hpp"
#include "stream_pair.hpp"

#include <coho.hpp>

#include <span>
#include <string>
#include <string_view>
#include <utility>

/// Connected sockets over loopback, and a run that checks that nothing is left behind.
namespace support {

/// errc::none where there is a value.
template <class T>
coho::errc reason_of(const coho::result<T>& outcome) noexcept {
    return outcome ? coho::errc::none : outcome.error().reason();
}

/// The error's sentence, empty where there is a value.
template <class T>
std::string message_of(const coho::result<T>& outcome) {
    return outcome ? std::string() : outcome.error().message();
}

template <class Function>
coho::task<> within_bounds(Function& function) {
    auto ended = co_await coho::timeout(liveness, function());
    CHECK(reason_of(ended) == coho::errc::none);
}

/// Runs the task that the function returns on a scheduler of its own, and checks that every
/// descriptor and frame is back afterwards.
template <class Backend, class Function>
void run_with(const typename Backend::options& wanted, Function function) {
    const auto descriptors = open_descriptors();
    {
        coho::scheduler<Backend> loop(wanted);
        INFO(loop.backend_reason());
        CHECK(loop.run(within_bounds<Function>, function) == 0);
        CHECK(loop.frames().live() == 0);
        if constexpr (requires { loop.kernel().open_handles(); }) {
            CHECK(loop.kernel().open_handles() == 0);
        }
    }
    CHECK(open_descriptors() == descriptors);
}

template <class Backend, class Function>
void run_on(Function function) {
    run_with<Backend>({}, function);
}

/// A stream of coho whose peer is a blocking socket.
template <class Backend>
struct stream_and_peer {
    coho::basic_tcp_stream<Backend> stream;
    peer_of<Backend> peer;
};
template <class Backend>
coho::task<stream_and_peer<Backend>> accept_peer() {
    auto listener = coho::basic_tcp_listener<Backend>::bind(coho::endpoint::loopback(0)).value();
    auto peer = peer_of<Backend>::connected_to(listener.local_endpoint());
    auto accepted = co_await listener.accept();
    stream_and_peer<Backend> both{std::move(accepted).value(), std::move(peer)};
    co_return std::move(both);
}

/// So many bytes of a stream as text; shorter where it ended before.
template <class Stream>
coho::task<std::string> receive_text(Stream& stream, std::size_t count) {
    std::string text(count, '\0');
    std::size_t filled = 0;
    while (filled < count) {
        const auto rest = std::as_writable_bytes(std::span(text)).subspan(filled);
        auto received = co_await stream.read_some(rest);
        if (!received) break;
        filled += *received;
    }
    text.resize(filled);
    co_return text;
}

/// Whether an operation that could move so many bytes may have moved so few: all of them, but where
/// the kernel is one that moves less.
template <class Backend>
bool is_moved(std::size_t moved, std::size_t possible) noexcept {
    bool all = true;
    if constexpr (requires(Backend& kernel) { kernel.faults(); }) {
        const auto& kernel = coho::scheduler<Backend>::current().kernel();
        all = !kernel.faults().drawn().contains(coho::fault::short_transfer);
    }
    return moved == possible || (!all && moved > 0 && moved < possible);
}

/// Lets the kernel be asked, again and again; a turn of the loop resumes no more than 128 times.
inline coho::task<> let_turns_pass() {
    constexpr int turns = 8;
    for (int i = 0; i < turns * 128; ++i) co_await coho::yield();
}

/// Bytes of which no two neighbours within 251 are equal, so that a lost, doubled or overtaken one
/// shows.
inline std::string counting_bytes(std::size_t count, std::size_t first = 0) {
    std::string bytes(count, '\0');
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>((first + i) % 251);
    return bytes;
}

}  // namespace support

template <>
struct Catch::StringMaker<coho::errc> {
    static std::string convert(coho::errc reason) {
        return '"' + std::string(coho::describe(reason)) + '"';
    }
};
