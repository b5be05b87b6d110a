"""`python -m tests.prove`: the long versions of everything that tries to break a promise, and one table of it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.prove.steps import steps
from tests.prove.table import markdown, violations


def main() -> int:
    """Run the steps, print the table; exit code 1 when a promise was broken or a step failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--worlds", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=1_000_000, help="the first seed of the worlds")
    parser.add_argument("--states", type=int, default=1_500_000, help="of one setup of the model, at most")
    parser.add_argument("--chaos", type=float, default=600.0, help="seconds of chaos on each kind of store")
    parser.add_argument("--examples", type=int, default=2000, help="of each property of foreign bytes")
    parser.add_argument("--folder", type=Path, default=Path("var/prove"), help="where the counts are kept")
    parser.add_argument("--only", metavar="TEXT", default="", help="steps whose name holds this")
    parser.add_argument(
        "--table", action="store_true", help="run nothing, print the table of the counts that are there"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for step in () if options.table else steps(options, options.folder):
        if options.only not in step.name:
            continue
        began_s = time.monotonic()
        sys.stdout.write(f"{step.name} …\n")
        sys.stdout.flush()
        code = subprocess.run(step.command, env={**os.environ, **dict(step.environment)}, check=False).returncode
        sys.stdout.write(f"{step.name}: exit code {code}, {time.monotonic() - began_s:.0f} s\n")
        if code:
            failed.append(step.name)
    broken = violations(options.folder)
    sys.stdout.write(f"\n{markdown(options.folder)}\n\n{broken} violations")
    sys.stdout.write(f", failed: {', '.join(failed)}\n" if failed else "\n")
    return 1 if broken or failed else 0


if __name__ == "__main__":
    sys.exit(main())
