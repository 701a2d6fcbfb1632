/* An echo server on io_uring, as one writes it by hand: one system call per turn submits all that
   the completions of the turn before gave rise to, and waits. */
#define _GNU_SOURCE
#include "ring.h"

#include <unistd.h>

/* A connection has one operation in the kernel at any time: a send while bytes received are not
   all sent, else a receive. */
struct connection {
    int socket;
    size_t received;
    size_t sent;
    char bytes[buffer_size];
};

static void queue_echo(struct io_uring *ring, struct connection *connection) {
    struct io_uring_sqe *submission = next_submission(ring);
    if (connection->sent < connection->received)
        io_uring_prep_send(submission, connection->socket, connection->bytes + connection->sent,
                           connection->received - connection->sent, MSG_NOSIGNAL);
    else
        io_uring_prep_recv(submission, connection->socket, connection->bytes, buffer_size, 0);
    io_uring_sqe_set_data(submission, connection);
}

static void accepted(struct io_uring *ring, int listener, const struct io_uring_cqe *completion) {
    if (completion->res >= 0) {
        struct connection *connection = malloc(sizeof *connection);
        if (connection == NULL)
            fail("malloc");
        set_no_delay(completion->res);
        connection->socket = completion->res;
        connection->received = connection->sent = 0;
        queue_echo(ring, connection);
    } else if (completion->res != -ECONNABORTED) {
        errno = -completion->res;
        fail("accept");
    }
    if (!(completion->flags & IORING_CQE_F_MORE))
        queue_accept(ring, listener);
}

static void echoed(struct io_uring *ring, struct connection *connection, int result) {
    if (result <= 0) {
        close(connection->socket);
        free(connection);
        return;
    }
    if (connection->sent < connection->received) {
        connection->sent += (size_t)result;
    } else {
        connection->received = (size_t)result;
        connection->sent = 0;
    }
    queue_echo(ring, connection);
}

int main(int argc, char **argv) {
    struct io_uring ring;
    open_ring(&ring);
    const int listener = listen_as("io_uring in C", argc, argv);
    queue_accept(&ring, listener);

    for (;;) {
        submit_and_wait(&ring);
        /* What completes meanwhile waits, or those who are served first are served again and again
           while a thousand others wait. */
        const unsigned ready = io_uring_cq_ready(&ring);
        struct io_uring_cqe *completion;
        unsigned head;
        unsigned count = 0;
        io_uring_for_each_cqe(&ring, head, completion) {
            if (count == ready)
                break;
            struct connection *connection = io_uring_cqe_get_data(completion);
            if (connection == NULL)
                accepted(&ring, listener, completion);
            else
                echoed(&ring, connection, completion->res);
            ++count;
        }
        io_uring_cq_advance(&ring, count);
    }
}
