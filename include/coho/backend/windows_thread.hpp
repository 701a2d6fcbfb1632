#pragma once

#include "socket_headers.hpp"

#include <memory>
#include <new>

namespace coho {

/// Runs work(argument) on a thread of its own that nobody joins. False where there is none to be
/// had.
inline bool start_helper_thread(void* (*work)(void*), void* argument) noexcept {
    struct errand {
        static DWORD WINAPI run(void* given) {
            const std::unique_ptr<errand> own(static_cast<errand*>(given));
            own->work(own->argument);
            return 0;
        }
        void* (*work)(void*);
        void* argument;
    };
    std::unique_ptr<errand> asked(new (std::nothrow) errand{work, argument});
    if (!asked) return false;
    const auto thread = ::CreateThread(nullptr, 0, &errand::run, asked.get(), 0, nullptr);
    if (!thread) return false;
    asked.release();
    ::CloseHandle(thread);
    return true;
}

}  // namespace coho
