/* Sends every datagram back: a loop of recvfrom and sendto, which is what is written first. */
#include "sockets.h"

int main(int argc, char **argv) {
    const int socket = bind_as("blocking", argc, argv, SOCK_DGRAM);
    for (;;) {
        static char bytes[longest_datagram];
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        const ssize_t received =
            recvfrom(socket, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
        /* What cannot be sent is lost, as the network may lose any. */
        if (received >= 0)
            sendto(socket, bytes, (size_t)received, 0, (struct sockaddr *)&from, length);
    }
}
