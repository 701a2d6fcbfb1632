/* An echo server on blocking sockets with a thread for each connection: what is written first, and
   what a library must beat to be worth its learning. */
#define _GNU_SOURCE
#include "sockets.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

/* The default of 8 MiB would reserve 80 GB for ten thousand connections. */
enum { stack_size = 65536 };

static void *echo(void *argument) {
    const int connection = (int)(intptr_t)argument;
    char bytes[buffer_size];
    ssize_t received;
    while ((received = recv(connection, bytes, sizeof bytes, 0)) > 0) {
        for (ssize_t sent = 0; sent < received;) {
            const ssize_t count =
                send(connection, bytes + sent, (size_t)(received - sent), MSG_NOSIGNAL);
            if (count < 0)
                goto finished;
            sent += count;
        }
    }
finished:
    close(connection);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_size);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    const int listener = listen_as("blocking", argc, argv);

    for (;;) {
        const int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (accepted < 0) {
            if (errno == ECONNABORTED)
                continue;
            fail("accept4");
        }
        set_no_delay(accepted);
        pthread_t thread;
        errno = pthread_create(&thread, &attributes, echo, (void *)(intptr_t)accepted);
        if (errno != 0) {
            perror("no thread for each of so many connections: pthread_create");
            exit(exit_status_skipped);
        }
    }
}
