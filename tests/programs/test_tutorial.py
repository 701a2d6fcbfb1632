"""The programs of the tutorial, run as its reader would run them. They share one port, as in the text."""

import contextlib
import pathlib
import signal
import socket
import subprocess
import sys
import unittest

PORT = 7777
TORTURE = pathlib.Path(__file__).resolve().parent.parent.parent / "tools" / "torture"
PROGRAMS = None


def start(name, *words):
    return subprocess.Popen([PROGRAMS / name, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def run(name, *words):
    return subprocess.run([PROGRAMS / name, *words], capture_output=True, text=True, timeout=30)


@contextlib.contextmanager
def server(name, *words):
    """A program that listens; connecting succeeds once it does."""
    process = start(name, *words)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def connected(process):
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", PORT))
    raise AssertionError(f"the server ended: {process.stderr.read()}")


class Tutorial(unittest.TestCase):
    def test_first_client_names_the_address_where_no_server_is(self):
        done = run("first_client")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"cannot connect to \S+:7777: the connection was refused")

    def test_first_server_serves_one_client_and_ends(self):
        with server("first_server") as process:
            with connected(process) as client:
                client.sendall(b"hello\n")
                self.assertEqual(client.recv(100), b"hello\n")
            self.assertEqual(process.wait(30), 0)

    def test_first_client_is_answered_by_the_echo_server(self):
        with server("echo") as process:
            connected(process).close()
            done = run("first_client")
            self.assertEqual((done.returncode, done.stdout), (0, "the server says: hello\n"))
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=30)
            self.assertEqual((process.returncode, output), (0, "listening on 127.0.0.1:7777\n"))

    def test_sums_are_answered_and_lines_too_long_end_the_connection(self):
        with server("sums") as process:
            with connected(process) as client:
                client.sendall(b"2 3\n10 -4\nhello\n")
                lines = client.makefile()
                self.assertEqual([next(lines) for _ in range(3)],
                                 ["5\n", "6\n", "two numbers, please\n"])
                client.sendall(b"1" * 100)
                self.assertEqual(lines.read(), "")

    def test_datagrams_are_answered_or_given_up(self):
        unanswered = run("datagrams")
        self.assertEqual(unanswered.returncode, 1)
        self.assertIn("no answer to attempt 3", unanswered.stdout)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", PORT))
            process = start("datagrams")
            data, sender = peer.recvfrom(100)
            peer.sendto(data, sender)
            output, _ = process.communicate(timeout=30)
        self.assertEqual((process.returncode, output), (0, "127.0.0.1:7777 answers\n"))

    def test_a_file_is_sent_to_everybody(self):
        with server("file_server", __file__) as process:
            for _ in range(2):
                with connected(process) as client, client.makefile("rb") as received:
                    self.assertEqual(received.read(), pathlib.Path(__file__).read_bytes())
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), 0)

    def test_a_file_that_is_not_there_is_named(self):
        done = run("file_server", "no such file")
        self.assertEqual((done.returncode, done.stderr), (1, "cannot open 'no such file': there is no such file\n"))

    def test_both_ends_in_one_program(self):
        done = run("both_ends")
        self.assertEqual((done.returncode, done.stdout), (0, "served: 1, asked: 1\n"))


class Torture(unittest.TestCase):
    def test_echo_server_stands_it(self):
        done = subprocess.run([sys.executable, "-B", TORTURE, "--", PROGRAMS / "echo"], timeout=300,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        print(done.stdout)
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    PROGRAMS = pathlib.Path(sys.argv.pop(1))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            print(f"skipped: port {PORT} is in use on this machine")
            sys.exit(77)
    unittest.main()
