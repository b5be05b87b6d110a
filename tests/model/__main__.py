"""`python -m tests.model`: the setups of the tests, with more replicas, crashes or tokens."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.model.explore import Found, explore
from tests.model.setups import OMISSIONS, SETUPS, Setup


def main() -> int:
    """Return 1 when a setup breaks a property, or an omission does not."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    for bound in ("replicas", "tokens", "crashes", "losses", "people"):
        parser.add_argument(f"--{bound}", type=int, help="instead of each setup's own bound")
    parser.add_argument("--only", metavar="TEXT", default="", help="setups and omissions whose name holds this")
    parser.add_argument("--setups", action="store_true", help="no omissions")
    parser.add_argument("--most", type=int, default=20_000_000, help="states after which an exploration is given up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the counts are written")
    given = vars(parser.parse_args())
    only, setups_only, most, file = given.pop("only"), given.pop("setups"), given.pop("most"), given.pop("json")
    bounds = {name: value for name, value in given.items() if value is not None}
    begun = time.monotonic()
    wrong = states = 0
    explored, too_big = [], []
    for name, setup in SETUPS.items():
        if only not in name:
            continue
        found = _explored(name, replace(setup, **bounds), most)
        if found is None:
            too_big.append(name)
            continue
        explored.append(name)
        states += found.states
        wrong += bool(found.paths)
    for name, left in OMISSIONS.items():
        if only in name and not setups_only:
            found = _explored(f"without: {name}", replace(left.setup, **bounds), most, until=left.breaks)
            wrong += not (found and found.paths)
    if file:
        counts = {"states": states, "explored": explored, "too_big": too_big, "violations": wrong, "bounds": bounds}
        file.write_text(json.dumps({**counts, "seconds": time.monotonic() - begun}, indent=1))
    return 1 if wrong else 0


def _explored(name: str, setup: Setup, most: int, until: str | None = None) -> Found | None:
    """Explore and tell; None when there are more states than `most`."""
    begun = time.monotonic()
    try:
        found = explore(setup, until=until, most=most)
    except RuntimeError as error:
        sys.stdout.write(f"{name}: {error}, given up\n")
        sys.stdout.flush()
        return None
    _tell(name, found, time.monotonic() - begun)
    return found


def _tell(name: str, found: Found, seconds: float) -> None:
    lines = [f"{name}: {found.states} states, {seconds:.1f} s, breaks {', '.join(found.paths) or 'nothing'}"]
    for path in found.paths.values():
        lines += [f"    {step}" for step in path]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
