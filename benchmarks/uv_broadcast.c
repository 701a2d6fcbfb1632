/* Hands what the first connection sends on to all that came after it, on libuv. One that does not
   take a whole message at once is dropped. */
#include "uv_sockets.h"

enum { most_subscribers = 65536 };

struct audience {
    uv_tcp_t *source;
    uv_tcp_t *subscribers[most_subscribers];
    size_t count;
    char bytes[buffer_size];
};

static struct audience audience;

static void free_closed(uv_handle_t *stream) { free(stream); }

static void drop(uv_tcp_t *stream) { uv_close((uv_handle_t *)stream, free_closed); }

static void lend(uv_handle_t *stream, size_t suggested, uv_buf_t *lent) {
    (void)stream;
    (void)suggested;
    *lent = uv_buf_init(audience.bytes, buffer_size);
}

static void received(uv_stream_t *source, ssize_t count, const uv_buf_t *bytes) {
    (void)source;
    if (count < 0) {
        drop(audience.source);
        audience.source = NULL;
        while (audience.count > 0)
            drop(audience.subscribers[--audience.count]);
        return;
    }
    uv_buf_t message = uv_buf_init(bytes->base, (unsigned)count);
    for (size_t i = 0; i < audience.count;) {
        if (uv_try_write((uv_stream_t *)audience.subscribers[i], &message, 1) == count) {
            ++i;
        } else {
            drop(audience.subscribers[i]);
            audience.subscribers[i] = audience.subscribers[--audience.count];
        }
    }
}

static void connected(uv_stream_t *listener, int status) {
    check(status, "listen");
    uv_tcp_t *stream = malloc(sizeof *stream);
    if (stream == NULL)
        fail("malloc");
    check(uv_tcp_init(listener->loop, stream), "uv_tcp_init");
    if (uv_accept(listener, (uv_stream_t *)stream) < 0 || uv_tcp_nodelay(stream, 1) < 0 ||
        audience.count == most_subscribers) {
        drop(stream);
    } else if (audience.source == NULL) {
        audience.source = stream;
        check(uv_read_start((uv_stream_t *)stream, lend, received), "uv_read_start");
    } else {
        char greets = greeting;
        const uv_buf_t bytes = uv_buf_init(&greets, 1);
        if (uv_try_write((uv_stream_t *)stream, &bytes, 1) == 1)
            audience.subscribers[audience.count++] = stream;
        else
            drop(stream);
    }
}

int main(int argc, char **argv) {
    return serve_streams(argc, argv, connected);
}
