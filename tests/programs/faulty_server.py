"""A blocking echo server with a thread per connection: sound as it is, and bad in one way by --fault.

It shows that tools/torture lets a sound server pass, also one that has nothing of coho, and that each fault
is caught by the test that is meant for it.
"""

import argparse
import contextlib
import ctypes
import errno
import os
import queue
import signal
import socket
import struct
import sys
import threading
import time

DRAIN_SECONDS = 5


def end(words, status):
    print(words, file=sys.stderr, flush=True)
    os._exit(status)  # whatever the threads do


class Sound:
    def __init__(self, idle):
        self.idle = idle
        self.listener = None
        self.connections = set()

    def run(self, port):
        self.prepare()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        host, port = self.listener.getsockname()
        print(f"listening on {host}:{port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                try:
                    connection, _ = self.listener.accept()
                except OSError as failure:
                    self.lack(failure)
                    continue
                self.welcome(connection)
        return self.drain()

    def prepare(self):
        pass

    def lack(self, failure):
        time.sleep(0.02)

    def welcome(self, connection):
        self.connections.add(connection)
        threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError):
            self.set_limits(connection)
            while piece := self.receive(connection):
                self.send(connection, piece)
            self.end(connection)
        self.connections.discard(connection)
        self.close(connection)

    def set_limits(self, connection):
        connection.settimeout(self.idle)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self, connection):
        return connection.recv(1 << 16)

    def send(self, connection, piece):
        connection.sendall(piece)

    def end(self, connection):
        pass

    def close(self, connection):
        connection.close()

    def drain(self):
        self.second_interrupt()
        self.listener.close()
        deadline = time.monotonic() + DRAIN_SECONDS
        while self.connections and time.monotonic() < deadline:
            time.sleep(0.01)
        return 0

    def second_interrupt(self):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


class LosesWhatDoesNotFit(Sound):
    def send(self, connection, piece):
        with contextlib.suppress(BlockingIOError):
            connection.send(piece, socket.MSG_DONTWAIT)


class Hoards(Sound):
    def serve(self, connection):
        pieces = queue.SimpleQueue()

        def write():
            with contextlib.suppress(OSError):
                while piece := pieces.get():
                    connection.sendall(piece)
            connection.close()

        threading.Thread(target=write, daemon=True).start()
        with contextlib.suppress(OSError):
            while piece := connection.recv(1 << 16):
                pieces.put(piece)
        pieces.put(b"")


class SendsToOneAtATime(Sound):
    lock = threading.Lock()

    def send(self, connection, piece):
        with self.lock:
            connection.sendall(piece)


class WaitsForMore(Sound):
    def receive(self, connection):
        return connection.recv(64, socket.MSG_WAITALL)


class IgnoresTheEnd(Sound):
    def end(self, connection):
        threading.Event().wait()


class CutsOffAtTheEnd(Sound):
    def end(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class DiesOfReset(Sound):
    def receive(self, connection):
        try:
            return connection.recv(1 << 16)
        except ConnectionResetError:
            end("fatal: connection reset by peer", 3)


class DiesOfBrokenPipe(Sound):
    def prepare(self):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


class MixesConnections(Sound):
    last = b""

    def send(self, connection, piece):
        many = 100
        mine, self.last = self.last, piece
        same = len(self.connections) > many and len(mine) == len(piece)
        connection.sendall(mine if same else piece)


class DiesWithoutDescriptors(Sound):
    def lack(self, failure):
        end(f"fatal: {failure}", 1)


class SpinsWithoutDescriptors(Sound):
    def lack(self, failure):
        pass


class GivesUpWithoutDescriptors(Sound):
    def lack(self, failure):
        threading.Event().wait()


class LeaksDescriptors(Sound):
    leaked = []

    def close(self, connection):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        self.leaked.append(connection)


class ServesOneAtATime(Sound):
    def welcome(self, connection):
        self.serve(connection)


class ClosesIdleEarly(Sound):
    def set_limits(self, connection):
        connection.settimeout(self.idle and self.idle / 2)


class NeverClosesIdle(Sound):
    def set_limits(self, connection):
        pass


class KeepsWhoNeverReads(Sound):
    def send(self, connection, piece):
        connection.settimeout(None)
        connection.sendall(piece)
        connection.settimeout(self.idle)


class IgnoresInterrupt(Sound):
    def prepare(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class DiesOfInterrupt(Sound):
    def prepare(self):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


class ListensOnWhileItDrains(Sound):
    def drain(self):
        time.sleep(DRAIN_SECONDS)
        return 0


class ComplainsAfterInterrupt(Sound):
    def drain(self):
        super().drain()
        return 1


class IgnoresSecondInterrupt(Sound):
    def second_interrupt(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class NeedsIoUring(Sound):
    def prepare(self):
        io_uring_setup = 425
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(io_uring_setup, 0, None)
        if ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):  # and not because of the arguments
            end("this machine forbids io_uring", 1)


def main():
    faults = {each.__name__: each for each in Sound.__subclasses__()}
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--idle", type=float)
    parser.add_argument("--fault", choices=faults)
    chosen = parser.parse_args()
    threading.stack_size(256 << 10)
    os._exit(faults.get(chosen.fault, Sound)(chosen.idle).run(chosen.port))


if __name__ == "__main__":
    main()
