/* What the servers on libuv share. */
#ifndef COHO_BENCHMARKS_UV_SOCKETS_H
#define COHO_BENCHMARKS_UV_SOCKETS_H

#include "sockets.h"

#include <uv.h>

static inline void check(int status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
        exit(1);
    }
}

static inline int serve_streams(int argc, char **argv, uv_connection_cb connected) {
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    check(uv_tcp_open(&listener, listen_as("libuv", argc, argv)), "uv_tcp_open");
    check(uv_listen((uv_stream_t *)&listener, listen_backlog, connected), "uv_listen");
    return uv_run(loop, UV_RUN_DEFAULT);
}

#endif
