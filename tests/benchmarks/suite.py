"""The benchmarks: what is measured with which sizes, and the lines that are told of each result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks.alone import alone
from tests.benchmarks.daemons import WORKERS as BASE_COUNT
from tests.benchmarks.figures import Spread, exponent
from tests.benchmarks.fleets import BACKENDS
from tests.benchmarks.rotations import FLOOR, OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Results = dict[str, Any]

KIB = 1024


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Args:
        fleets: Credentials, for whatever grows with them.
        idle_s: How long an idle daemon is watched; None is from one check for changes to the next.
    """

    rounds: int
    batch: int
    delayed_rounds: int
    delayed_batches: tuple[int, ...]
    fleets: tuple[int, ...]
    due_s: float
    idle_s: float | None
    process_rounds: int
    same_second: int
    invocation: int
    invocations: int
    viewed: int


FULL = Sizes(
    rounds=12,
    batch=64,
    delayed_rounds=5,
    delayed_batches=(128, 640),
    fleets=(1_000, 10_000, 100_000),
    due_s=20.0,
    idle_s=None,
    process_rounds=15,
    same_second=5_000,
    invocation=1_000,
    invocations=6,
    viewed=2_000,
)
QUICK = Sizes(
    rounds=2,
    batch=16,
    delayed_rounds=1,
    delayed_batches=(32,),
    fleets=(200, 1_000),
    due_s=3.0,
    idle_s=5.0,
    process_rounds=3,
    same_second=500,
    invocation=50,
    invocations=2,
    viewed=50,
)
"""To see that everything runs; its figures mean nothing."""

LEAD_S = 3.0
WORKERS = 16
DELAYED_WORKERS = 32
DUE_PER_S = 300.0
CLAIMS = (1, 64)
"""Of a credential that was rotated once, and of one that was rotated 64 times or more: the record grows no further."""

RESTART = "restart, 64 claims"
STARTS = {
    "first start, 1 claim": {"claims": CLAIMS[0], "known": False},
    "first start, 64 claims": {"claims": CLAIMS[-1], "known": False},
    RESTART: {"claims": CLAIMS[-1], "known": True},
    "restart by discovery, 64 claims": {"claims": CLAIMS[-1], "known": True, "discovered": True},
}
"""How the daemon starts (`daemons.measure`). One that is started anew finds the documents as rotator wrote them, but
for those that a person has put meanwhile."""

PASS_COUNTS = (1, 100)


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark.

    Args:
        run: Measures; returns what goes into the JSON file.
        tell: Yields lines for people.
    """

    title: str
    run: Callable[[Sizes], Results]
    tell: Callable[[Results], Iterator[str]]


def spread(found: Results, *path: str) -> Spread:
    """Return a spread that stands at a path of the results."""
    for step in path:
        found = found[step]
    return Spread.from_json(found)


# -------------------------------------------------------------------------------------------- rotations


def _rotations(sizes: Sizes) -> Results:
    how_much = {"batch": sizes.batch, "rounds": sizes.rounds, "workers": WORKERS}
    return {
        backend: {
            f"{claims} claims": alone("rotations", backend=backend, claims=claims, **how_much) for claims in CLAIMS
        }
        for backend in BACKENDS
    }


def _delayed(sizes: Sizes) -> Results:
    how_much = {"rounds": sizes.delayed_rounds, "workers": DELAYED_WORKERS, "claims": CLAIMS[-1], "delayed": True}
    return {
        backend: {
            f"{batch} at once": alone("rotations", backend=backend, batch=batch, **how_much)
            for batch in sizes.delayed_batches
        }
        for backend in ("aws", "vault")
    }


def _tell_rotations(found: Results) -> Iterator[str]:
    for backend, kinds in found.items():
        for kind, result in kinds.items():
            for name, side in result["sides"].items():
                rate, cpu = spread(side, "per_s").shown(0), spread(side, "cpu_ms").shown(2, unit=" ms")
                yield f"{backend}, {kind}: {name}: {rate} rotations a second, {cpu} of processor time each"
            yield f"{backend}, {kind}: the stubs: {result['stubs_cpu_ms']:.2f} ms of processor time a rotation"
            yield f"{backend}, {kind}: calls: {_counts(result['sides'][OURS]['calls'])}"
            if result["sides"][OURS]["calls"] != result["sides"][FLOOR]["calls"]:
                yield f"{backend}, {kind}: calls of the floor: {_counts(result['sides'][FLOOR]['calls'])}"
            for name, what in _RATIOS.items():
                if name in result:
                    yield f"{backend}, {kind}: {what}: {spread(result, name).shown(2, unit=' x')}"


_RATIOS = {
    "cpu_ratio": "processor time, against the floor",
    "rate_ratio": "rotations a second, against the floor",
    "rate_ratio_to_sequential": "rotations a second, against the floor in one thread",
    "flushes_cpu_ratio": "cost of the flushed audit trail, processor time",
    "flushes_rate_ratio": "cost of the flushed audit trail, rotations a second",
    "floor_flushes_cpu_ratio": "cost of two flushed lines to the floor, processor time",
    "floor_flushes_rate_ratio": "cost of two flushed lines to the floor, rotations a second",
}


def _counts(calls: dict[str, float]) -> str:
    return ", ".join(f"{count:g} {name}" for name, count in calls.items())


# -------------------------------------------------------------------------------------------- scheduling


def _scheduling(sizes: Sizes) -> Results:
    found: Results = {}
    how_much = {"per_s": DUE_PER_S, "seconds": sizes.due_s, "claims": CLAIMS[-1]}
    each_s = 0.0
    for count in sizes.fleets:
        for how in ("flushed audit", "audit not flushed"):
            lead_s = LEAD_S + 1.5 * count * each_s
            result = alone("scheduling", count=count, flushed=how == "flushed audit", lead_s=lead_s, **how_much)
            found.setdefault(how, {})[str(count)] = result
            each_s = result["start_s"] / count
    return found


def _tell_scheduling(found: Results) -> Iterator[str]:
    for how, counts in found.items():
        for count, result in counts.items():
            lag = ", ".join(f"{name} {value:.1f} ms" for name, value in result["lag_ms"].items())
            yield (
                f"{int(count):,} credentials, {how}: {result['rotated']} of {result['due']} due at "
                f"{result['per_s']:.0f}/s rotated in {result['took_s']:.1f} s: lag {lag}; "
                f"{result['cpu_share']:.0%} of a core"
            )


# ----------------------------------------------------------------------------------------- whole daemons


def _daemons(sizes: Sizes) -> Results:
    idle = {} if sizes.idle_s is None else {"idle_s": sizes.idle_s}
    found: Results = {}
    for kind, how in STARTS.items():
        # As many credentials as workers: every thread and connection is there, and next to no credential.
        for count in (BASE_COUNT, *sizes.fleets):
            more = idle if kind == RESTART and count != BASE_COUNT else {"idle_s": 0.0}
            found.setdefault(kind, {})[str(count)] = alone("daemons", count=count, **how, **more)
    return found


def memory_bytes(found: Results, kind: str) -> dict[int, float]:
    """Return the memory of fleets beyond that of the empty daemon, by their size."""
    sizes = {int(count): result["rss_bytes"] for count, result in found[kind].items()}
    base = sizes.pop(BASE_COUNT)
    return {count: float(size - base) for count, size in sizes.items()}


def _tell_daemons(found: Results) -> Iterator[str]:
    for kind, counts in found.items():
        memory = memory_bytes(found, kind)
        for count, result in counts.items():
            calls = _counts(result["calls"])
            yield (
                f"{int(count):,} credentials, {kind}: {result['start_s']:.1f} s, "
                f"{result['start_cpu_s']:.1f} s of processor time; {calls}"
            )
            if int(count) in memory:
                yield (
                    f"{int(count):,} credentials, {kind}: memory {result['rss_bytes'] / KIB**2:.0f} MiB, at most "
                    f"{result['peak_bytes'] / KIB**2:.0f}; {memory[int(count)] / int(count) / KIB:.2f} KiB each"
                )
            if "idle_cpu_share" in result:
                idle_calls = _counts({name: calls for name, calls in result["idle_calls"].items() if calls})
                yield (
                    f"{int(count):,} credentials, {kind}: idle {result['idle_cpu_share']:.3%} of a core; {idle_calls}"
                )


# --------------------------------------------------------------------------------- passes, the same second


def _passes(sizes: Sizes) -> Results:
    return {str(count): alone("passes", count=count, rounds=sizes.process_rounds) for count in PASS_COUNTS}


def _tell_passes(found: Results) -> Iterator[str]:
    for count, result in found.items():
        for kind in ("wall", "cpu"):
            ours, floor = (spread(result, f"{kind}_ms", side).shown(0, unit=" ms") for side in ("rotator", "floor"))
            ratio = spread(result, f"{kind}_ratio").shown(2, unit=" x")
            yield f"{count} credentials: {kind} {ours}, floor {floor}: {ratio}"
        for side, calls in result["calls"].items():
            yield f"{count} credentials: calls of {side}: {_counts(calls)}"


def _same_second(sizes: Sizes) -> Results:
    return alone("same_second", count=sizes.same_second)


def _tell_same_second(found: Results) -> Iterator[str]:
    yield (
        f"{found['credentials']:,} tokens that end in one second, {found['limit_per_s']} requests a second: "
        f"{found['expired']} expired, {found['over_limit']} requests over the limit; replaced "
        f"{found['least_left_s']:.0f} to {found['most_left_s']:.0f} s before their end"
    )


# ------------------------------------------------------------------------------------------------ Lambda


def _lambda(sizes: Sizes) -> Results:
    return alone("lambdas", rounds=sizes.process_rounds, due=sizes.invocation, due_rounds=sizes.invocations)


def _tell_lambda(found: Results) -> Iterator[str]:
    for kind, what in (("cold", "a cold start"), ("due", f"{found['due']['count']:,} due in one invocation")):
        ours, floor = (spread(found, kind, "ms", side).shown(0, unit=" ms") for side in ("rotator", "floor"))
        yield f"{what}: {ours}, floor {floor}: {spread(found, kind, 'ratio').shown(2, unit=' x')}"
    for side, calls in found["cold"]["calls"].items():
        yield f"a cold start: calls of {side}: {_counts(calls)}"


# ------------------------------------------------------------------------------------------------- views


def _views(sizes: Sizes) -> Results:
    return alone("views", count=sizes.viewed, rounds=sizes.process_rounds)


def _tell_views(found: Results) -> Iterator[str]:
    for command in found["wall_s"]:
        wall, cpu = (spread(found, kind, command).shown(2, unit=" s") for kind in ("wall_s", "cpu_s"))
        yield f"{found['credentials']:,} credentials: rotator {command}: {wall}, {cpu} of processor time"


# ------------------------------------------------------------------------------------------------ growth


def growth(results: Results) -> dict[str, float | None]:
    """Return the exponents with which figures grow with the number of credentials; 1 is linear."""
    found: dict[str, float | None] = {}
    if "c" in results:
        for how, counts in results["c"].items():
            lags = {int(count): result["lag_ms"]["p99"] for count, result in counts.items()}
            found[f"lag p99, {how}"] = exponent(lags)
            found[f"processor time while working, {how}"] = exponent(
                {int(count): result["cpu_share"] for count, result in counts.items()}
            )
    for kind, counts in results.get("def", {}).items():
        fleets = {int(count): result for count, result in counts.items() if int(count) != BASE_COUNT}
        found[f"time of a {kind}"] = exponent({count: result["start_s"] for count, result in fleets.items()})
        found[f"memory after a {kind}"] = exponent(memory_bytes(results["def"], kind))
        idle = {count: result["idle_cpu_share"] for count, result in fleets.items() if "idle_cpu_share" in result}
        if idle:
            found[f"idle processor time after a {kind}"] = exponent(idle)
    return found


PARTS: dict[str, Part] = {
    "a": Part("rotations a second and processor time of each", _rotations, _tell_rotations),
    "b": Part("the same, 20 ms a store call and 200 ms a token request", _delayed, _tell_rotations),
    "c": Part("scheduling lag", _scheduling, _tell_scheduling),
    "def": Part("start, memory and idle processor time of the daemon", _daemons, _tell_daemons),
    "g": Part("`rotator once` with nothing due", _passes, _tell_passes),
    "s": Part("everything ends in the same second", _same_second, _tell_same_second),
    "l": Part("the Lambda function", _lambda, _tell_lambda),
    "v": Part("`rotator status` of a fleet on the local store", _views, _tell_views),
}
"""By letter. (d), (e) and (f) are one run of one process; (h), the growth, is computed from (c) to (f)."""
