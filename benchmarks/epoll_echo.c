/* An echo server on epoll, as plain and as fast as one writes it by hand: edge-triggered, so that
   a connection is registered once and the kernel never looks twice at one that was drained. */
#define _GNU_SOURCE
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A connection that always has more to read must not keep the others waiting. */
enum { events_per_turn = 512, reads_per_event = 4 };

enum outcome { drained, interrupted, finished };

struct connection {
    int socket;
    size_t received;
    size_t sent;
    char bytes[buffer_size];
};

static void watch(int epoll, int operation, struct connection *connection) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = connection};
    if (epoll_ctl(epoll, operation, connection->socket, &event) != 0)
        fail("epoll_ctl");
}

static void accept_all(int epoll, int listener) {
    for (;;) {
        const int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0) {
            if (errno == EAGAIN)
                return;
            if (errno == ECONNABORTED)
                continue;
            fail("accept4");
        }
        set_no_delay(accepted);
        struct connection *connection = malloc(sizeof *connection);
        if (connection == NULL)
            fail("malloc");
        connection->socket = accepted;
        connection->received = connection->sent = 0;
        watch(epoll, EPOLL_CTL_ADD, connection);
    }
}

static bool send_rest(struct connection *connection) {
    while (connection->sent < connection->received) {
        const ssize_t sent = send(connection->socket, connection->bytes + connection->sent,
                                  connection->received - connection->sent, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        connection->sent += (size_t)sent;
    }
    return true;
}

/* A read that did not fill the buffer emptied the socket, and new bytes make a new edge. Only an
   end of stream that was already reported makes none, so then the zero must be fetched. */
static enum outcome echo(struct connection *connection, bool peer_finished) {
    for (int reads = 0; send_rest(connection); ++reads) {
        if (reads > 0 && connection->received < buffer_size && !peer_finished)
            return drained;
        if (reads == reads_per_event)
            return interrupted;
        const ssize_t received = recv(connection->socket, connection->bytes, buffer_size, 0);
        if (received == 0)
            return finished;
        if (received < 0)
            break;
        connection->received = (size_t)received;
        connection->sent = 0;
    }
    return errno == EAGAIN ? drained : finished;
}

static void serve(int epoll, struct connection *connection, bool peer_finished) {
    switch (echo(connection, peer_finished)) {
    case drained:
        break;
    case interrupted:
        /* Modifying looks at the socket anew and so makes the edge that was used up. */
        watch(epoll, EPOLL_CTL_MOD, connection);
        break;
    case finished:
        close(connection->socket);
        free(connection);
    }
}

int main(int argc, char **argv) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll_create1");
    const int listener = listen_as("epoll in C", argc, argv);
    if (fcntl(listener, F_SETFL, O_NONBLOCK) != 0)
        fail("fcntl");
    struct epoll_event accepting = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &accepting) != 0)
        fail("epoll_ctl");

    for (;;) {
        struct epoll_event events[events_per_turn];
        const int count = epoll_wait(epoll, events, events_per_turn, -1);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; ++i) {
            if (events[i].data.ptr == NULL)
                accept_all(epoll, listener);
            else
                serve(epoll, events[i].data.ptr, (events[i].events & EPOLLRDHUP) != 0);
        }
    }
}
