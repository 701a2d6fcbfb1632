"""What the acceptance tests share: programs, their clients, what the system says of them.

The tests drive the example programs as a person would, by command line, sockets, signals and exit
status. They wait for events with a deadline and listen on port 0, so that they run side by side.
"""

import argparse
import contextlib
import ctypes
import hashlib
import os
import pathlib
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent.parent / "tools"))

from echo_torture import restrictions

PATIENCE = 10.0  # seconds until a test gives up on what has to come; never a measure of speed

MESON_SKIPPED = 77

options = argparse.Namespace()  # filled by main()


def main():
    parser = argparse.ArgumentParser(
        allow_abbrev=False, epilog="Everything else goes to unittest, as a test's name or -v does.")
    parser.add_argument("--programs", required=True, type=pathlib.Path, metavar="DIRECTORY",
                        help="where the example programs were built")
    parser.add_argument("--backend", default="native", choices=["io_uring", "epoll", "native"])
    _, rest = parser.parse_known_args(namespace=options)
    outcome = unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False).result
    if outcome.wasSuccessful() and outcome.testsRun == len(outcome.skipped):
        sys.exit(MESON_SKIPPED)
    sys.exit(not outcome.wasSuccessful())


# What happens in the child between fork and exec

def child_setup(steps):
    def prepare():
        restrictions.die_with_parent()
        for step in steps:
            step()

    return prepare


# What the system says

def io_uring_refusal():
    """Why this machine forbids io_uring, or None where it does not."""
    parameters = ctypes.create_string_buffer(120)  # struct io_uring_params
    ring = restrictions.libc.syscall(restrictions.IO_URING_SETUP, 4, parameters)
    if ring < 0:
        return os.strerror(ctypes.get_errno())
    os.close(ring)
    return None


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def is_sanitized(name):
    """Sanitizers keep freed memory for themselves, which makes its growth say nothing."""
    code = (options.programs / name).read_bytes()
    return b"__asan_init" in code or b"__tsan_init" in code


def eventually(condition, seconds=PATIENCE):
    """Asks again and again, and gives the last answer: a true one, or that at the deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return answer


def readable(sockets, seconds):
    """Those of the sockets that have something to read, waiting for the first of them."""
    watch = select.poll()  # select.select() ends at descriptor 1023
    by_number = {one.fileno(): one for one in sockets}
    for number in by_number:
        watch.register(number, select.POLLIN)
    return [by_number[number] for number, _ in watch.poll(max(0, seconds) * 1000)]


# Bytes through a connection

def digest(data):
    return f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"


def receive_exactly(connection, count):
    """The next `count` bytes, or fewer where the stream ends before."""
    received = bytearray()
    while len(received) < count and (piece := connection.recv(count - len(received))):
        received += piece
    return bytes(received)


def round_trip(connection, message):
    """What comes back for a message short enough to lie in the socket buffers."""
    connection.sendall(message)
    return receive_exactly(connection, len(message))


def send_until_stuck(connection, data):
    """Sends without reading until the system takes no more, and gives the count it took."""
    quiet = 0.2  # seconds; a shorter pause may only be the other side catching up
    sent = 0
    while sent < len(data) and select.select([], [connection], [], quiet)[1]:
        sent += connection.send(data[sent:sent + 65536])
    return sent


def reset(connection):
    """Closes with RST, as a peer that crashed does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Program:
    """A program under test. Its errors go to a file, so that it cannot block on them."""

    def __init__(self, name, arguments, variables=(), setup=(), **others):
        # without COHO_BACKEND, which would choose the kernel in place of the test
        inherited = {k: v for k, v in os.environ.items() if k != "COHO_BACKEND"}
        self.printed = ""
        self.may_end = False
        self.errors_file = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [options.programs / name, *arguments], env=inherited | dict(variables), bufsize=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors_file,
            preexec_fn=child_setup(setup), **others)

    def read_line(self):
        """What it prints up to the end of a line, or of its output."""
        while not self.printed.endswith("\n"):
            if not readable([self.process.stdout], PATIENCE):
                raise AssertionError(f"no line within {PATIENCE} s; {self.story()}")
            piece = self.process.stdout.read(4096)
            if not piece:
                break
            self.printed += piece.decode()
        return self.printed

    def read_banner(self):
        banner = re.fullmatch(r"listening on (\[.+\]|[0-9.]+):([0-9]+) \((\w+)\)\n",
                              self.read_line())
        if not banner:
            raise AssertionError(f"it does not say that it serves; {self.story()}")
        self.host, port, self.kernel = banner.groups()
        self.address = (self.host.strip("[]"), int(port))

    def errors(self):
        # at an offset of its own: the one of the file is shared with the program, which writes
        return os.pread(self.errors_file.fileno(), 1 << 20, 0).decode(errors="replace")

    def story(self):
        """What is known of it, for the message of a failure."""
        return (f"status {self.process.poll()}, standard output {self.printed!r}, "
                f"standard error:\n{self.errors() or '(none)'}")

    def wait(self, seconds=2 * PATIENCE):
        """The exit status, negative for a signal; from here on it may have ended."""
        self.may_end = True
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s; {self.story()}") from None
        self.printed += self.process.stdout.read().decode()
        return status

    def end(self):
        ended_by_itself = self.process.poll() is not None and not self.may_end
        story = self.story()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors_file.close()
        if ended_by_itself:
            raise AssertionError(f"it did not live through the test; {story}")

    def proc(self, name):
        return pathlib.Path("/proc", str(self.process.pid), name)

    def descriptors(self):
        """How many it has open."""
        return len(os.listdir(self.proc("fd")))

    def resident_kibibytes(self):
        # exact, while VmRSS is summed up from per-processor counters now and then
        return int(re.search(r"^Rss: *(\d+) kB", self.proc("smaps_rollup").read_text(), re.M)[1])

    def processor_seconds(self):
        """User and system time of all its threads; schedstat knows only the first of them."""
        after_name = self.proc("stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    def has_pending(self, number):
        """Whether a signal was sent that it has not taken yet."""
        masks = re.findall(r"^(?:Sig|Shd)Pnd:\s*(\w+)", self.proc("status").read_text(), re.M)
        return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


class ProgramTest(unittest.TestCase):
    def setUp(self):
        if options.backend == "io_uring" and (reason := io_uring_refusal()):
            self.skipTest(f"this machine forbids io_uring: {reason}")

    def start(self, name, *arguments, **others):
        """A program that is ended with the test, and has to live until then or be waited for."""
        program = Program(name, arguments, **others)
        self.addCleanup(program.end)
        return program

    def start_server(self, *arguments, name="echo_server", listen="127.0.0.1:0", backend=None,
                     **others):
        server = self.start(name, "--listen", listen, "--backend", backend or options.backend,
                            *arguments, **others)
        server.read_banner()
        return server

    def connect(self, server, receive_buffer=None):
        family = socket.AF_INET6 if ":" in server.address[0] else socket.AF_INET
        connection = socket.socket(family)
        self.addCleanup(connection.close)
        connection.settimeout(PATIENCE)
        if receive_buffer:  # before connecting: it bounds the window the other side is offered
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(server.address)
        return connection

    def assert_serves(self, server, connection=None):
        message = b"are you there?\n"
        visit = connection is None
        try:
            connection = connection or self.connect(server)
            self.assertEqual(round_trip(connection, message), message, server.story())
        except OSError as failure:
            self.fail(f"no echo: {failure}; {server.story()}")
        if visit:
            connection.close()

    def assert_descriptors_return(self, server, before):
        eventually(lambda: server.descriptors() <= before)
        self.assertLessEqual(server.descriptors(), before, "descriptors of the server")

    def assert_refuses(self, status, name, *arguments, says=(), lines=1, **others):
        """The program ends with this status and one line on standard error that has these words."""
        program = self.start(name, *arguments, **others)
        self.assertEqual(program.read_line(), "", "it goes on where it should refuse")
        self.assertEqual(program.wait(), status, program.story())
        errors = program.errors()
        self.assertRegex(errors, r"\A([^\n]+\n){%d}\Z" % lines, f"not in {lines} line(s)")
        for words in says:
            self.assertIn(words.lower(), errors.lower())

    def assert_misused(self, name, *arguments, says):
        """The program ends with a line that has these words and the usage, and status 2."""
        self.assert_refuses(2, name, *arguments, says=[says, f"; usage: {name} "])
