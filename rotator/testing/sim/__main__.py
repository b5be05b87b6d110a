"""`python -m rotator.testing.sim`: run many worlds, or one of them again with its trace."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from rotator.clocks import SystemClock
from rotator.testing.sim.invariants import Violation
from rotator.testing.sim.world import world


def main() -> int:
    """Run what the command line asks for; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m rotator.testing.sim", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds")
    parser.add_argument("--replay", type=int, help="one seed, with its trace")
    options = parser.parse_args()
    if options.replay is not None:
        return _replay(options.replay)
    clock = SystemClock()
    began_s = clock.monotonic_s()
    broken: list[tuple[int, str]] = []
    presentations = explained = 0
    faults: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.seeds):
        one = world(seed)
        try:
            one.run()
        except Violation as violation:
            broken.append((seed, str(violation)))
        presentations += sum(map(len, one.watch.presentations.values()))
        explained += one.watch.explained
        faults.update(fault.split(" ")[0] for fault in one.faults.injected)
    taken_s = clock.monotonic_s() - began_s
    sys.stdout.write(
        f"{options.seeds} worlds from seed {options.first} in {taken_s:.0f} s: {presentations} presentations, "
        f"{faults.total()} faults, {explained} second tries by the rules, {len(broken)} violations\n"
    )
    for kind, times in faults.most_common():
        sys.stdout.write(f"  {times:8} {kind}\n")
    for seed, violation_text in broken:
        sys.stdout.write(f"seed {seed}: {violation_text}; replay it with --replay {seed}\n")
    return 1 if broken else 0


def _replay(seed: int) -> int:
    one = world(seed, traced=True)
    sys.stdout.write(f"{one.scenario}\n")
    try:
        one.run()
    except Violation as violation:
        sys.stdout.write("\n".join(one.trace) + f"\n{violation}\n")
        return 1
    sys.stdout.write("\n".join(one.trace) + "\nno promise is broken\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
