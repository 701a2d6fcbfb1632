/* What the servers and the load generator must do alike for a comparison to be fair: the same
   address syntax, the same listening socket, the same options on every connection. C and C++. */
#ifndef COHO_BENCHMARKS_SOCKETS_H
#define COHO_BENCHMARKS_SOCKETS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* Headers older than the kernel lack these; the numbers are the kernel's interface, udp(7). */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { buffer_size = 16384, listen_backlog = 4096 };

/* UDP takes no longer datagram over IPv4. */
enum { longest_datagram = 65507 };

/* Of a server that the machine refuses what it is about: the driver then leaves it out. */
enum { exit_status_skipped = 77 };

/* What a broadcasting server sends first to each that subscribes, so that whoever counts them knows
   when all have been accepted. */
enum { greeting = '!' };

__attribute__((noreturn)) static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

__attribute__((noreturn)) static inline void refuse(const char *complaint, const char *argument) {
    fprintf(stderr, "%s: %s\n", complaint, argument);
    exit(2);
}

static inline struct sockaddr_in parse_address(const char *text) {
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;

    char host[INET_ADDRSTRLEN];
    unsigned port;
    int length = 0;
    if (sscanf(text, "%15[0-9.]:%5u%n", host, &port, &length) != 2 || text[length] != '\0' ||
        port > 65535 || inet_pton(AF_INET, host, &address.sin_addr) != 1)
        refuse("not an IPv4 address and port", text);
    address.sin_port = htons((in_port_t)port);
    return address;
}

/* The usual soft limit of 1,024 descriptors is too low for a thousand connections. */
static inline void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("setrlimit");
}

static inline void set_no_delay(int connection) {
    const int on = 1;
    if (setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        fail("setsockopt TCP_NODELAY");
}

/* Opens a socket where `--listen HOST:PORT` says and prints the one line the driver waits for, so
   whatever else may fail at start must have been done before. */
static inline int bind_as(const char *name, int argc, char **argv, int type) {
    if (argc != 3 || strcmp(argv[1], "--listen") != 0)
        refuse("usage: --listen HOST:PORT, port 0 for any", argv[0]);
    struct sockaddr_in address = parse_address(argv[2]);
    socklen_t length = sizeof address;
    raise_descriptor_limit();

    const int opened = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (opened < 0)
        fail("socket");
    const int on = 1;
    if (type == SOCK_STREAM && setsockopt(opened, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        fail("setsockopt SO_REUSEADDR");
    if (bind(opened, (struct sockaddr *)&address, length) != 0)
        fail("bind");
    if (type == SOCK_STREAM && listen(opened, listen_backlog) != 0)
        fail("listen");

    if (getsockname(opened, (struct sockaddr *)&address, &length) != 0)
        fail("getsockname");
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
    printf("listening on %s:%u (%s)\n", host, ntohs(address.sin_port), name);
    fflush(stdout);
    return opened;
}

static inline int listen_as(const char *name, int argc, char **argv) {
    return bind_as(name, argc, argv, SOCK_STREAM);
}

#endif
