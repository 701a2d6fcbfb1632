/* Sends every datagram back, on libuv. */
#include "uv_sockets.h"

static void lend(uv_handle_t *socket, size_t suggested, uv_buf_t *lent) {
    static char bytes[longest_datagram];
    (void)socket;
    (void)suggested;
    *lent = uv_buf_init(bytes, sizeof bytes);
}

/* What cannot be sent at once is lost, as the network may lose any. */
static void received(uv_udp_t *socket, ssize_t count, const uv_buf_t *bytes,
                     const struct sockaddr *from, unsigned flags) {
    (void)flags;
    if (count < 0 || from == NULL)
        return;
    const uv_buf_t datagram = uv_buf_init(bytes->base, (unsigned)count);
    uv_udp_try_send(socket, &datagram, 1, from);
}

int main(int argc, char **argv) {
    uv_loop_t *loop = uv_default_loop();
    uv_udp_t socket;
    check(uv_udp_init(loop, &socket), "uv_udp_init");
    check(uv_udp_open(&socket, bind_as("libuv", argc, argv, SOCK_DGRAM)), "uv_udp_open");
    check(uv_udp_recv_start(&socket, lend, received), "uv_udp_recv_start");
    return uv_run(loop, UV_RUN_DEFAULT);
}
