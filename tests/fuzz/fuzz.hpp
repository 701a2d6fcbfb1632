#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

/// What each target defines. libFuzzer calls it with the inputs that it makes up, replay.cpp with
/// those of the corpus. It ends the process where a promise is broken.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size);

namespace fuzz {

/// Text such that every byte of it can be seen.
inline std::string quoted(std::string_view text) {
    std::string seen = "\"";
    for (const char each : text) {
        const auto byte = static_cast<unsigned char>(each);
        char code[5];
        std::snprintf(code, sizeof code, byte < 32 || byte > 126 ? "\\x%02x" : "%c", byte);
        seen += code;
    }
    return seen + '"';
}

/// The words say what is promised.
inline void require(bool holds, std::string_view words, std::string_view about) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s; it is about %s\n", std::string(words).c_str(),
                 quoted(about).c_str());
    std::abort();
}

/// Takes an input for a list of numbers, with zeros after its end.
class number_reader {
public:
    explicit number_reader(std::span<const std::uint8_t> input) noexcept : rest_(input) {}

    bool at_end() const noexcept { return rest_.empty(); }
    std::uint8_t next() noexcept {
        if (at_end()) return 0;
        const auto number = rest_.front();
        rest_ = rest_.subspan(1);
        return number;
    }

private:
    std::span<const std::uint8_t> rest_;
};

}  // namespace fuzz
