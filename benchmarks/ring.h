/* What the servers on io_uring share: the ring, set up as is best for one thread. Linux 5.19 for
   multishot accept. */
#ifndef COHO_BENCHMARKS_RING_H
#define COHO_BENCHMARKS_RING_H

#include "sockets.h"

#include <errno.h>
#include <liburing.h>

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

enum { submission_entries = 512, completion_entries = 16384 };

static inline void open_ring(struct io_uring *ring) {
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

static inline struct io_uring_sqe *next_submission(struct io_uring *ring) {
    struct io_uring_sqe *submission = io_uring_get_sqe(ring);
    while (submission == NULL) {
        io_uring_submit(ring);
        submission = io_uring_get_sqe(ring);
    }
    return submission;
}

static inline void queue_accept(struct io_uring *ring, int listener) {
    struct io_uring_sqe *submission = next_submission(ring);
    io_uring_prep_accept(submission, listener, NULL, NULL, SOCK_CLOEXEC);
    submission->ioprio |= IORING_ACCEPT_MULTISHOT;
    io_uring_sqe_set_data(submission, NULL);
}

/* Submits what was queued, and waits for the first completion. */
static inline void submit_and_wait(struct io_uring *ring) {
    const int submitted = io_uring_submit_and_wait(ring, 1);
    if (submitted < 0 && submitted != -EINTR) {
        errno = -submitted;
        fail("io_uring_enter");
    }
}

#endif
