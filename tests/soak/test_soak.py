"""A soak passes over our echo server, and says what is wrong with one that has a fault."""

import argparse
import pathlib
import subprocess
import sys
import unittest

SOAK = pathlib.Path(__file__).resolve().parent.parent.parent / "tools/soak"
MESON_SKIPPED = 77

options = argparse.Namespace()


class Soak(unittest.TestCase):
    def soak(self, leak=None):
        command = [sys.executable, "-B", SOAK, "--build", options.build, "--backend", options.backend,
                   "--seconds", "6"]
        if leak:
            command += ["--server", f"{options.build}/tests/soak/leaky_echo --leak {leak}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == MESON_SKIPPED:
            self.skipTest(done.stdout.strip())
        return done.returncode, done.stdout + done.stderr

    def assert_found(self, leak, words):
        status, said = self.soak(leak)
        self.assertEqual(status, 1, said)
        self.assertRegex(said, words)

    def test_echo_servers_and_their_visitors_hold_no_more_in_the_end(self):
        status, said = self.soak()
        self.assertEqual(status, 0, said)
        self.assertIn("\npassed: descriptors and threads are as in the beginning", said)

    def test_leaking_descriptor_is_found(self):
        self.assert_found("descriptor", r"FAILED: leaky_echo held \d+ descriptors in the beginning, \d+")

    def test_leaking_memory_is_found(self):
        if b"__asan_init" in (options.build / "tests/soak/leaky_echo").read_bytes():
            self.skipTest("memory says nothing in a sanitizer's build")
        self.assert_found("memory", "FAILED: the heap of leaky_echo rose by")

    def test_changed_byte_is_found(self):
        self.assert_found("byte", "FAILED: the visitors ended: a message came back changed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--backend", default="native")
    _, rest = parser.parse_known_args(namespace=options)
    result = unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False).result
    if result.wasSuccessful() and result.testsRun == len(result.skipped):
        sys.exit(MESON_SKIPPED)
    sys.exit(not result.wasSuccessful())
