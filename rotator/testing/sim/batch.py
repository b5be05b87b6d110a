"""Many worlds, on all processors, and what came of them."""

from __future__ import annotations

import gc
import multiprocessing
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from rotator.testing.sim.presented import Violation
from rotator.testing.sim.world import world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rotator.testing.sim.world import World

CHUNK = 250
"""Worlds that a process runs before it reports; it collects what they left behind only then."""


@dataclass(slots=True)
class Tally:
    """What many worlds were and did.

    Args:
        calls: Port calls, each a point at which another process may go on.
        presentations: Refresh tokens that reached the provider.
        explained: Second presentations that the rules allow for.
        attempts: By promise, how often it could have been broken and was looked at.
        faults: By kind, what went wrong.
        events: By name, what persons and misfortune did.
        violations: By seed, the promise that was broken and how.
    """

    worlds: int = 0
    calls: int = 0
    presentations: int = 0
    explained: int = 0
    attempts: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    violations: dict[int, tuple[int, str]] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """Return all of it as JSON knows it. `dataclasses.asdict` takes a Counter for a list of its pairs."""
        return {
            one.name: dict(value) if isinstance(value := getattr(self, one.name), dict) else value
            for one in fields(self)
        }

    def add(self, other: Tally) -> None:
        """Add what another process counted."""
        self.worlds += other.worlds
        self.calls += other.calls
        self.presentations += other.presentations
        self.explained += other.explained
        self.attempts.update(other.attempts)
        self.faults.update(other.faults)
        self.events.update(other.events)
        self.violations.update(other.violations)


def run_chunk(seeds: range) -> Tally:
    """Run the worlds of these seeds in this process."""
    tally = Tally()
    collects = gc.isenabled()
    gc.disable()  # a world is one big cycle: looking for it after every few hundred objects costs a fifth of the time
    try:
        for seed in seeds:
            add_world(tally, world(seed), seed)
    finally:
        if collects:
            gc.enable()
        gc.collect()
    return tally


def add_world(tally: Tally, one: World, number: int) -> None:
    """Run a world and count it."""
    try:
        one.run()
    except Violation as violation:
        tally.violations[number] = violation.promise, str(violation)
    scenario = one.scenario
    tally.worlds += 1
    tally.calls += sum(one.faults.calls.values())
    tally.presentations += sum(map(len, one.watch.presentations.values()))
    tally.explained += one.watch.explained
    tally.attempts.update(one.watch.attempts)
    tally.faults.update(one.faults.injected.values())
    happened = {
        "outages": len(scenario.outages),
        "edits": scenario.edits,
        "logins": scenario.reseeds,
        "operator's words": scenario.words,
        "revocations": scenario.revocations,
        "lost disks": scenario.disks,
        "lost state records": scenario.losses,
        "restored backups": scenario.backups,
        "set clocks": len(scenario.jumps),
    }
    tally.events.update({name: times for name, times in happened.items() if times})


def run(first: int, count: int, processes: int) -> Iterator[Tally]:
    """Yield what is counted, again and again, until all worlds are run."""
    chunks = [range(begin, min(begin + CHUNK, first + count)) for begin in range(first, first + count, CHUNK)]
    tally = Tally()
    if processes == 1:
        for chunk in chunks:
            tally.add(run_chunk(chunk))
            yield tally
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for counted in pool.imap_unordered(run_chunk, chunks):
            tally.add(counted)
            yield tally
