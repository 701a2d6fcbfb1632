#pragma once

#include <coho.hpp>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

/// What the examples share: their flags, and the choice of a kernel by name.
namespace example {

/// A mistake in the command line: what is wrong with it, in a sentence.
struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Goes through `--name value` pairs.
class command_line {
public:
    command_line(int count, char** words) : next_(words + 1), end_(words + count) {}

    /// The next flag, or nothing at the end.
    std::optional<std::string_view> next_flag() {
        if (next_ == end_) return {};
        flag_ = *next_++;
        return flag_;
    }
    /// The value that follows the flag.
    std::string_view value() {
        if (next_ == end_) throw usage_error(flag_ + " wants a value");
        return *next_++;
    }
    /// From 1 to a billion.
    std::uint32_t number() {
        const auto text = value();
        std::uint32_t read = 0;
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), read);
        const bool whole = failed == std::errc() && end == text.data() + text.size();
        if (!whole || read < 1 || read > 1'000'000'000) {
            throw usage_error(flag_ + " wants a whole number from 1 to a billion, not \"" +
                              std::string(text) + "\"");
        }
        return read;
    }
    coho::endpoint endpoint() { return coho::endpoint::parse(value()).value(); }
    /// A name or an address, and the port after the last colon.
    std::pair<std::string, std::uint16_t> host_and_port() {
        const auto text = value();
        if (const auto known = coho::endpoint::parse(text)) {
            return {to_string(known->address()), known->port()};
        }
        const auto colon = text.rfind(':');
        const auto digits = text.substr(colon == text.npos ? text.size() : colon + 1);
        std::uint16_t port = 0;
        const auto [end, failed] =
            std::from_chars(digits.data(), digits.data() + digits.size(), port);
        if (failed != std::errc() || end != digits.data() + digits.size() || colon == 0 ||
            text.front() == '[') {
            throw std::runtime_error("cannot read \"" + std::string(text) +
                                     "\" as HOST:PORT such as localhost:7777");
        }
        return {std::string(text.substr(0, colon)), port};
    }
    [[noreturn]] void unknown() const { throw usage_error("there is no flag \"" + flag_ + "\""); }

private:
    char** next_;
    char** end_;
    std::string flag_;
};

/// Says on which address and kernel the server serves, once it does.
inline void announce(const coho::endpoint& where, std::string_view kernel) {
    std::printf("listening on %s (%.*s)\n", to_string(where).c_str(),
                static_cast<int>(kernel.size()), kernel.data());
    std::fflush(stdout);
}

/// Runs Program::serve<Backend>(arguments...) on the kernel of that name.
template <class Program, class... Arguments>
int run_on(std::string_view kernel, coho::run_options options, Arguments... arguments) {
    if (kernel == "native") {
        return coho::run(options, Program::template serve<coho::native>, arguments...);
    }
#ifdef _WIN32
    if (kernel == "iocp") {
        return coho::run<coho::iocp>(options, Program::template serve<coho::iocp>, arguments...);
    }
    constexpr std::string_view known = "native or iocp";
#else
    if (kernel == "io_uring") {
        return coho::run<coho::io_uring>(options, Program::template serve<coho::io_uring>,
                                         arguments...);
    }
    if (kernel == "epoll") {
        return coho::run<coho::epoll>(options, Program::template serve<coho::epoll>, arguments...);
    }
    constexpr std::string_view known = "native, io_uring or epoll";
#endif
    throw usage_error("there is no kernel \"" + std::string(kernel) + "\" here; it is " +
                      std::string(known));
}

/// Calls the program, and turns mistakes into one line and an exit status: 2 for usage, 1 for all
/// others.
template <class Program>
int run_main(const char* usage, Program&& program) {
    try {
        return program();
    } catch (const usage_error& wrong) {
        std::fprintf(stderr, "%s; usage: %s\n", wrong.what(), usage);
        return 2;
    } catch (const std::exception& failed) {
        std::fprintf(stderr, "%s\n", failed.what());
        return 1;
    }
}

}  // namespace example
