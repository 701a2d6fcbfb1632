#pragma once

#include "socket_calls.hpp"
#include "windows_files.hpp"
#include "winsock_errors.hpp"

#include "../core/clock.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

namespace coho {

/// What the calls on sockets need of Windows.
struct windows_system {
    static SOCKET descriptor(handle socket) noexcept { return static_cast<SOCKET>(socket); }
    static int last_number() noexcept { return ::WSAGetLastError(); }
};

/// All that the IOCP kernel asks of Windows, so that its tests can put a recording in its place.
/// Numbers are 0 or those of WSAGetLastError.
class winsock_calls : public socket_calls<windows_system> {
public:
    using overlapped = ::OVERLAPPED;
    using entry = ::OVERLAPPED_ENTRY;
    using buffer = ::WSABUF;
    /// Room for two addresses, as AcceptEx wants it.
    using accept_room = std::array<char, 2 * (sizeof(::sockaddr_storage) + 16)>;

    static buffer make_buffer(std::byte* data, std::size_t size) noexcept {
        constexpr std::size_t most = 1u << 30;
        return {static_cast<ULONG>(size < most ? size : most), reinterpret_cast<char*>(data)};
    }
    static overlapped* operation_of(const entry& arrived) noexcept { return arrived.lpOverlapped; }

    winsock_calls() = default;
    winsock_calls(const winsock_calls&) = delete;
    winsock_calls& operator=(const winsock_calls&) = delete;

    /// Before all others.
    int start_up() noexcept {
        ::WSADATA data;
        if (const int failed = ::WSAStartup(MAKEWORD(2, 2), &data)) return failed;
        port_ = ::CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 1);
        int failed = port_ ? 0 : static_cast<int>(::GetLastError());
        if (!failed) failed = find_extensions();
        if (failed) shut_down();
        return failed;
    }
    void shut_down() noexcept {
        if (port_) ::CloseHandle(port_);
        ::WSACleanup();
    }

    /// Whether calls that succeed at once can do so without a completion: only where every provider
    /// gives handles of the system itself.
    bool may_skip_completions() const noexcept { return every_provider_is_the_systems_; }
    /// Joins the socket to the port.
    int associate(handle socket, bool skip_completions) noexcept {
        const auto its = reinterpret_cast<HANDLE>(socket);
        if (!::CreateIoCompletionPort(its, port_, 0, 0)) return static_cast<int>(::GetLastError());
        const UCHAR modes = FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE;
        if (skip_completions && !::SetFileCompletionNotificationModes(its, modes)) {
            return static_cast<int>(::GetLastError());
        }
        return 0;
    }

    /// The new socket, or the negated number.
    std::intptr_t open(address_family family, socket_kind kind) noexcept {
        const auto opened = ::WSASocketW(
            family == address_family::ipv6 ? AF_INET6 : AF_INET,
            kind == socket_kind::stream ? SOCK_STREAM : SOCK_DGRAM, 0, nullptr, 0,
            WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
        if (opened == INVALID_SOCKET) return -::WSAGetLastError();
        if (kind == socket_kind::datagram) keep_unreachable_peers_quiet(opened);
        return static_cast<std::intptr_t>(opened);
    }
    int listen(handle socket, int backlog) noexcept {
        return number_of(::listen(descriptor(socket), backlog));
    }
    void close(handle socket) noexcept { ::closesocket(descriptor(socket)); }
    /// The peer sees the end at once, although the socket stays.
    void disconnect(handle socket) noexcept { ::shutdown(descriptor(socket), SD_BOTH); }
    int shutdown(handle socket, direction side) noexcept {
        return number_of(
            ::shutdown(descriptor(socket), side == direction::send ? SD_SEND : SD_RECEIVE));
    }
    /// Windows lets a port be bound again at once. What must be asked for is that no other program
    /// takes it over.
    int reuse_address(handle socket) noexcept {
        return put(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
    }
    using socket_calls::get;
    using socket_calls::set;
    /// How many probes go unanswered before it gives up is the system's choice.
    int set(handle socket, keep_alive option) noexcept {
        const auto milliseconds = [](std::chrono::seconds span) {
            return static_cast<ULONG>(std::chrono::milliseconds(span).count());
        };
        ULONG wanted[] = {option.value, milliseconds(option.idle), milliseconds(option.interval)};
        DWORD count = 0;
        constexpr DWORD keep_alive_values = IOC_IN | IOC_VENDOR | 4;  // SIO_KEEPALIVE_VALS
        return number_of(::WSAIoctl(descriptor(socket), keep_alive_values, wanted, sizeof wanted,
                                    nullptr, 0, &count, nullptr, nullptr));
    }
    /// Windows counts it in whole seconds.
    int set(handle socket, user_timeout option) noexcept {
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(option.value).count();
        return put(socket, IPPROTO_TCP, maximum_retransmission_time, static_cast<DWORD>(seconds));
    }
    int get(handle socket, user_timeout& option) noexcept {
        int seconds = 0;
        const int failed = get_number(socket, IPPROTO_TCP, maximum_retransmission_time, seconds);
        option.value = std::chrono::seconds(seconds);
        return failed;
    }

    /// Those below start an operation: 0 where it has succeeded, io_pending where it goes on.
    int accept(handle listener, handle fresh, accept_room& room, overlapped& its) noexcept {
        DWORD received = 0;
        constexpr DWORD address_size = sizeof(accept_room) / 2;
        return succeeded(accept_ex_(descriptor(listener), descriptor(fresh), room.data(), 0,
                                    address_size, address_size, &received, &its));
    }
    int connect(handle socket, const socket_address& peer, overlapped& its) noexcept {
        return succeeded(connect_ex_(descriptor(socket), peer.data(), peer.size(), nullptr, 0,
                                     nullptr, &its));
    }
    int receive(handle socket, std::span<buffer> room, std::size_t& moved,
                overlapped& its) noexcept {
        DWORD count = 0, flags = 0;
        const int number = number_of(::WSARecv(descriptor(socket), room.data(), size_of(room),
                                               &count, &flags, &its, nullptr));
        moved = count;
        return number;
    }
    int send(handle socket, std::span<buffer> bytes, std::size_t& moved,
             overlapped& its) noexcept {
        DWORD count = 0;
        const int number = number_of(::WSASend(descriptor(socket), bytes.data(), size_of(bytes),
                                               &count, 0, &its, nullptr));
        moved = count;
        return number;
    }
    int send_file(handle socket, handle file, std::uint64_t offset, std::uint32_t count,
                  std::size_t& moved, overlapped& its) noexcept {
        its = file_calls::place_of(offset);
        const int number =
            succeeded(transmit_file_(descriptor(socket), file_calls::of_system(file), count, 0,
                                     &its, nullptr, 0));
        moved = its.InternalHigh;
        return number;
    }
    /// Negated where it fails.
    std::int64_t file_size(handle file) noexcept { return file_calls::size(file); }
    /// flags and from stay where they are until it is over.
    int receive_from(handle socket, buffer room, std::size_t& moved, unsigned long& flags,
                     socket_address& from, overlapped& its) noexcept {
        DWORD count = 0;
        const int number =
            number_of(::WSARecvFrom(descriptor(socket), &room, 1, &count, &flags, from.data(),
                                    &from.size(), &its, nullptr));
        moved = count;
        return number;
    }
    int send_to(handle socket, buffer bytes, std::size_t& moved, const socket_address& to,
                overlapped& its) noexcept {
        DWORD count = 0;
        const int number = number_of(::WSASendTo(descriptor(socket), &bytes, 1, &count, 0,
                                                 to.data(), to.size(), &its, nullptr));
        moved = count;
        return number;
    }
    int cancel(handle socket, overlapped& its) noexcept {
        return succeeded(::CancelIoEx(reinterpret_cast<HANDLE>(socket), &its));
    }
    /// What came of an operation that the port handed back.
    int outcome(handle socket, overlapped& its, std::size_t& moved) noexcept {
        DWORD count = 0, flags = 0;
        const int number = succeeded(
            ::WSAGetOverlappedResult(descriptor(socket), &its, &count, FALSE, &flags));
        moved = count;
        return number;
    }

    /// Without these, the calls that ask a socket about its connection fail.
    int update_accepted(handle accepted, handle listener) noexcept {
        return put(accepted, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, descriptor(listener));
    }
    int update_connected(handle connected) noexcept {
        return number_of(::setsockopt(descriptor(connected), SOL_SOCKET,
                                      SO_UPDATE_CONNECT_CONTEXT, nullptr, 0));
    }

    /// Sleeps until something is handed back, at most so many milliseconds; gives how many entries
    /// were filled.
    std::size_t dequeue(std::span<entry> entries, std::uint32_t milliseconds) noexcept {
        ULONG count = 0;
        // The count means nothing where the call fails.
        return ::GetQueuedCompletionStatusEx(port_, entries.data(), size_of(entries), &count,
                                             milliseconds, FALSE)
                   ? count
                   : 0;
    }
    /// Any thread: an entry without an operation.
    void post() noexcept { ::PostQueuedCompletionStatus(port_, 0, 0, nullptr); }

private:
    static constexpr int maximum_retransmission_time = 5;  // TCP_MAXRT, which older headers lack

    static SOCKET descriptor(handle socket) noexcept { return windows_system::descriptor(socket); }
    template <class Element>
    static DWORD size_of(std::span<Element> elements) noexcept {
        return static_cast<DWORD>(elements.size());
    }
    static int number_of(int returned) noexcept {
        return returned == SOCKET_ERROR ? ::WSAGetLastError() : 0;
    }

    static int succeeded(BOOL returned) noexcept { return returned ? 0 : ::WSAGetLastError(); }

    /// Else an ICMP message for a datagram sent earlier ends a receive of today.
    static void keep_unreachable_peers_quiet(SOCKET socket) noexcept {
        constexpr DWORD udp_connection_reset = IOC_IN | IOC_VENDOR | 12;  // SIO_UDP_CONNRESET
        BOOL wanted = FALSE;
        DWORD count = 0;
        ::WSAIoctl(socket, udp_connection_reset, &wanted, sizeof wanted, nullptr, 0, &count,
                   nullptr, nullptr);
    }

    /// AcceptEx, ConnectEx and TransmitFile, which ws2_32 itself does not export, and what
    /// providers there are.
    int find_extensions() noexcept {
        const auto opened = open(address_family::ipv4, socket_kind::stream);
        if (opened < 0) return static_cast<int>(-opened);
        const auto socket = static_cast<handle>(opened);
        int failed = find_extension(socket, WSAID_ACCEPTEX, accept_ex_);
        if (!failed) failed = find_extension(socket, WSAID_CONNECTEX, connect_ex_);
        if (!failed) failed = find_extension(socket, WSAID_TRANSMITFILE, transmit_file_);
        every_provider_is_the_systems_ = provider_is_the_systems(socket);
        close(socket);
        return failed;
    }
    template <class Function>
    static int find_extension(handle socket, ::GUID which, Function& found) noexcept {
        DWORD count = 0;
        return number_of(::WSAIoctl(descriptor(socket), SIO_GET_EXTENSION_FUNCTION_POINTER, &which,
                                    sizeof which, &found, sizeof found, &count, nullptr, nullptr));
    }
    static bool provider_is_the_systems(handle socket) noexcept {
        ::WSAPROTOCOL_INFOW provider{};
        int size = sizeof provider;
        return ::getsockopt(descriptor(socket), SOL_SOCKET, SO_PROTOCOL_INFOW,
                            reinterpret_cast<char*>(&provider), &size) == 0 &&
               (provider.dwServiceFlags1 & XP1_IFS_HANDLES) != 0;
    }

    HANDLE port_ = nullptr;
    LPFN_ACCEPTEX accept_ex_ = nullptr;
    LPFN_CONNECTEX connect_ex_ = nullptr;
    LPFN_TRANSMITFILE transmit_file_ = nullptr;
    bool every_provider_is_the_systems_ = false;
};

}  // namespace coho
