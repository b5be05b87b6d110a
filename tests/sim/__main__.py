"""`python -m tests.sim`: the crash matrix, counted like the worlds are."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from rotator.testing.sim.batch import Tally, add_world
from rotator.testing.sim.world import World
from tests.sim.paths import PATHS, crashes


def main() -> int:
    """Walk every path with a crash at every call; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the counts are written")
    options = parser.parse_args()
    began_s = time.monotonic()
    tally = Tally()
    for path in PATHS.values():
        world = World(path)
        world.run()
        for case in crashes(path, world.faults.calls):
            add_world(tally, World(case), tally.worlds)
    if options.json:
        options.json.write_text(json.dumps({**tally.counts(), "seconds": time.monotonic() - began_s}, indent=1))
    sys.stdout.write(f"{len(PATHS)} paths, {tally.worlds} crashes, {len(tally.violations)} violations\n")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
