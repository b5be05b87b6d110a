"""The shortest failing case that can be found: fewer faults, fewer processes, less of everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rotator.testing.sim.presented import Violation
from rotator.testing.sim.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rotator.testing.sim.scenario import Case

MOST_RUNS = 600
"""Worlds that one shrinking may cost: some seconds."""

ORDERS = 6
"""So many other orders of the same events are tried."""


@dataclass(frozen=True, slots=True)
class Failing:
    """A case that breaks a promise.

    Args:
        case: With every fault bound to its call.
        trace: What happened until then, a line each.
    """

    case: Case
    violation: Violation
    trace: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """What is made smaller: the trace, then the case."""
        return len(self.trace), len(self.case.text())


def failing(case: Case) -> Failing | None:
    """Run a case; return how it fails, or None when it does not."""
    world = World(case, traced=True)
    try:
        world.run()
    except Violation as violation:
        bound = type(case)(case.scenario, dict(world.faults.injected))
        return Failing(bound, violation, tuple(world.trace))
    return None


def shortest(case: Case) -> Failing:
    """Return the smallest case near this one that breaks the same promise.

    Greedy: whatever can be left out is left out, until nothing more can be, or the runs are used up. That each fault
    is bound to a call by its host, kind and number keeps most of the others in place when one goes.

    Raises:
        ValueError: The case does not fail.
    """
    best = failing(case)
    if best is None:
        raise ValueError("this case breaks no promise")
    left = MOST_RUNS
    improved = True
    while improved and left > 0:
        improved = False
        for smaller in _smaller(best.case):
            left -= 1
            found = failing(smaller)
            if found and found.violation.promise == best.violation.promise and found.size < best.size:
                best, improved = found, True
                break
            if left <= 0:
                break
    return best


def _smaller(case: Case) -> Iterator[Case]:
    scenario, faults = case.scenario, case.faults or {}
    for name in ("hosts", "outages", "jumps"):
        several = getattr(scenario, name)
        for one in several:
            left = tuple(other for other in several if other != one)
            if left or name != "hosts":
                yield case.replace(**{name: left})
    for name in ("edits", "reseeds", "words", "forces", "revocations", "disks", "losses", "backups"):
        if getattr(scenario, name):
            yield case.replace(**{name: getattr(scenario, name) - 1})
    for call in faults:
        yield type(case)(scenario, {other: kind for other, kind in faults.items() if other != call})
    yield from _plainer(case)


def _plainer(case: Case) -> Iterator[Case]:
    """Yield the case with other traits that are easier to follow, and with its events in another order."""
    scenario = case.scenario
    usual = {"skew_s": 0.0, "escrow": "state", "generations": max(1.0, scenario.generations - 1.0)}
    usual["hosts"] = tuple((number, "daemon") for number, _ in scenario.hosts)
    for name, value in usual.items():
        if getattr(scenario, name) != value:
            yield case.replace(**{name: value})
    for luck in range(1, ORDERS if scenario.luck == 0 else 1):
        yield case.replace(luck=luck)
