"""Every row of the benchmarks runs, and the load notices a server that does not echo what it was sent."""

import argparse
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from figures import ratio_between  # noqa: E402
from suite import CPU, ROWS  # noqa: E402

PATIENCE_SECONDS = 60
options = argparse.Namespace()


class Rows(unittest.TestCase):
    def test_every_row_runs_for_an_instant(self):
        with tempfile.TemporaryDirectory() as room:
            document = pathlib.Path(room) / "measured.json"
            done = subprocess.run(
                [HERE / "run", "--build", options.build, "--write", "--smoke", "--json", document, "--output", room],
                capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            measured = json.loads(document.read_text())
            left_out = "\n".join(measured["left_out"])
            text = (pathlib.Path(room) / "benchmarks.md").read_text()
            self.assertNotIn(room, text, "the document names where this run's results went")
        for name, row in ROWS.items():
            for server in row.servers:
                if server.name not in measured["rounds"].get(name, {}):
                    self.assertRegex(left_out, f"{name} left out|{server.name} left out|{server.program} left out")
            # Where none of its servers was built, as the sentences above say, there is no row.
            if measured["rounds"].get(name):
                self.assertIn(f"`{name}`", text, f"{name} is not in the document")


class Figures(unittest.TestCase):
    def test_one_lucky_round_decides_no_ratio(self):
        always, once_lucky = ([{"server_cpu_ns_per_message": each} for each in figures]
                              for figures in ([4000, 4000, 4000], [4000, 1000, 4000]))
        self.assertEqual(ratio_between(CPU, always, once_lucky), 1)


def serve(answers):
    """A server that accepts one connection, and sends back what answers() makes of what comes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        connection, _ = listener.accept()
        with listener, connection:
            while received := connection.recv(65536):
                connection.sendall(answers(received))

    threading.Thread(target=run, daemon=True).start()
    return "{}:{}".format(*listener.getsockname())


class Load(unittest.TestCase):
    def load(self, answers, *arguments):
        return subprocess.run(
            [options.build / "benchmarks/load", "--connect", serve(answers), "--connections", "1", "--seconds",
             "0.2", "--warm-up", "0", *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    def test_true_echo_is_counted(self):
        done = self.load(lambda received: received)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        figures = json.loads(done.stdout)
        self.assertEqual(figures["errors"], 0)
        self.assertGreater(figures["messages"], 0)

    def test_changed_byte_is_an_error(self):
        done = self.load(lambda received: received[:-1] + bytes([received[-1] ^ 1]))
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(json.loads(done.stdout)["errors"], 1)

    def test_extra_byte_after_the_last_message_is_an_error(self):
        done = self.load(lambda received: received + b"!", "--messages-each", "1")
        self.assertEqual(done.returncode, 1, done.stdout)

    def test_server_that_greets_no_subscriber_is_an_error(self):
        done = self.load(lambda received: received, "--work", "broadcast")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("did not greet", done.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    _, rest = parser.parse_known_args(namespace=options)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
