#!/usr/bin/env python3
"""A simulation that fails says which seed it was and what that drew, and the seed fails again alone."""

import re
import subprocess
import sys
import unittest


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60)


class Replay(unittest.TestCase):
    def test_a_seed_fails_again_alone(self):
        first = run()
        self.assertEqual(first.returncode, 1, first.stderr)
        said = re.search(r"^seed (\d+) failed: it ended with status 1\n  seed \1 has drawn .*short transfers",
                         first.stderr)
        self.assertTrue(said, first.stderr)
        again, once_more = run("--seed", said[1]), run("--seed", said[1])
        self.assertEqual(again.returncode, 1)
        self.assertEqual(again.stderr, first.stderr)
        self.assertIn("trace", again.stdout)
        self.assertEqual(again.stdout, once_more.stdout)

    def test_the_log_tells_what_happened(self):
        self.assertIn("segment arrives", run("--seed", "1", "--log").stderr)

    def test_arguments_that_mean_nothing_are_refused(self):
        for arguments in (["--seeds", "0"], ["--seed"], ["--seed", "x"], ["--nonsense"]):
            refused = run(*arguments)
            self.assertEqual((refused.returncode, refused.stdout), (2, ""))
            self.assertIn("usage:", refused.stderr)

    def test_the_last_of_all_seeds_is_run(self):
        self.assertRegex(run("--seed", str(2**64 - 1)).stdout, "^1 seeds")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
