#pragma once

#include <string>

// Catch2 version 3 where the system has it, else version 2.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
namespace support {
inline auto contains(const std::string& part) { return Catch::Matchers::ContainsSubstring(part); }
}  // namespace support
#else
#include <catch2/catch.hpp>
namespace support {
inline auto contains(const std::string& part) { return Catch::Matchers::Contains(part); }
}  // namespace support
#endif
