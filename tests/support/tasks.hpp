#pragma once

#include <coho.hpp>

#include <stdexcept>
#include <string>

/// The smallest of tasks, which many tests start.
namespace support {

inline coho::task<> at_once() { co_return; }
inline coho::task<int> number(int value) { co_return value; }
inline coho::task<> some_turns() {
    for (int i = 0; i < 10; ++i) co_await coho::yield();
}
inline coho::task<> throwing(std::string words) {
    co_await coho::yield();
    throw std::runtime_error(words);
}

}  // namespace support
