#pragma once

#include "file.hpp"
#include "socket.hpp"
#include "stream_operations.hpp"

#include "../backend/native.hpp"
#include "../task/task.hpp"

#include <array>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace coho {

struct connect_options {
    /// The local address and port; left out, the system chooses.
    endpoint local{};
};

/// A TCP connection: a stream of bytes each way, in order, without marks between messages. tcp(7).
///
/// One task at a time may read, and one may write. Every operation gives an error rather than a
/// signal, and an error where stop is asked of its task. It stays with the scheduler of the task
/// that made it.
template <backend Backend>
class basic_tcp_stream {
public:
    /// Takes over a connected handle that this kernel has attached.
    basic_tcp_stream(scheduler<Backend>& on, handle connected) noexcept : socket_(on, connected) {}

    /// Connects to one address, without a wait for names. The local port is the system's choice
    /// unless asked.
    static task<result<basic_tcp_stream>> connect(endpoint peer, connect_options options = {});

    /// At least one byte and at most the buffer; errc::end_of_stream once the peer has ended its
    /// side.
    [[nodiscard]] auto read_some(std::span<std::byte> buffer) noexcept {
        return reading_some<Backend>(socket_, {socket_.native_handle(), buffer, false});
    }
    /// The same into several buffers, one filled after the other; at most 16 of them.
    [[nodiscard]] auto read_some(std::span<const std::span<std::byte>> buffers) noexcept {
        return reading_pieces<Backend>(socket_, buffers);
    }
    /// Fills the whole buffer. errc::end_of_stream where the stream ends first; how much came is
    /// then unknown.
    [[nodiscard]] auto read_exactly(std::span<std::byte> buffer) noexcept {
        return reading_exactly<Backend>(socket_, {socket_.native_handle(), buffer, true});
    }
    /// Reads on until `text` holds the delimiter, and gives the count of characters up to its end.
    /// What came after it stays in `text` for the next call: erase the count first. Text from an
    /// earlier call counts. errc::limit_exceeded where the first `limit` characters do not hold it:
    /// `text` never grows beyond.
    task<result<std::size_t>> read_until(std::string& text, std::string_view delimiter,
                                         std::size_t limit);

    /// Writes at least one byte, and tells how many.
    [[nodiscard]] auto write_some(std::span<const std::byte> bytes) noexcept {
        return writing_some<Backend>(socket_, {socket_.native_handle(), bytes, false});
    }
    /// Writes all of it. After an error it is unknown how much the peer has seen.
    [[nodiscard]] auto write_all(std::span<const std::byte> bytes) noexcept {
        return writing_all<Backend>(socket_, {socket_.native_handle(), bytes, true});
    }
    /// Writes several pieces of memory, one after the other, without copying them together; at most
    /// 16.
    [[nodiscard]] auto write_all(std::span<const std::span<const std::byte>> pieces) noexcept {
        return writing_pieces<Backend>(socket_, pieces);
    }
    template <std::convertible_to<std::span<const std::byte>>... Pieces>
        requires(sizeof...(Pieces) > 1)
    [[nodiscard]] auto write_all(const Pieces&... pieces) noexcept {
        const std::array<std::span<const std::byte>, sizeof...(Pieces)> all{pieces...};
        return writing_pieces<Backend>(socket_, all);
    }

    /// Writes all bytes of a lease, whose buffer goes home once that is over.
    [[nodiscard]] auto write_all(lease&& bytes) noexcept {
        return writing_lease<Backend>(socket_, std::move(bytes));
    }
    /// The same for several, one after the other; at most 16.
    template <std::same_as<lease>... Leases>
        requires(sizeof...(Leases) > 1)
    [[nodiscard]] auto write_all(Leases&&... leases) noexcept {
        auto sending = write_all(leases.bytes()...);
        return sending_leases(std::move(sending), std::array{leases.release()...});
    }

    /// Sends so many bytes of a file, from an offset on, and tells how many went: fewer only where
    /// the file ended first. After an error it is unknown how much the peer has seen. The file must
    /// stay open until it is over. On io_uring the bytes go by way of the scheduler's pool of
    /// buffers, which every kernel makes for it: std::bad_alloc where there is no memory for one.
    ///
    ///     auto page = coho::file::open("index.html");
    ///     auto sent = co_await stream.send_file(*page);
    [[nodiscard]] auto send_file(const file& source, std::uint64_t offset = 0,
                                 std::uint64_t count = to_its_end) {
        auto& buffers = socket_.on().buffers();
        return sending_file<Backend>(socket_, {socket_.native_handle(), source.native_handle(),
                                               offset, count, &buffers});
    }
    static constexpr std::uint64_t to_its_end = ~std::uint64_t(0);

    /// The bytes that come, as leases of the scheduler's pool of buffers: no buffer belongs to a
    /// stream that is silent. Throws std::bad_alloc where there is no memory for the pool.
    ///
    ///     auto incoming = stream.incoming();
    ///     while (auto lease = co_await incoming.next()) ...
    [[nodiscard]] auto incoming() {
        return basic_incoming<basic_socket<Backend>, reading_lease<Backend>>(socket_);
    }

    /// Ends our side of the stream: the peer reads to its end, and may still write.
    result<void> shutdown_send() noexcept { return shut_down(direction::send); }
    /// Nothing more will be read here: a read that waits ends as errc::end_of_stream, and so do
    /// those that follow.
    result<void> shutdown_receive() noexcept {
        auto done = shut_down(direction::receive);
        if (done) socket_.end_receiving();
        return done;
    }

    /// Ends both sides. What others still wait for on this stream ends as errc::cancelled, and the
    /// peer sees the end at once; completes when they have all ended and the handle is free.
    [[nodiscard]] auto close() noexcept { return socket_.close(); }
    bool is_open() const noexcept { return socket_.is_open(); }

    /// What the system says of our end and of the other; no address where it says nothing (any
    /// more).
    endpoint local_endpoint() const noexcept {
        return is_open() ? socket_.kernel().local_endpoint(native_handle()) : endpoint();
    }
    endpoint remote_endpoint() const noexcept {
        return is_open() ? socket_.kernel().remote_endpoint(native_handle()) : endpoint();
    }

    /// Sets one of the options in options.hpp.
    template <class Option>
    result<void> set(Option option) noexcept {
        return socket_.ask([&](auto& kernel) { return kernel.set(native_handle(), option); });
    }
    template <class Option>
    result<Option> get() const noexcept {
        Option option;
        auto asked = socket_.ask([&](auto& kernel) { return kernel.get(native_handle(), option); });
        if (!asked) return std::move(asked).error();
        return option;
    }

    handle native_handle() const noexcept { return socket_.native_handle(); }

private:
    explicit basic_tcp_stream(basic_socket<Backend>&& connected) noexcept
        : socket_(std::move(connected)) {}

    result<void> shut_down(direction side) noexcept {
        return socket_.ask([&](auto& kernel) { return kernel.shutdown(native_handle(), side); });
    }

    basic_socket<Backend> socket_;
};

using tcp_stream = basic_tcp_stream<native>;

template <backend Backend>
task<result<basic_tcp_stream<Backend>>> basic_tcp_stream<Backend>::connect(
    endpoint peer, connect_options options) {
    auto& on = scheduler<Backend>::current();
    auto& kernel = on.kernel();
    const auto failed = [&](const error& why) { return about(why, "cannot connect to ", peer); };

    const auto opened = kernel.open(peer.address().family(), socket_kind::stream);
    if (opened < 0) co_return failed(Backend::describe(static_cast<int>(-opened)));
    basic_socket<Backend> socket(on, static_cast<handle>(opened));
    if (options.local != endpoint()) {
        if (const int number = kernel.bind(socket.native_handle(), options.local)) {
            co_return about(Backend::describe(number), "cannot connect from ", options.local);
        }
    }
    auto connected = co_await connecting<Backend>(socket, {socket.native_handle(), peer});
    if (!connected) co_return failed(connected.error());
    // Without it the connection works too, only slower.
    (void)kernel.set(socket.native_handle(), no_delay{});
    co_return basic_tcp_stream(std::move(socket));
}

template <backend Backend>
task<result<std::size_t>> basic_tcp_stream<Backend>::read_until(std::string& text,
                                                                std::string_view delimiter,
                                                                std::size_t limit) {
    std::size_t searched = 0;
    for (;;) {
        const auto found = std::string_view(text).substr(0, limit).find(delimiter, searched);
        if (found != std::string_view::npos) co_return found + delimiter.size();
        if (text.size() >= limit) {
            co_return error(errc::limit_exceeded, {"cannot find the end of a message within ",
                                                   std::to_string(limit), " bytes"});
        }
        // The delimiter may have come in part.
        searched = text.size() < delimiter.size() ? 0 : text.size() - delimiter.size() + 1;
        const auto kept = text.size();
        text.resize(limit - kept < 4096 ? limit : kept + 4096);
        auto received = co_await read_some(std::as_writable_bytes(std::span(text).subspan(kept)));
        text.resize(kept + (received ? *received : 0));
        if (!received) co_return std::move(received).error();
    }
}

}  // namespace coho
