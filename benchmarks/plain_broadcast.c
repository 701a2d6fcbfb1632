/* Hands what the first connection sends on to all that came after it: poll and a loop of sends, for
   it needs no more. One that does not take a whole message at once is dropped. */
#define _GNU_SOURCE
#include "sockets.h"

#include <poll.h>
#include <unistd.h>

enum { most_subscribers = 65536 };

static int subscribers[most_subscribers];
static size_t subscriber_count;

static int accept_one(int listener) {
    const int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (accepted < 0)
        fail("accept4");
    set_no_delay(accepted);
    return accepted;
}

static void subscribe(int connection) {
    const char greets = greeting;
    if (subscriber_count < most_subscribers &&
        send(connection, &greets, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
        subscribers[subscriber_count++] = connection;
    else
        close(connection);
}

static void send_to_all(const char *bytes, ssize_t length) {
    for (size_t i = 0; i < subscriber_count;) {
        if (send(subscribers[i], bytes, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length) {
            ++i;
        } else {
            close(subscribers[i]);
            subscribers[i] = subscribers[--subscriber_count];
        }
    }
}

static void serve(int listener, int source) {
    for (;;) {
        struct pollfd watched[] = {{.fd = source, .events = POLLIN},
                                   {.fd = listener, .events = POLLIN}};
        if (poll(watched, 2, -1) < 0)
            fail("poll");
        if (watched[1].revents != 0)
            subscribe(accept_one(listener));
        if (watched[0].revents != 0) {
            char bytes[buffer_size];
            const ssize_t received = recv(source, bytes, sizeof bytes, 0);
            if (received <= 0)
                return;
            send_to_all(bytes, received);
        }
    }
}

int main(int argc, char **argv) {
    const int listener = listen_as("plain C", argc, argv);
    for (;;) {
        const int source = accept_one(listener);
        serve(listener, source);
        close(source);
        while (subscriber_count > 0)
            close(subscribers[--subscriber_count]);
    }
}
