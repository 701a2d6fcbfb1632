#pragma once

#include "../backend/file_calls.hpp"
#include "../core/result.hpp"

#include <cstdint>
#include <utility>

namespace coho {

/// A regular file that is open for reading, to be sent. Closed by its destructor; movable. It
/// belongs to no scheduler: any thread may use it, and any number of streams send it at once.
class file {
public:
    /// Windows takes the path for UTF-8. errc::file_not_found, errc::permission_denied, and
    /// errc::invalid_argument for a directory, a pipe, a device and so on. It never waits for
    /// anybody, but the disk.
    static result<file> open(const char* path) noexcept {
        const auto opened = file_calls::open(path);
        if (opened >= 0) return file(static_cast<handle>(opened));
        const auto why = file_calls::describe(static_cast<int>(-opened));
        const bool is_other_kind = why == errc::invalid_argument;
        return error(why, {"cannot open '", path,
                           is_other_kind ? "', which is no regular file" : "'"});
    }
    file(file&& other) noexcept : handle_(std::exchange(other.handle_, handle::none)) {}
    file& operator=(file other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~file() {
        if (handle_ != handle::none) file_calls::close(handle_);
    }

    /// Bytes that it has now.
    result<std::uint64_t> size() const noexcept {
        const auto bytes = file_calls::size(handle_);
        if (bytes < 0) return file_calls::describe(static_cast<int>(-bytes));
        return static_cast<std::uint64_t>(bytes);
    }
    handle native_handle() const noexcept { return handle_; }

private:
    explicit file(handle opened) noexcept : handle_(opened) {}

    handle handle_;
};

}  // namespace coho
