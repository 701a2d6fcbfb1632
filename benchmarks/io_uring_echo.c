/* An echo server on io_uring, as one writes it by hand: one system call per turn submits all that
   the completions of the turn before gave rise to, and waits. Linux 5.19 for multishot accept. */
#define _GNU_SOURCE
#include "sockets.h"

#include <errno.h>
#include <liburing.h>
#include <unistd.h>

/* Headers older than the kernel lack these; the numbers are the kernel's interface. */
#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1U << 8)
#endif
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif
#ifndef IORING_ACCEPT_MULTISHOT
#define IORING_ACCEPT_MULTISHOT (1U << 0)
#endif

enum { submission_entries = 512, completion_entries = 16384, exit_status_skipped = 77 };

/* A connection has one operation in the kernel at any time: a send while bytes received are not
   all sent, else a receive. */
struct connection {
    int socket;
    size_t received;
    size_t sent;
    char bytes[buffer_size];
};

static void open_ring(struct io_uring *ring) {
    const unsigned modes[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                              IORING_SETUP_COOP_TASKRUN, 0};
    int result = -EINVAL;
    for (size_t i = 0; i < sizeof modes / sizeof *modes && result == -EINVAL; ++i) {
        struct io_uring_params parameters = {.flags = modes[i] | IORING_SETUP_CQSIZE,
                                             .cq_entries = completion_entries};
        result = io_uring_queue_init_params(submission_entries, ring, &parameters);
    }
    if (result < 0) {
        fprintf(stderr, "io_uring_setup: %s\n", strerror(-result));
        exit(exit_status_skipped);
    }
    /* Saves the kernel a look-up of the ring at each turn; where it is unknown, nothing is lost. */
    io_uring_register_ring_fd(ring);
}

static struct io_uring_sqe *next_submission(struct io_uring *ring) {
    struct io_uring_sqe *submission = io_uring_get_sqe(ring);
    while (submission == NULL) {
        io_uring_submit(ring);
        submission = io_uring_get_sqe(ring);
    }
    return submission;
}

static void queue_accept(struct io_uring *ring, int listener) {
    struct io_uring_sqe *submission = next_submission(ring);
    io_uring_prep_accept(submission, listener, NULL, NULL, SOCK_CLOEXEC);
    submission->ioprio |= IORING_ACCEPT_MULTISHOT;
    io_uring_sqe_set_data(submission, NULL);
}

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
        const int submitted = io_uring_submit_and_wait(&ring, 1);
        if (submitted < 0 && submitted != -EINTR) {
            errno = -submitted;
            fail("io_uring_enter");
        }
        struct io_uring_cqe *completion;
        unsigned head;
        unsigned count = 0;
        io_uring_for_each_cqe(&ring, head, completion) {
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
