"""What a build directory of Meson says of itself."""

import json
import re
import subprocess


class Failure(Exception):
    """What could not be done and why, for the reader."""


def compiler_of(build, program):
    """Compiler and telling flags of a program, as Meson recorded them; and whether it was optimised."""
    record = build / "meson-info/intro-targets.json"
    if not record.is_file():
        raise Failure(f"{record} is missing: {build} is no build directory of Meson")
    targets = json.loads(record.read_text())
    wanted = str(build / program)
    sources = [each["target_sources"][0] for each in targets if wanted in each["filename"]]
    if not sources:
        raise Failure(f"{build} does not build {program}; configure it with -Dexamples=true -Dbenchmarks=true")
    telling = re.compile(r"-(O|std=|march|flto|fsanitize|DNDEBUG)")
    flags = [flag for flag in sources[0]["parameters"] if telling.match(flag)]
    version = subprocess.run([*sources[0]["compiler"], "--version"], check=True, capture_output=True,
                             text=True).stdout.splitlines()[0]
    return f"{version}, {' '.join(flags)}", not {"-O1", "-O2", "-O3", "-Os"}.isdisjoint(flags)
