"""What all parts of tools/torture share: its options, its verdicts, and patience."""

import argparse
import time

MIB = 1 << 20
QUIET_SECONDS = 0.2  # nothing moves for so long: the server waits for us

options = argparse.Namespace()  # filled by tools/torture


class Skipped(Exception):
    """Why a test says nothing here."""


class Failed(Exception):
    def __init__(self, expected, came, last_words=""):
        super().__init__(expected, came, last_words)
        self.expected, self.came, self.last_words = expected, came, last_words

    def __str__(self):
        return f"expected {self.expected}; came {self.came}"


def eventually(condition, seconds=None):
    """Asks again and again, and gives the last answer: a true one, or that at the deadline."""
    deadline = time.monotonic() + (options.patience if seconds is None else seconds)
    while not (answer := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer
