"""The clients of the server: each knows what it sent, and compares each byte that comes back."""

import contextlib
import errno
import fcntl
import functools
import os
import random
import selectors
import socket
import struct
import termios
import time

from .common import QUIET_SECONDS, Failed, options


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@functools.cache
def noise(size):
    return random.Random(size).randbytes(size)


def signed(number, size):
    """Bytes that say whose they are, and are the same nowhere."""
    cells = (b"<client %d, cell %d>" % (number, cell) for cell in range(size // 16 + 1))
    return b"".join(cells)[:size]


class Client:
    """A connection, the bytes that it sends, and how many of them came back."""

    def __init__(self, address, message=b"", receive_buffer=None):
        self.socket = socket.socket(family_of(address[0]))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:  # before connecting: it bounds the window that the server is offered
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.say(message)
        outcome = self.socket.connect_ex(address)
        if outcome not in (0, errno.EINPROGRESS):
            raise Failed("a connection", os.strerror(outcome))

    def say(self, message):
        self.message = memoryview(message)
        self.sent = self.received = 0

    def say_no_more(self):
        """What was sent so far is all."""
        self.message = self.message[:self.sent]

    def check_connected(self):
        if number := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise Failed("a connection", os.strerror(number))

    def send(self, until, burst=1 << 18):
        try:
            self.sent += self.socket.send(self.message[self.sent:min(until, self.sent + burst)])
        except BlockingIOError:
            pass
        except OSError as failure:
            raise self.cut(failure) from None

    def receive(self, burst=1 << 18):
        try:
            piece = self.socket.recv(burst)
        except BlockingIOError:
            return
        except OSError as failure:
            raise self.cut(failure) from None
        own = self.message[self.received:min(self.sent, self.received + len(piece))]
        if not piece:
            raise self.cut("the end of the stream")
        if own != piece:
            raise self.wrong(own, piece)
        self.received += len(piece)

    def wrong(self, own, piece):
        at = next((i for i, (a, b) in enumerate(zip(own, piece)) if a != b), len(own))
        words, place = piece[at:at + 32], self.received + at
        later = bytes(self.message[:self.sent]).find(words, place)
        came = (f"{later - place} bytes missing after {place}" if later > place else
                f"after {place} of them what this client did not send there: {words}")
        return Failed("each client's own bytes in their order", came)

    def cut(self, reason):
        reason = reason.strerror.lower() if isinstance(reason, OSError) else reason
        return Failed(f"{len(self.message)} bytes back", f"{self.received}, and then: {reason}")

    def is_taken(self):
        """Whether all that was sent has arrived at the server's system."""
        return struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0] == 0

    def shut_down(self):
        with contextlib.suppress(OSError):  # the server has closed before
            self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Leaves with RST, as one that crashed does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.socket.close()


def ready_to(events, clients, seconds):
    """Those of the clients that can send or receive, waiting for the first of them."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, events, client)
        return [key.data for key, _ in selector.select(max(0, seconds))]


def exchange(clients, goal=None):
    """Sends and receives side by side until each has its bytes back, or the first `goal` of them."""
    goals = {each: len(each.message) if goal is None else goal for each in clients}
    limit = time.monotonic() + 6 * options.patience
    with selectors.DefaultSelector() as selector:
        for client in clients:
            if client.received < goals[client]:
                selector.register(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
        while len(selector.get_map()) > 0:
            ready = selector.select(options.patience)
            if not ready or time.monotonic() > limit:
                stuck = [key.data for key in selector.get_map().values()]
                one = stuck[0]
                raise Failed(f"{goals[one]} bytes back for each client",
                             f"{one.received}, and no more in {options.patience:g} s; so it is for "
                             f"{len(stuck)} of {len(clients)} clients")
            for key, events in ready:
                client = key.data
                if events & selectors.EVENT_WRITE and client.sent < goals[client]:
                    client.send(goals[client])
                if events & selectors.EVENT_READ:
                    client.receive()
                if client.received >= goals[client]:
                    selector.unregister(client.socket)
                elif client.sent >= goals[client]:
                    selector.modify(client.socket, selectors.EVENT_READ, client)


def fill(clients):
    """Sends without reading until the server takes no more."""
    while waiting := [each for each in clients if each.sent < len(each.message)]:
        ready = ready_to(selectors.EVENT_WRITE, waiting, QUIET_SECONDS)
        if not ready:
            break
        for client in ready:
            client.send(len(client.message))


def check_end(client):
    if not ready_to(selectors.EVENT_READ, [client], options.patience):
        raise Failed("the end of the stream after all bytes came back", f"nothing in {options.patience:g} s")
    try:
        piece = client.socket.recv(64)
    except OSError as failure:
        raise Failed("the end of the stream after all bytes came back", failure.strerror.lower()) from None
    if piece:
        raise Failed("the end of the stream after all bytes came back", f"more bytes: {piece}")
