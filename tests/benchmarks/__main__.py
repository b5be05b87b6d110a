"""`python -m tests.benchmarks`: measure, tell, and render the README's table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.suite import FULL, PARTS, QUICK
from tests.benchmarks.table import markdown

FILE = Path("var/benchmarks.json")


def main() -> int:
    """Run what the command line asks for; exit code 0 whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="a,b,…", default="", help=f"of {', '.join(PARTS)}; d, e and f stand for def")
    parser.add_argument("--json", type=Path, metavar="FILE", default=FILE, help="results are kept there, part by part")
    parser.add_argument("--table", action="store_true", help="measure nothing, print the table of what is kept")
    parser.add_argument("--quick", action="store_true", help="sizes that show that all runs, and no figure to believe")
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(options.json.read_text()) if options.json.exists() else {}
    if not options.table:
        for letter in _chosen(options.only):
            results[letter] = _measured(letter, quick=options.quick)
            results["machine"] = {"cores": os.cpu_count(), "python": platform.python_version()}
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(results, indent=1))  # part by part: a run of hours may be ended
    _say(f"\n{markdown(results)}")
    return 0


def _chosen(only: str) -> list[str]:
    wanted = {"def" if letter in "def" else letter for letter in only.split(",") if letter} or set(PARTS)
    unknown = wanted - set(PARTS)
    if unknown:
        raise SystemExit(f"there is no benchmark {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    return [letter for letter in PARTS if letter in wanted]


def _measured(letter: str, *, quick: bool) -> dict[str, Any]:
    part = PARTS[letter]
    _say(f"({letter}) {part.title} …")
    began_s = time.monotonic()
    found = part.run(QUICK if quick else FULL)
    for line in part.tell(found):
        _say(f"({letter}) {line}")
    _say(f"({letter}) took {time.monotonic() - began_s:.0f} s")
    return found


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
