#pragma once

// The system's own headers of sockets; beside native.hpp the only place that tells systems apart.
#ifdef _WIN32
// <windows.h> comes with them, and its macros must not reach those who include coho.
#pragma push_macro("min")
#pragma push_macro("max")
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#pragma pop_macro("max")
#pragma pop_macro("min")
#else
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#endif
