"""The server under torture: what is known of it from outside, and how it begins and ends."""

import contextlib
import functools
import os
import pathlib
import random
import re
import selectors
import signal
import socket
import struct
import subprocess
import tempfile
import time

from .clients import Client, exchange, family_of, ready_to, signed
from .common import MIB, Failed, Skipped, eventually, options
from .restrictions import prepare_child

START_SECONDS = 30  # a virtual machine of some language may take that long
RELEASE_SECONDS = 5  # io_uring gives the sockets of a process back a while after it was killed


class Server:
    """One that somebody else started: only its address is known."""

    def __init__(self, address):
        self.address = address
        self.clients, self.notes = [], []

    def connect(self, *messages, receive_buffer=None):
        """A client for each message, all of them connected side by side."""
        clients = self.begin_connecting(messages, receive_buffer)
        waiting = set(clients)
        deadline = time.monotonic() + options.patience
        while waiting and time.monotonic() < deadline:
            ready = ready_to(selectors.EVENT_WRITE, waiting, deadline - time.monotonic())
            for client in ready:
                client.check_connected()
            waiting -= set(ready)
        if waiting:
            raise Failed(f"{len(clients)} connections at once",
                         f"none for {len(waiting)} of them within {options.patience:g} s")
        return clients

    def begin_connecting(self, messages, receive_buffer=None):
        clients = [Client(self.address, each, receive_buffer) for each in messages]
        self.clients += clients
        return clients

    def check_serves(self, client=None):
        visitor = client or self.connect(b"")[0]
        visitor.say(signed(len(self.clients), 64))
        exchange([visitor])
        if not client:
            visitor.close()

    def refuses(self):
        """Whether nobody listens there any more."""
        with socket.socket(family_of(self.address[0])) as probe:
            probe.settimeout(1)
            try:
                probe.connect(self.address)
            except ConnectionRefusedError:
                return True
            except OSError:
                pass
            return False

    def descriptors(self):
        return None

    def memory(self):
        return None

    def leave(self):
        for client in self.clients:
            client.close()
        self.clients.clear()


class OwnServer(Server):
    """One that this program started, with all processes of its group: the command may be a script."""

    def __init__(self, command, restrictions):
        super().__init__(None)
        self.may_end = False
        self.port = free_port() if any("{port}" in word for word in command) else None
        self.output, self.errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [word.replace("{port}", str(self.port)) for word in command], stdin=subprocess.DEVNULL,
            stdout=self.output, stderr=self.errors, start_new_session=True,
            preexec_fn=functools.partial(prepare_child, restrictions))

    def wait_until_it_serves(self):
        find = self.try_port if self.port else lambda: self.read_banner() or self.find_listener()
        found = eventually(lambda: self.process.poll() is not None or find(), START_SECONDS)
        if not isinstance(found, tuple):
            wanted = (f"connections at port {self.port}" if self.port else
                      "a line `listening on HOST:PORT` on its standard output, or one socket that listens")
            raise Failed(wanted, f"nothing within {START_SECONDS} s" if found is False else self.fate())
        self.address = found

    def try_port(self):
        for host in ("127.0.0.1", "::1"):
            with contextlib.suppress(OSError):
                socket.create_connection((host, self.port), 1).close()
                return host, self.port
        return False

    def read_banner(self):
        text = os.pread(self.output.fileno(), MIB, 0).decode(errors="replace")
        banner = re.search(r"listening on (\S+):(\d+)\b.*\n", text)
        return banner is not None and reachable(banner[1], banner[2])

    def find_listener(self):
        """Many programs do not flush what they print; but the system knows on what they listen."""
        own, found = set(), []
        for folder, _ in self.processes():
            with contextlib.suppress(OSError):
                own |= {os.readlink(each) for each in (folder / "fd").iterdir()}
        for table in ("tcp", "tcp6"):
            with contextlib.suppress(OSError):
                lines = pathlib.Path("/proc/net", table).read_text().splitlines()[1:]
                found += [each[1] for each in map(str.split, lines)
                          if each[3] == "0A" and f"socket:[{each[9]}]" in own]  # TCP_LISTEN
        if len(found) != 1:
            return False
        words, port = found[0].split(":")
        host = struct.pack(f"={len(words) // 8}I", *struct.unpack(f">{len(words) // 8}I", bytes.fromhex(words)))
        return reachable(socket.inet_ntop(socket.AF_INET if len(host) == 4 else socket.AF_INET6, host),
                         str(int(port, 16)))

    def processes(self):
        """The folder in /proc of each process of the group, and its fields of `stat` after the name."""
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.process.pid:
                    yield folder, fields

    def total(self, measure):
        """The sum over all processes, or None on a system that has no /proc."""
        if not os.path.exists("/proc/self/stat"):
            return None
        sum_of_all = 0
        for folder, fields in self.processes():
            with contextlib.suppress(OSError):
                sum_of_all += measure(folder, fields)
        return sum_of_all

    def descriptors(self):
        return self.total(lambda folder, _: len(os.listdir(folder / "fd")))

    def memory(self):
        def resident(folder, _):
            line = re.search(r"^VmRSS:\s*(\d+) kB", (folder / "status").read_text(), re.M)
            return int(line[1]) << 10 if line else 0  # one that has ended has none
        return self.total(resident)

    def processor_seconds(self):
        ticks = self.total(lambda _, fields: int(fields[11]) + int(fields[12]))
        return None if ticks is None else ticks / os.sysconf("SC_CLK_TCK")

    def interrupt(self):
        self.may_end = True
        os.killpg(self.process.pid, signal.SIGINT)  # to the group, as a terminal does

    def end_within(self, seconds):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is not None

    def fate(self):
        status = self.process.returncode
        if status < 0:
            return f"death by {signal.Signals(-status).name}"
        return f"an end of the server with status {status}"

    def last_words(self):
        size = os.fstat(self.errors.fileno()).st_size
        text = os.pread(self.errors.fileno(), 4096, max(0, size - 4096)).decode(errors="replace")
        return "\n".join(text.rstrip().splitlines()[-5:])

    def blame(self, failure):
        """The failure, or the death of the server if that is behind it."""
        expected, came = ((failure.expected, failure.came) if isinstance(failure, Failed) else
                          ("no error", str(failure)))
        grace = 0.5  # seconds; the end of a connection is seen before that of its process
        if self.end_within(grace) and self.fate() not in came:
            if self.may_end or not self.address:
                came += f", and {self.fate()}"
            else:
                expected, came = "a server that lives on", f"{self.fate()}; its clients saw: {came}"
        return Failed(expected, came, self.last_words())

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.address and not self.port:
            eventually(self.refuses, RELEASE_SECONDS)  # the next server wants the same port
        self.output.close()
        self.errors.close()


def free_port():
    """Below the ports that systems give to clients: no client can take it before the server does."""
    for port in random.sample(range(20000, 32000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise Skipped("this machine has no free port between 20000 and 32000")


def reachable(host, port):
    host = host.strip("[]")
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}.get(host, host), int(port)


class Target:
    """What is tortured: a command, or an address."""

    def __init__(self, command, address):
        self.command, self.address = command, address

    @contextlib.contextmanager
    def start(self, *restrictions):
        if self.address:
            server = Server(self.address)
            try:
                yield server
            finally:
                server.leave()
            return
        server = OwnServer(self.command, restrictions)
        try:
            server.wait_until_it_serves()
            yield server
            if not server.may_end and server.process.poll() is not None:
                raise Failed("a server that lives on", server.fate())
        except (Failed, OSError) as failure:
            raise server.blame(failure) from None
        finally:
            server.leave()
            server.kill()
