#pragma once

#include "../core/check.hpp"

#include <sys/mman.h>
#include <unistd.h>

namespace coho {

/// Notices that this process is a fork of the one that made the kernel's descriptors: both would
/// take each other's events. The page reads as zero in a child (MADV_WIPEONFORK, madvise(2)), at no
/// cost otherwise.
class fork_mark {
public:
    fork_mark() noexcept {
        const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        void* page =
            ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) return;
        // A kernel before 4.14 cannot mark it; the child then goes unnoticed.
        ::madvise(page, size, MADV_WIPEONFORK);
        mark_ = static_cast<volatile char*>(page);
        *mark_ = 1;
    }
    fork_mark(const fork_mark&) = delete;
    fork_mark& operator=(const fork_mark&) = delete;
    ~fork_mark() {
        if (mark_) {
            ::munmap(const_cast<char*>(mark_), static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
        }
    }

    void check_same_process() const noexcept {
        check(!mark_ || *mark_ == 1,
              "a scheduler was used in a child after fork(); a child may only "
              "exec, or build a scheduler of its own");
    }

private:
    volatile char* mark_ = nullptr;
};

}  // namespace coho
