/* Hands what the first connection sends on to all that came after it, on io_uring: the sends of a
   message reach the kernel together. One that does not take a whole message at once is dropped. */
#define _GNU_SOURCE
#include "ring.h"

#include <stdint.h>
#include <unistd.h>

enum { most_subscribers = 65536, none = -1 };

/* What a completion belongs to: null is the accept, this is the source, and from here on come the
   subscribers by their descriptor. */
enum { of_source = 1, of_first_descriptor = 2 };

static int subscribers[most_subscribers];
static size_t subscriber_count;
static int source = none;
static char bytes[buffer_size];
static int message_length;
static size_t sends_in_kernel;

static void queue_receive(struct io_uring *ring) {
    struct io_uring_sqe *submission = next_submission(ring);
    io_uring_prep_recv(submission, source, bytes, sizeof bytes, 0);
    io_uring_sqe_set_data64(submission, of_source);
}

static void accepted(struct io_uring *ring, int connection) {
    const char greets = greeting;
    set_no_delay(connection);
    if (source == none) {
        source = connection;
        queue_receive(ring);
    } else if (subscriber_count < most_subscribers &&
               send(connection, &greets, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) {
        subscribers[subscriber_count++] = connection;
    } else {
        close(connection);
    }
}

static void received(struct io_uring *ring, int result) {
    if (result <= 0) {
        close(source);
        source = none;
        while (subscriber_count > 0)
            close(subscribers[--subscriber_count]);
        return;
    }
    message_length = result;
    sends_in_kernel = subscriber_count;
    for (size_t i = 0; i < subscriber_count; ++i) {
        struct io_uring_sqe *submission = next_submission(ring);
        io_uring_prep_send(submission, subscribers[i], bytes, (size_t)result,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
        io_uring_sqe_set_data64(submission, (uint64_t)(of_first_descriptor + subscribers[i]));
    }
    if (subscriber_count == 0)
        queue_receive(ring);
}

static void sent(struct io_uring *ring, int subscriber, int result) {
    if (result != message_length) {
        for (size_t i = 0; i < subscriber_count; ++i) {
            if (subscribers[i] == subscriber)
                subscribers[i--] = subscribers[--subscriber_count];
        }
        close(subscriber);
    }
    if (--sends_in_kernel == 0)
        queue_receive(ring);
}

int main(int argc, char **argv) {
    struct io_uring ring;
    open_ring(&ring);
    const int listener = listen_as("io_uring in C", argc, argv);
    queue_accept(&ring, listener);

    for (;;) {
        submit_and_wait(&ring);
        struct io_uring_cqe *completion;
        unsigned head;
        unsigned count = 0;
        io_uring_for_each_cqe(&ring, head, completion) {
            const uint64_t owner = io_uring_cqe_get_data64(completion);
            if (owner == of_source) {
                received(&ring, completion->res);
            } else if (owner >= of_first_descriptor) {
                sent(&ring, (int)owner - of_first_descriptor, completion->res);
            } else {
                if (completion->res >= 0)
                    accepted(&ring, completion->res);
                if (!(completion->flags & IORING_CQE_F_MORE))
                    queue_accept(&ring, listener);
            }
            ++count;
        }
        io_uring_cq_advance(&ring, count);
    }
}
