#pragma once

#include "posix_errors.hpp"
#include "request.hpp"

#include <cstdint>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace coho {

/// The calls on regular files that a POSIX system has. What fails gives the negated number.
struct file_calls {
    static error describe(int number) noexcept { return describe_posix(number); }

    /// Opens for reading; EINVAL where it is something else than a regular file.
    static std::intptr_t open(const char* path) noexcept {
        // A pipe without O_NONBLOCK would wait for who writes to it.
        const int opened = ::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        // ENXIO is of sockets, and of devices that are not there.
        if (opened < 0) return errno == ENXIO ? -EINVAL : -errno;
        struct stat known{};
        int failed = ::fstat(opened, &known) < 0 ? errno : 0;
        if (!failed && !S_ISREG(known.st_mode)) failed = EINVAL;
        // With O_NONBLOCK, io_uring may read what is in memory alone.
        if (!failed && ::fcntl(opened, F_SETFL, 0) < 0) failed = errno;
        if (!failed) return opened;
        ::close(opened);
        return -failed;
    }
    static void close(handle file) noexcept { ::close(static_cast<int>(file)); }
    static std::int64_t size(handle file) noexcept {
        struct stat known{};
        return ::fstat(static_cast<int>(file), &known) < 0 ? -errno : known.st_size;
    }
    /// The count of bytes, 0 at the end. pread(2).
    static std::intptr_t read(handle file, std::uint64_t offset,
                              std::span<std::byte> place) noexcept {
        for (;;) {
            const auto count = ::pread(static_cast<int>(file), place.data(), place.size(),
                                       static_cast<off_t>(offset));
            if (count >= 0) return count;
            if (errno != EINTR) return -errno;
        }
    }
};

}  // namespace coho
