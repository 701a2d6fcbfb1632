#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

/// Bytes of a stream that can be told from their place in it, for programs that compare what they
/// sent with what came back.
namespace support {

/// Differs from what lies anywhere near it, so that a lost, doubled or overtaken byte shows.
inline std::byte byte_at(std::uint64_t place) noexcept {
    return static_cast<std::byte>((place / 8 * 0x9e3779b97f4a7c15u) >> (place % 8 * 8));
}

inline void fill(std::span<std::byte> bytes, std::uint64_t place) noexcept {
    for (auto& each : bytes) each = byte_at(place++);
}

/// The place of the first byte that is not what it should be.
inline std::optional<std::uint64_t> first_wrong(std::span<const std::byte> bytes,
                                                std::uint64_t place) noexcept {
    for (const auto each : bytes) {
        if (each != byte_at(place)) return place;
        ++place;
    }
    return {};
}

}  // namespace support
