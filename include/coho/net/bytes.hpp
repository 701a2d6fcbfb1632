#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace coho {

/// The bytes of a text, where it lies; the text must outlive them.
inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
    return std::as_bytes(std::span(text));
}

/// Received bytes as text, where they lie.
inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace coho
