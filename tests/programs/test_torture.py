"""tools/torture lets a sound server pass, and finds each fault of faulty_server.py by the test for it."""

import concurrent.futures
import pathlib
import re
import subprocess
import sys
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
TORTURE = [sys.executable, "-B", str(TOP / "tools" / "torture")]
SERVER = [sys.executable, "-B", str(TOP / "tests" / "programs" / "faulty_server.py")]
AT_ONCE = 6  # they mostly wait for what does not come
LIMIT_SECONDS = 200  # for one run; never a measure of speed

# fault, the test that is to find it, and words that it has to say
FAULTS = [
    ("LosesWhatDoesNotFit", "slow_reader", "bytes missing|no more in"),
    ("Hoards", "slow_reader", "MiB more"),
    ("SendsToOneAtATime", "pipelined", "64 bytes back"),
    ("WaitsForMore", "trickle", "1 bytes back"),
    ("IgnoresTheEnd", "half_close", "the end of the stream"),
    ("CutsOffAtTheEnd", "half_close", "connection reset"),
    ("DiesOfReset", "resets", "status 3"),
    ("DiesOfBrokenPipe", "reset_while_sending", "SIGPIPE"),
    ("MixesConnections", "many_connections", "did not send there: b'"),
    ("DiesWithoutDescriptors", "descriptors_run_out", "status 1"),
    ("SpinsWithoutDescriptors", "descriptors_run_out", "% busy"),
    ("GivesUpWithoutDescriptors", "descriptors_run_out", "service for those who wait"),
    ("LeaksDescriptors", "churn", "open descriptors"),
    ("ServesOneAtATime", "silent", "64 bytes back"),
    ("ClosesIdleEarly", "idle", "left alone for 2 s"),
    ("NeverClosesIdle", "idle", "closed after 2 s"),
    ("NeverClosesIdle", "half_open", "open descriptors"),
    ("KeepsWhoNeverReads", "half_open", "open descriptors"),
    ("IgnoresInterrupt", "interrupt", "still listens"),
    ("DiesOfInterrupt", "interrupt", "death by SIGINT"),
    ("ListensOnWhileItDrains", "interrupt", "still listens"),
    ("ComplainsAfterInterrupt", "interrupt", "status 1"),
    ("IgnoresSecondInterrupt", "interrupt_twice", "second SIGINT"),
    ("NeedsIoUring", "io_uring_forbidden", "fails with EPERM"),
]
NOT_PERMITTED = re.compile("no network of its own is permitted|allows no seccomp filter|"
                           "cannot be tested.*\nthis machine forbids io_uring")


def torture(*arguments):
    return subprocess.run([*TORTURE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=LIMIT_SECONDS)


def names_of_tests():
    return re.findall(r"^(\w+) ", torture("--list").stdout, re.M)


class SoundServer(unittest.TestCase):
    def test_passes_all(self):
        run = torture("--", *SERVER, "--port", "{port}")
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertRegex(run.stdout, r"\n\d+ passed, 0 failed, \d+ skipped\n\Z")
        for name in names_of_tests():
            expected = "skipped" if name in ("idle", "half_open") else "passed"
            if name != "io_uring_forbidden":  # which a machine may not permit
                self.assertRegex(run.stdout, rf"(?m)^{name} +{expected}$")

    def test_passes_those_of_idle_connections(self):
        run = torture("--test", "idle", "--test", "half_open", "--idle-seconds", "1", "--", *SERVER,
                      "--idle", "1")
        self.assertEqual(run.returncode, 0, run.stdout)
        if not NOT_PERMITTED.search(run.stdout):
            self.assertTrue(run.stdout.endswith("\n2 passed, 0 failed, 0 skipped\n"), run.stdout)

    def test_passes_what_can_be_seen_from_outside_where_it_runs_already(self):
        with subprocess.Popen([*SERVER], stdout=subprocess.PIPE, text=True) as server:
            try:
                address = server.stdout.readline().split()[-1]
                run = torture("--address", address)
            finally:
                server.kill()
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertTrue(run.stdout.endswith("\n9 passed, 0 failed, 6 skipped\n"), run.stdout)
        self.assertIn("memory not measured", run.stdout)
        self.assertIn("skipped  interrupt ", run.stdout)


    def test_is_found_where_it_does_not_say_on_what_it_listens(self):
        run = torture("--test", "trickle", "--", "sh", "-c", '"$@" >/dev/null; exit', "sh", *SERVER)
        self.assertEqual(run.returncode, 0, run.stdout)


class FaultyServer(unittest.TestCase):
    def test_each_fault_is_found_by_its_test(self):
        def run(fault, name, _):
            idle = name in ("idle", "half_open")
            return torture("--test", name, "--patience", "3", *(["--idle-seconds", "2"] if idle else []),
                           "--", *SERVER, *(["--idle", "2"] if idle else []), "--fault", fault)

        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            runs = list(pool.map(lambda each: run(*each), FAULTS))
        for (fault, name, words), ended in zip(FAULTS, runs):
            with self.subTest(fault=fault):
                if NOT_PERMITTED.search(ended.stdout):
                    self.skipTest("this machine does not permit it")
                self.assertEqual(ended.returncode, 1, ended.stdout)
                verdict = re.search(rf"^FAILED   {name} .*$", ended.stdout, re.M)
                self.assertIsNotNone(verdict, ended.stdout)
                self.assertRegex(verdict[0], words)
                self.assertRegex(verdict[0], r"expected .+; came .+\. For users: ")
                self.assertTrue(ended.stdout.endswith("\n0 passed, 1 failed, 0 skipped\n"), ended.stdout)

    def test_each_test_finds_some_fault(self):
        self.assertEqual(set(names_of_tests()), {name for _, name, _ in FAULTS})

    def test_last_words_of_a_server_that_died_are_shown(self):
        run = torture("--test", "resets", "--", *SERVER, "--fault", "DiesOfReset")
        self.assertIn("fatal: connection reset by peer", run.stdout)


class NoServer(unittest.TestCase):
    def test_what_cannot_be_tested_is_said_with_status_2(self):
        for command, words in [(["/nonexistent/server"], "No such file"),
                               (["sh", "-c", "echo out of luck >&2; exit 7"], "status 7"),
                               (["sh", "-c", "echo out of luck >&2; exit 7"], "out of luck"),
                               ([*SERVER, "--port", "nonsense"], "invalid int value")]:
            with self.subTest(command=command):
                run = torture("--", *command)
                self.assertEqual(run.returncode, 2, run.stdout)
                self.assertIn(words, run.stdout)

    def test_mistakes_in_the_command_line_are_said_with_status_2(self):
        for arguments in [[], ["--test", "nonsense", "--", "true"], ["--connections", "0", "--", "true"],
                          ["--address", "localhost"], ["--address", "localhost:1", "--", "true"],
                          ["--patience", "-1", "--", "true"]]:
            with self.subTest(arguments=arguments):
                run = torture(*arguments)
                self.assertEqual(run.returncode, 2, run.stdout)
                self.assertIn("usage: tools/torture", run.stdout)


class Document(unittest.TestCase):
    def test_says_of_each_test_what_the_list_says(self):
        document = (TOP / "docs" / "torture.md").read_text()
        for name, words in re.findall(r"^(\w+) +(.+)$", torture("--list").stdout, re.M):
            self.assertIn(f"| `{name}` | {words} |", document)


if __name__ == "__main__":
    unittest.main(verbosity=2)
