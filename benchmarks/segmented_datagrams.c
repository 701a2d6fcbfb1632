/* Sends datagrams back by the batch: the kernel joins those of one sender and one size (GRO), and
   divides the batch again (GSO). Linux 5.0; udp(7). */
#include "sockets.h"

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr alignment;
};

/* The size of each datagram of the batch; 0 where it is but one. */
static uint16_t segment_size(struct msghdr *message) {
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == IPPROTO_UDP && part->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(part), sizeof size);
            return (uint16_t)size;
        }
    }
    return 0;
}

static void divide(struct msghdr *message, uint16_t size) {
    message->msg_controllen = size == 0 ? 0 : CMSG_SPACE(sizeof size);
    if (size == 0)
        return;
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    part->cmsg_level = IPPROTO_UDP;
    part->cmsg_type = UDP_SEGMENT;
    part->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(part), &size, sizeof size);
}

int main(int argc, char **argv) {
    const int socket = bind_as("segmented", argc, argv, SOCK_DGRAM);
    const int on = 1;
    if (setsockopt(socket, IPPROTO_UDP, UDP_GRO, &on, sizeof on) != 0) {
        perror("setsockopt UDP_GRO");
        return exit_status_skipped;
    }
    for (;;) {
        static char bytes[longest_datagram];
        static union control control;
        struct sockaddr_in from;
        struct iovec memory = {bytes, sizeof bytes};
        struct msghdr message = {.msg_name = &from,
                                 .msg_namelen = sizeof from,
                                 .msg_iov = &memory,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control};
        const ssize_t received = recvmsg(socket, &message, 0);
        if (received < 0)
            continue;
        memory.iov_len = (size_t)received;
        divide(&message, segment_size(&message));
        sendmsg(socket, &message, 0);
    }
}
