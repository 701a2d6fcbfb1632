#pragma once

// The calls on files that are this system's, for a kernel that knows no system.
#ifdef _WIN32
#include "windows_files.hpp"
#else
#include "posix_files.hpp"
#endif
