#pragma once

#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace coho {

/// Why an operation failed, the same on every kernel and operating system.
enum class errc : unsigned short {
    none,
    end_of_stream,       ///< the peer has ended its side in order; every byte before was delivered
    cancelled,           ///< stop was asked, or the socket was closed here
    timed_out,           ///< a timeout, a deadline or TCP itself gave up
    connection_refused,
    connection_reset,    ///< the peer is gone: by a reset, or it closed while we still sent
    connection_aborted,
    not_connected,
    already_connected,
    address_in_use,
    address_not_available,
    address_not_understood,
    network_unreachable,
    host_unreachable,
    name_not_found,
    name_lookup_failed,  ///< the name servers could not be asked; trying again may help
    permission_denied,
    file_not_found,
    too_many_descriptors,
    not_enough_memory,
    message_too_large,
    limit_exceeded,
    invalid_argument,
    not_supported,
    closed,              ///< the socket was closed, or moved from, before the operation began
    other,               ///< see error::number()
};

/// The sentence for a reason: what happened and, where it helps, what to do.
constexpr std::string_view describe(errc reason) noexcept {
    switch (reason) {
    case errc::none: return "no error";
    case errc::end_of_stream: return "the peer has ended the stream";
    case errc::cancelled: return "the operation was cancelled";
    case errc::timed_out: return "the time allowed has passed";
    case errc::connection_refused:
        return "the connection was refused; is the server running there?";
    case errc::connection_reset: return "the peer has closed or reset the connection";
    case errc::connection_aborted: return "the connection was aborted";
    case errc::not_connected: return "the socket is not connected";
    case errc::already_connected: return "the socket is already connected";
    case errc::address_in_use:
        return "the address is in use by another socket; stop that program or choose another port";
    case errc::address_not_available: return "no network interface here has this address";
    case errc::address_not_understood: return "this is not an address";
    case errc::network_unreachable: return "no route leads to that network";
    case errc::host_unreachable: return "the host cannot be reached";
    case errc::name_not_found: return "no such name is known";
    case errc::name_lookup_failed: return "the name servers did not answer; try again later";
    case errc::permission_denied:
        return "permission denied; a port below 1024 needs a privilege on most systems, a file the "
               "right to read it";
    case errc::file_not_found: return "there is no such file";
    case errc::too_many_descriptors:
        return "too many descriptors are open; raise the limit (ulimit -n) or close some";
    case errc::not_enough_memory: return "not enough memory";
    case errc::message_too_large: return "the message is too large to be sent in one piece";
    case errc::limit_exceeded: return "a limit was exceeded";
    case errc::invalid_argument: return "an argument is invalid";
    case errc::not_supported: return "the system does not support this";
    case errc::closed: return "the socket is closed";
    case errc::other: return "the system reports an error";
    }
    return "unknown";
}

/// What went wrong: the portable reason, the system's own number (errno or a Winsock code; 0 where
/// the error is ours) and, for errors of setting up, the words that say what was tried and where.
///
/// Sixteen bytes. The words are the only part on the heap; reading and writing never make any.
/// Where memory for them is lacking they are left out.
class [[nodiscard]] error {
public:
    constexpr error(errc reason, int number = 0) noexcept : number_(number), reason_(reason) {}

    /// The same error with the words that lead its sentence, such as {"cannot listen on ",
    /// "127.0.0.1:80"}. Control characters in them become question marks.
    error(const error& cause, std::initializer_list<std::string_view> attempt) noexcept
        : number_(cause.number_), reason_(cause.reason_), attempt_(joined(attempt)) {}

    error(const error& other) noexcept
        : number_(other.number_), reason_(other.reason_),
          attempt_(other.attempt_ ? joined({other.attempt_}) : nullptr) {}
    constexpr error(error&& other) noexcept
        : number_(other.number_), reason_(other.reason_),
          attempt_(std::exchange(other.attempt_, nullptr)) {}
    error& operator=(error other) noexcept {
        number_ = other.number_;
        reason_ = other.reason_;
        std::swap(attempt_, other.attempt_);
        return *this;
    }
    constexpr ~error() { delete[] attempt_; }

    constexpr errc reason() const noexcept { return reason_; }
    constexpr int number() const noexcept { return number_; }

    /// One sentence: what was tried and where if known, then what happened.
    std::string message() const {
        std::string sentence;
        if (attempt_) sentence.append(attempt_).append(": ");
        sentence.append(describe(reason_));
        if (reason_ == errc::other) {
            sentence.append(": ").append(std::system_category().message(number_));
        }
        return sentence;
    }

    friend constexpr bool operator==(const error& left, errc right) noexcept {
        return left.reason_ == right;
    }

private:
    static char* joined(std::initializer_list<std::string_view> words) noexcept {
        std::size_t size = 0;
        for (const auto& each : words) size += each.size();
        auto* const text = new (std::nothrow) char[size + 1];
        if (!text) return nullptr;
        auto* end = text;
        for (const auto& each : words) {
            for (const char letter : each) {
                // Words may come from a stranger, who is not to end the line and write the next.
                const auto code = static_cast<unsigned char>(letter);
                *end++ = code < 32 || code == 127 ? '?' : letter;
            }
        }
        *end = '\0';
        return text;
    }

    int number_;
    errc reason_;
    char* attempt_ = nullptr;
};

/// What result::value() throws, for those who like exceptions.
class failure : public std::runtime_error {
public:
    explicit failure(const error& cause) : std::runtime_error(cause.message()), cause_(cause) {}

    const error& cause() const noexcept { return cause_; }

private:
    error cause_;
};

}  // namespace coho
