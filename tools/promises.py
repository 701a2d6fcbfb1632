"""What docs/hazards.md promises, and the tests that are named for it."""

import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parent.parent


def promises():
    """The sentence of each hazard, such as {"H1": "Memory ..."}."""
    return dict(re.findall(r"^\| (H\d+) \| (.+) \|$", (TOP / "docs/hazards.md").read_text(), re.M))


def named_tests():
    """How many tests each file has for each hazard, such as {"H1": {"task/misuse.cpp": 1}}."""
    found = {}
    for path in sorted((TOP / "tests").rglob("*")):
        if path.suffix not in (".cpp", ".py"):
            continue
        start = r'TEST_CASE\(\s*"' if path.suffix == ".cpp" else '"""'
        for hazards in re.findall(start + r"((?:H\d+ ?)+):", path.read_text()):
            for hazard in hazards.split():
                files = found.setdefault(hazard, {})
                name = str(path.relative_to(TOP / "tests"))
                files[name] = files.get(name, 0) + 1
    return found
