#pragma once

#include <cstddef>

// Of compiler-rt's headers <sanitizer/asan_interface.h>, <sanitizer/lsan_interface.h>,
// <sanitizer/common_interface_defs.h> and <sanitizer/tsan_interface.h>, which are not everywhere.
extern "C" {
void __asan_poison_memory_region(const volatile void* data, std::size_t size);
void __asan_unpoison_memory_region(const volatile void* data, std::size_t size);
void __lsan_ignore_object(const void* data);
void __sanitizer_set_death_callback(void (*call)());
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}

namespace coho {

inline constexpr bool has_address_sanitizer =
#if defined(__SANITIZE_ADDRESS__)
    true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    true;
#else
    false;
#endif
#else
    false;
#endif
inline constexpr bool has_thread_sanitizer =
#if defined(__SANITIZE_THREAD__)
    true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    true;
#else
    false;
#endif
#else
    false;
#endif

/// Under AddressSanitizer, who touches that memory is reported from here on; elsewhere nothing.
/// Of each eight bytes it knows only how many of the first are allowed, so that up to seven at the
/// end may go unwatched; what lies beside is never forbidden. Any thread.
inline void forbid([[maybe_unused]] void* data, [[maybe_unused]] std::size_t size) noexcept {
    if constexpr (has_address_sanitizer) __asan_poison_memory_region(data, size);
}
inline void allow([[maybe_unused]] void* data, [[maybe_unused]] std::size_t size) noexcept {
    if constexpr (has_address_sanitizer) __asan_unpoison_memory_region(data, size);
}

/// Memory that is never freed, on purpose: no leak to be reported.
inline void leave_allocated([[maybe_unused]] void* memory) noexcept {
    if constexpr (has_address_sanitizer) __lsan_ignore_object(memory);
}

/// After AddressSanitizer has reported, and before it ends the process.
inline void call_after_report([[maybe_unused]] void (*call)()) noexcept {
    if constexpr (has_address_sanitizer) __sanitizer_set_death_callback(call);
}

/// What ThreadSanitizer is told of messages between threads of this process: what was done before
/// one was sent is seen by who has received one. It learns that by itself from send(2) and recv(2),
/// for which all sockets are one too, but not from io_uring, which is asked through memory. Of
/// buffers it need be told nothing: one that comes home from another thread comes by the mailbox,
/// and what the system writes is no access to it.
inline char message_order = 0;
inline void about_to_send() noexcept {
    if constexpr (has_thread_sanitizer) __tsan_release(&message_order);
}
inline void has_received() noexcept {
    if constexpr (has_thread_sanitizer) __tsan_acquire(&message_order);
}

}  // namespace coho
