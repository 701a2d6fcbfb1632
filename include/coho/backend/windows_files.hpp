#pragma once

#include "request.hpp"
#include "socket_headers.hpp"
#include "winsock_errors.hpp"

#include <array>
#include <cstdint>

namespace coho {

/// The calls on regular files that Windows has. What fails gives the negated number.
struct file_calls {
    static error describe(int number) noexcept { return describe_winsock(number); }

    /// Opens for reading, by a path in UTF-8; invalid_parameter where it is something else than a
    /// regular file.
    static std::intptr_t open(const char* path) noexcept {
        std::array<wchar_t, 1024> wide;
        if (!::MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide.data(),
                                   static_cast<int>(wide.size()))) {
            return -windows_error::invalid_name;
        }
        const HANDLE opened = ::CreateFileW(
            wide.data(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            nullptr, OPEN_EXISTING, FILE_FLAG_OVERLAPPED | FILE_FLAG_SEQUENTIAL_SCAN, nullptr);
        if (opened == INVALID_HANDLE_VALUE) {
            const int number = static_cast<int>(::GetLastError());
            const DWORD known = ::GetFileAttributesW(wide.data());
            const bool is_folder =
                known != INVALID_FILE_ATTRIBUTES && (known & FILE_ATTRIBUTE_DIRECTORY);
            return is_folder ? -windows_error::invalid_parameter : -number;
        }
        if (::GetFileType(opened) == FILE_TYPE_DISK) return reinterpret_cast<std::intptr_t>(opened);
        ::CloseHandle(opened);
        return -windows_error::invalid_parameter;
    }
    static void close(handle file) noexcept { ::CloseHandle(of_system(file)); }
    static std::int64_t size(handle file) noexcept {
        LARGE_INTEGER bytes;
        if (::GetFileSizeEx(of_system(file), &bytes)) return bytes.QuadPart;
        return -static_cast<std::int64_t>(::GetLastError());
    }
    /// The count of bytes, 0 at the end.
    static std::intptr_t read(handle file, std::uint64_t offset,
                              std::span<std::byte> place) noexcept {
        auto at = place_of(offset);
        DWORD count = 0;
        const auto most = static_cast<DWORD>(place.size());
        int number = ::ReadFile(of_system(file), place.data(), most, nullptr, &at)
                         ? 0
                         : static_cast<int>(::GetLastError());
        if (number == 0 || number == windows_error::io_pending) {
            if (::GetOverlappedResult(of_system(file), &at, &count, TRUE)) return count;
            number = static_cast<int>(::GetLastError());
        }
        return number == windows_error::handle_eof ? 0 : -number;
    }

    static HANDLE of_system(handle file) noexcept { return reinterpret_cast<HANDLE>(file); }
    static ::OVERLAPPED place_of(std::uint64_t offset) noexcept {
        ::OVERLAPPED place{};
        place.Offset = static_cast<DWORD>(offset);
        place.OffsetHigh = static_cast<DWORD>(offset >> 32);
        return place;
    }
};

}  // namespace coho
