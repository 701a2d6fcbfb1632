/* An echo server on libuv: writes at once what the socket takes, and hands only the rest to the
   loop. */
#include "uv_sockets.h"

struct connection {
    uv_tcp_t stream;
    uv_write_t rest;
    char bytes[buffer_size];
};

static void free_closed(uv_handle_t *stream) { free(stream->data); }

static void finish(struct connection *connection) {
    if (!uv_is_closing((uv_handle_t *)&connection->stream))
        uv_close((uv_handle_t *)&connection->stream, free_closed);
}

static void lend(uv_handle_t *stream, size_t suggested, uv_buf_t *lent) {
    (void)suggested;
    struct connection *connection = stream->data;
    *lent = uv_buf_init(connection->bytes, buffer_size);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *bytes);

/* The buffer is free again. */
static void sent_rest(uv_write_t *rest, int status) {
    struct connection *connection = rest->data;
    if (status < 0 || uv_read_start((uv_stream_t *)&connection->stream, lend, received) < 0)
        finish(connection);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *bytes) {
    struct connection *connection = stream->data;
    if (count < 0) {
        finish(connection);
        return;
    }
    uv_buf_t all = uv_buf_init(bytes->base, (unsigned)count);
    int sent = count > 0 ? uv_try_write(stream, &all, 1) : 0;
    if (sent == count)
        return;
    if (sent == UV_EAGAIN)
        sent = 0;
    uv_buf_t rest = uv_buf_init(bytes->base + sent, (unsigned)(count - sent));
    uv_read_stop(stream);
    if (sent < 0 || uv_write(&connection->rest, stream, &rest, 1, sent_rest) < 0)
        finish(connection);
}

static void connected(uv_stream_t *listener, int status) {
    check(status, "listen");
    struct connection *connection = malloc(sizeof *connection);
    if (connection == NULL)
        fail("malloc");
    check(uv_tcp_init(listener->loop, &connection->stream), "uv_tcp_init");
    connection->stream.data = connection->rest.data = connection;
    if (uv_accept(listener, (uv_stream_t *)&connection->stream) < 0 ||
        uv_tcp_nodelay(&connection->stream, 1) < 0 ||
        uv_read_start((uv_stream_t *)&connection->stream, lend, received) < 0)
        finish(connection);
}

int main(int argc, char **argv) {
    return serve_streams(argc, argv, connected);
}
