"""Explore by hand: `python -m tests.model` for the setups of the tests, with more replicas, crashes or tokens."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

from tests.model.explore import Found, explore
from tests.model.setups import OMISSIONS, SETUPS


def main() -> int:
    """Return 1 when a setup breaks a property, or an omission does not."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    for bound in ("replicas", "tokens", "crashes", "losses", "people"):
        parser.add_argument(f"--{bound}", type=int, help="instead of each setup's own bound")
    parser.add_argument("--only", metavar="TEXT", default="", help="setups and omissions whose name holds this")
    parser.add_argument("--setups", action="store_true", help="no omissions")
    parser.add_argument("--most", type=int, default=20_000_000, help="states after which an exploration is given up")
    given = vars(parser.parse_args())
    only, setups_only, most = given.pop("only"), given.pop("setups"), given.pop("most")
    bounds = {name: value for name, value in given.items() if value is not None}
    wrong = 0
    for name, setup in SETUPS.items():
        if only in name:
            begun = time.monotonic()
            found = explore(replace(setup, **bounds), most=most)
            _tell(name, found, time.monotonic() - begun)
            wrong += bool(found.paths)
    for name, left in OMISSIONS.items():
        if only in name and not setups_only:
            begun = time.monotonic()
            found = explore(replace(left.setup, **bounds), until=left.breaks, most=most)
            _tell(f"without: {name}", found, time.monotonic() - begun)
            wrong += not found.paths
    return 1 if wrong else 0


def _tell(name: str, found: Found, seconds: float) -> None:
    lines = [f"{name}: {found.states} states, {seconds:.1f} s, breaks {', '.join(found.paths) or 'nothing'}"]
    for path in found.paths.values():
        lines += [f"    {step}" for step in path]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
