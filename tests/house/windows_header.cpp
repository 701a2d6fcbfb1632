// Compiled with <windows.h> before and after coho's headers, with and without its macros.

#ifdef WINDOWS_FIRST
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#endif

#include <coho.hpp>

#ifdef WINDOWS_FIRST
#if !defined NOMINMAX && !defined min
#error coho took away what the program had
#endif
#elif defined min || defined max
#error coho leaks the macros of <windows.h>
#endif

#ifndef WINDOWS_FIRST
#include <windows.h>
#endif

int main() {
    coho::scheduler<coho::native> loop;
    return loop.run([]() -> coho::task<> { co_await coho::yield(); });
}
