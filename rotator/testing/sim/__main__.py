"""`python -m rotator.testing.sim`: run many worlds, or one of them again with its trace."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rotator.clocks import SystemClock
from rotator.testing.sim.batch import Tally, run
from rotator.testing.sim.scenario import Case, Scenario
from rotator.testing.sim.shrink import failing, shortest

if TYPE_CHECKING:
    from rotator.testing.sim.shrink import Failing


TOLD_EVERY_S = 60.0


TOLD_EVERY_S = 60.0


def main() -> int:
    """Run what the command line asks for; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m rotator.testing.sim", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many run side by side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the counts are written")
    parser.add_argument("--replay", metavar="SEED|CASE", help="one world, by its seed or written down, with its trace")
    options = parser.parse_args()
    if options.replay is not None:
        return _replay(options.replay)
    clock = SystemClock()
    began_s, told_s, tally = clock.monotonic_s(), clock.monotonic_s(), Tally()
    broken = 0
    for tally in run(options.first, options.seeds, options.processes):
        for seed, (_, what) in list(tally.violations.items())[broken:]:
            broken += 1
            sys.stderr.write(f"seed {seed}: {what}\n")
        now_s = clock.monotonic_s()
        if now_s - told_s > TOLD_EVERY_S:
            told_s = now_s
            _keep(options.json, tally, options.first, now_s - began_s)
            sys.stderr.write(f"{tally.worlds} worlds, {len(tally.violations)} violations, {now_s - began_s:.0f} s\n")
    taken_s = clock.monotonic_s() - began_s
    _tell(tally, options.first, taken_s)
    _keep(options.json, tally, options.first, taken_s)
    for seed in list(tally.violations)[:3]:
        sys.stdout.write(told(seed))
    return 1 if tally.violations else 0


def _keep(file: Path | None, tally: Tally, first: int, seconds: float) -> None:
    """Write the counts, also on the way: a long run that is ended has not been for nothing."""
    if file:
        file.write_text(json.dumps({**tally.counts(), "first": first, "seconds": seconds}, indent=1))


def _tell(tally: Tally, first: int, taken_s: float) -> None:
    sys.stdout.write(
        f"{tally.worlds} worlds from seed {first} in {taken_s:.0f} s: {tally.calls} port calls, "
        f"{tally.presentations} presentations, {tally.faults.total()} faults, "
        f"{tally.explained} second tries by the rules, {len(tally.violations)} violations\n"
    )
    for kind, times in (*tally.faults.most_common(), *tally.events.most_common()):
        sys.stdout.write(f"  {times:9} {kind}\n")
    for seed, (_, what) in tally.violations.items():
        sys.stdout.write(f"seed {seed}: {what}\n")


def told(seed: int) -> str:
    """Return all that is to be said of a failing seed: the shortest trace that was found, and how to replay it."""
    found = shortest(Case(Scenario.drawn(seed)))
    return f"\nseed {seed}, made as small as it would go:\n{_shown(found)}"


def _shown(found: Failing) -> str:
    again = f"python -m rotator.testing.sim --replay {shlex.quote(found.case.text())}"
    return "\n".join([*found.trace, str(found.violation), f"replay it with: {again}", ""])


def _replay(text: str) -> int:
    case = Case(Scenario.drawn(int(text))) if text.isdecimal() else Case.read(text)
    sys.stdout.write(f"{case.text()}\n")
    found = failing(case)
    sys.stdout.write(_shown(found) if found else "no promise is broken\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
