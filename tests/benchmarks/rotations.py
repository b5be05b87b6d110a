"""(a) and (b): rotations a second, and processor time for each, against the bare calls of the same kinds and number.

All sides work in one process with as many threads, in interleaved rounds; the stubs have a core of their own. Rotator's
side is `Passes.run` on a configuration that `wiring.build` put together: what `rotator once --force` does.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from tests.benchmarks.figures import Spread, ratios
from tests.benchmarks.fleets import NOT_FLUSHED, Age, Backend, Fleet, fleet
from tests.benchmarks.floors import PREFIX, AwsFloor, Floor, Journal, LocalFloor, NoJournal, VaultFloor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

OURS, OURS_UNFLUSHED = "rotator", "rotator, audit not flushed"
FLOOR, FLOOR_FLUSHED, SEQUENTIAL = "floor", "floor, two flushed audit lines", "floor, one after the other"

STORE_DELAY_S = 0.020
TOKEN_DELAY_S = 0.200
LEAST_SEQUENTIAL = 4

SAME_CALLS = 0.5
"""By which a rotation's calls may exceed the floor's: slots of the store's write quota are reserved for many at once,
and a pass reads the provider's record once in two seconds, which among so few credentials is chance."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much is done.

    Args:
        batch: Credentials of a round. Few enough for a pass to act on what it read (`rotator.rotation.GOOD_FOR_S`).
        claims: Of each record: 64 is a credential that was rotated 64 times and more.
        delayed: Whether the stubs take as long as real services.
    """

    batch: int
    rounds: int
    workers: int
    claims: int
    delayed: bool = False


class Flushes:
    """Counts what the process flushes to disk; SQLite's own flushes, one a transaction, it does not see."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._real = os.fsync
        os.fsync = self._flush

    def _flush(self, descriptor: Any) -> None:
        self._real(descriptor)
        with self._lock:
            self.count += 1


@dataclass(slots=True)
class Side:
    """One side of the comparison, and what its rounds took.

    Args:
        run: Rotates every credential of a round once.
        count: How many those are.
    """

    run: Callable[[], None]
    count: int
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    calls: dict[str, float] = field(default_factory=dict)

    def round(self, counted: Callable[[], dict[str, int]]) -> None:
        """Run one round and note what one rotation of it took."""
        before = counted()
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        self.run()
        self.cpu_s.append((time.process_time() - began_cpu_s) / self.count)
        self.wall_s.append((time.perf_counter() - began_s) / self.count)
        made = counted()
        self.calls = {name: (made[name] - before.get(name, 0)) / self.count for name in sorted(made)}
        self.calls = {name: calls for name, calls in self.calls.items() if calls}

    def to_json(self) -> dict[str, Any]:
        """Return what one rotation took."""
        return {
            "per_s": Spread.of([1 / wall for wall in self.wall_s]).to_json(),
            "cpu_ms": Spread.of([cpu * 1000 for cpu in self.cpu_s]).to_json(),
            "calls": self.calls,
        }


def measure(backend: Backend, **how_much: Any) -> dict[str, Any]:
    """Return what a rotation takes on each side, and how the sides compare; takes the fields of `Load`."""
    load = Load(**how_much)
    with tempfile.TemporaryDirectory() as folder, fleet(backend, Path(folder)) as made:
        age = Age.fresh(load.claims)
        made.seed(load.batch, age)
        if backend != "local":
            made.seed(load.batch, age, prefix=PREFIX)
        flushes = Flushes()

        def counted() -> dict[str, int]:
            return {**made.calls(), "flush": flushes.count}

        with _sides(made, load) as sides:
            for side in sides.values():  # connections, imports, the seal key
                side.run()
            if load.delayed:
                for kind, stub in made.stubs.items():
                    stub.delay(TOKEN_DELAY_S if kind == "token_endpoint" else STORE_DELAY_S)
            names = list(sides)
            busy_s = made.stubs_cpu_s()
            for number in range(load.rounds):
                for name in names if number % 2 == 0 else reversed(names):
                    sides[name].round(counted)
            rotated = load.rounds * sum(side.count for side in sides.values())
            stubs_ms = (made.stubs_cpu_s() - busy_s) / rotated * 1000
            return {**_compared(made, load, sides), "stubs_cpu_ms": stubs_ms}


@contextlib.contextmanager
def _sides(made: Fleet, load: Load) -> Iterator[dict[str, Side]]:
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(load.workers))
        flushed = made.folder / "floor.jsonl"
        sides = {
            OURS: Side(_passes(made, load, None), load.batch),
            OURS_UNFLUSHED: Side(_passes(made, load, NOT_FLUSHED), load.batch),
            FLOOR: Side(_mapped(pool, floor_of(made, load, None), load.batch), load.batch),
            FLOOR_FLUSHED: Side(_mapped(pool, floor_of(made, load, flushed), load.batch), load.batch),
        }
        if load.delayed:
            one = stack.enter_context(ThreadPoolExecutor(1))
            few = max(LEAST_SEQUENTIAL, load.batch // load.workers)
            sides[SEQUENTIAL] = Side(_mapped(one, floor_of(made, load, None), few), few)
        yield sides


def _passes(made: Fleet, load: Load, audit: str | None) -> Callable[[], None]:
    app = made.app(load.batch, workers=load.workers, audit=audit)
    held = len(app.observer.observe(app.credentials[0]).situation.record.presented)
    if held != load.claims:
        raise AssertionError(f"the records hold {held} claims, not {load.claims}: they were seeded under another key")

    def run() -> None:
        results = app.passes.run(app.credentials, horizon_s=0.0, force=True)
        others = [one for one in results if not isinstance(one, outcomes.Rotated)]
        if others:
            raise AssertionError(f"{len(others)} of {len(results)} were not rotated, the first: {others[0]}")

    return run


def floor_of(made: Fleet, load: Load, audit: Path | None) -> Floor:
    """Return the floor of a backend; `audit` is where it leaves two lines a rotation, if it does."""
    journal = Journal(audit) if audit else NoJournal()
    match made.backend:
        case "aws":
            return AwsFloor(made, load.workers, journal)
        case "vault":
            return VaultFloor(made, load.workers, journal)
        case "local":
            return LocalFloor(made, load.batch, journal, load.claims)


def _mapped(pool: ThreadPoolExecutor, floor: Floor, count: int) -> Callable[[], None]:
    def run() -> None:
        for _ in pool.map(floor.look, floor.chunks(count)):
            pass
        for _ in pool.map(floor.rotate, range(count)):
            pass

    return run


def alike(ours: Mapping[str, float], floor: Mapping[str, float]) -> bool:
    """Return whether both sides make the same calls; rotator may share a flush where the floor has one a line."""
    near = {call: abs(ours[call] - floor[call]) <= SAME_CALLS for call in ours.keys() & floor.keys()}
    return ours.keys() == floor.keys() and all(
        near[call] or (call == "flush" and ours[call] < floor[call]) for call in near
    )


def _compared(made: Fleet, load: Load, sides: dict[str, Side]) -> dict[str, Any]:
    if made.stubs["token_endpoint"].calls().get("reused"):
        raise AssertionError("a refresh token was presented twice")
    ours, floor, flushed = sides[OURS], sides[FLOOR], sides[FLOOR_FLUSHED]
    if not alike(ours.calls, flushed.calls) and not load.delayed:
        raise AssertionError(f"other calls than the floor's: {ours.calls}, {flushed.calls}")

    def rates(one: Side, other: Side) -> dict[str, float]:
        return ratios(other.wall_s, one.wall_s).to_json()

    def cpu(one: Side, other: Side) -> dict[str, float]:
        return ratios(one.cpu_s, other.cpu_s).to_json()

    found: dict[str, Any] = {
        "sides": {name: side.to_json() for name, side in sides.items()},
        "cpu_ratio": cpu(ours, floor),
        "rate_ratio": rates(ours, floor),
        "flushes_cpu_ratio": cpu(ours, sides[OURS_UNFLUSHED]),
        "flushes_rate_ratio": rates(ours, sides[OURS_UNFLUSHED]),
        "floor_flushes_cpu_ratio": cpu(flushed, floor),
        "floor_flushes_rate_ratio": rates(flushed, floor),
    }
    if SEQUENTIAL in sides:
        found["rate_ratio_to_sequential"] = rates(ours, sides[SEQUENTIAL])
    return found
