#pragma once

#include "request.hpp"

#include "../core/error.hpp"

namespace coho {

/// The numbers of Windows that a socket meets, as Microsoft documents them ("Windows Sockets error
/// codes" and "System error codes"). Named here so that their table can be tested anywhere.
namespace windows_error {

inline constexpr int file_not_found = 2;
inline constexpr int path_not_found = 3;
inline constexpr int access_denied = 5;
inline constexpr int invalid_handle = 6;
inline constexpr int handle_eof = 38;
inline constexpr int netname_deleted = 64;
inline constexpr int invalid_parameter = 87;
inline constexpr int semaphore_timeout = 121;
inline constexpr int invalid_name = 123;
inline constexpr int more_data = 234;
inline constexpr int handles_closed = 676;  // Wine's answer where Windows gives 64 or 995
inline constexpr int operation_aborted = 995;
inline constexpr int io_pending = 997;
inline constexpr int not_enough_memory = 8;
inline constexpr int not_found = 1168;
inline constexpr int connection_refused = 1225;
inline constexpr int network_unreachable = 1231;
inline constexpr int host_unreachable = 1232;
inline constexpr int port_unreachable = 1234;
inline constexpr int connection_aborted = 1236;
inline constexpr int no_system_resources = 1450;

inline constexpr int intr = 10004;
inline constexpr int access = 10013;
inline constexpr int invalid = 10022;
inline constexpr int too_many_files = 10024;
inline constexpr int not_socket = 10038;
inline constexpr int message_size = 10040;
inline constexpr int no_protocol_option = 10042;
inline constexpr int protocol_not_supported = 10043;
inline constexpr int operation_not_supported = 10045;
inline constexpr int family_not_supported = 10047;
inline constexpr int address_in_use = 10048;
inline constexpr int address_not_available = 10049;
inline constexpr int network_down = 10050;
inline constexpr int wsa_network_unreachable = 10051;
inline constexpr int network_reset = 10052;
inline constexpr int wsa_connection_aborted = 10053;
inline constexpr int connection_reset = 10054;
inline constexpr int no_buffers = 10055;
inline constexpr int is_connected = 10056;
inline constexpr int not_connected = 10057;
inline constexpr int shut_down = 10058;
inline constexpr int timed_out = 10060;
inline constexpr int wsa_connection_refused = 10061;
inline constexpr int host_down = 10064;
inline constexpr int wsa_host_unreachable = 10065;

}  // namespace windows_error

/// Windows' error numbers as portable errors: the only such table for it.
inline error describe_winsock(int number) noexcept {
    using namespace windows_error;
    switch (number) {
    case 0: return {errc::none, number};
    case handles_closed:
    case operation_aborted: return {errc::cancelled, number};
    case semaphore_timeout:
    case timed_out: return {errc::timed_out, number};
    case port_unreachable:
    case connection_refused:
    case wsa_connection_refused: return {errc::connection_refused, number};
    // A write that meets a connection closed before; a read of one that was reset.
    case netname_deleted:
    case network_reset:
    case shut_down:
    case connection_reset: return {errc::connection_reset, number};
    case connection_aborted:
    case wsa_connection_aborted: return {errc::connection_aborted, number};
    case not_connected: return {errc::not_connected, number};
    case is_connected: return {errc::already_connected, number};
    case address_in_use: return {errc::address_in_use, number};
    case address_not_available: return {errc::address_not_available, number};
    case network_down:
    case network_unreachable:
    case wsa_network_unreachable: return {errc::network_unreachable, number};
    case host_down:
    case host_unreachable:
    case wsa_host_unreachable: return {errc::host_unreachable, number};
    case access_denied:
    case access: return {errc::permission_denied, number};
    case file_not_found:
    case path_not_found:
    case invalid_name: return {errc::file_not_found, number};
    case too_many_files: return {errc::too_many_descriptors, number};
    case not_enough_memory:
    case no_system_resources:
    case no_buffers: return {errc::not_enough_memory, number};
    case more_data:
    case message_size: return {errc::message_too_large, number};
    case invalid_parameter:
    case invalid: return {errc::invalid_argument, number};
    case no_protocol_option:
    case protocol_not_supported:
    case operation_not_supported:
    case family_not_supported: return {errc::not_supported, number};
    case invalid_handle:
    case not_socket: return {errc::closed, number};
    default: return {errc::other, number};
    }
}

/// AcceptEx reports what befell the one connection, which says nothing of the listener.
inline accept_advice winsock_accept_advice(int number) noexcept {
    using namespace windows_error;
    switch (number) {
    case netname_deleted:
    case semaphore_timeout:
    case connection_aborted:
    case connection_reset:
    case wsa_connection_aborted:
    case network_reset:
    case network_down:
    case wsa_network_unreachable:
    case host_down:
    case wsa_host_unreachable:
    case not_connected:
    case timed_out:
    case intr: return accept_advice::go_on;
    case too_many_files:
    case not_enough_memory:
    case no_system_resources:
    case no_buffers: return accept_advice::back_off;
    default: return accept_advice::give_up;
    }
}

}  // namespace coho
