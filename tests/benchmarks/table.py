"""The README's table: each goal, what was measured, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks.suite import KIB, RESTART, STARTS, growth, memory_bytes, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

Results = dict[str, Any]

LINEAR = 1.05
"""What passes for linear: the fit of three sizes that a machine with other work measured."""


@dataclass(frozen=True, slots=True)
class Row:
    """One goal.

    Args:
        held: None where nothing was measured.
    """

    measure: str
    goal: str
    measured: str
    held: bool | None

    def cells(self) -> tuple[str, ...]:
        """Return what stands in the table."""
        verdict = {True: "yes", False: "**no**", None: "not measured"}[self.held]
        return self.measure, self.goal, self.measured, verdict


def rows(results: Results) -> Iterator[Row]:
    """Yield the goals in the order of their benchmarks."""
    for backend, name in (("aws", "AWS"), ("vault", "Vault")):
        yield _ratio(
            f"processor time of a rotation on {name}, against the same bare SDK calls",
            results.get("a", {}).get(backend, {}).get("64 claims"),
            "cpu_ratio",
            most=1.25,
        )
    for backend, name in (("aws", "AWS"), ("vault", "Vault")):
        yield _ratio(
            f"rotations a second on {name} at 20/200 ms latency, 32 workers, against 32 threads of bare calls",
            _last(results.get("b", {}).get(backend, {})),
            "rate_ratio",
            least=0.9,
        )
    yield _lag(results.get("c", {}).get("flushed audit", {}).get("100000"))
    yield _memory(results.get("def"))
    daemons = results.get("def", {})
    yield _idle(daemons.get(RESTART, {}).get("100000"))
    yield from (_reads(kind, daemons.get(kind, {}).get("100000")) for kind in STARTS)
    yield _same_second(results.get("s"))
    yield _ratio(
        "`once` with nothing due, whole process, against `import boto3` and the same reads",
        results.get("g", {}).get("1"),
        "wall_ratio",
        most=1.3,
    )
    yield _view(results.get("v"))
    yield _growth(results)
    yield _ratio(
        "cold start of the Lambda function, against a bare handler with the same calls",
        results.get("l", {}).get("cold"),
        "ratio",
        most=1.3,
    )
    yield _ratio(
        "time of one invocation with 1,000 due, against the same bare calls in 16 threads",
        results.get("l", {}).get("due"),
        "ratio",
        most=1.5,
    )


def markdown(results: Results) -> str:
    """Return the table of the goals, and those of what durability costs and of growth as far as they were measured."""
    goals = [row.cells() for row in rows(results)]
    tables = [_table(("measure", "goal", "measured: median (lowest to highest)", "held"), goals)]
    durable = list(durability(results))
    if durable:
        tables.append(_table(DURABLE_HEAD, durable))
    grown = [(what, _shown(power)) for what, power in growth(results).items()]
    if grown:
        tables.append(_table(("grows with the number of credentials n", "n to the power of"), grown))
    return "\n\n".join(tables)


DURABLE_HEAD = (
    "the audit trail flushed to disk, against not flushed",
    "processor time of a rotation",
    "rotations a second",
    "two flushed lines added to the floor: processor time",
    "rotations a second",
)


def durability(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield what the flushes of the audit trail cost on each backend; those of the escrow are in all figures."""
    names = ("flushes_cpu_ratio", "flushes_rate_ratio", "floor_flushes_cpu_ratio", "floor_flushes_rate_ratio")
    for backend, kinds in results.get("a", {}).items():
        found = kinds["64 claims"]
        yield backend, *(spread(found, name).shown(2, unit=" x") for name in names)


def _table(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratio(
    measure: str, found: Results | None, name: str, *, most: float | None = None, least: float | None = None
) -> Row:
    goal = f"≤ {most:g} x" if most is not None else f"≥ {least:g} x"
    if not found:
        return Row(measure, goal, "", None)
    ratio = spread(found, name)
    held = ratio.median <= most if most is not None else ratio.median >= (least or 0.0)
    return Row(measure, goal, ratio.shown(2, unit=" x"), held)


def _lag(found: Results | None) -> Row:
    measure, goal = "scheduling lag p99 at 100,000 credentials and 300 due a second", "≤ 50 ms"
    if not found:
        return Row(measure, goal, "", None)
    lag = found["lag_ms"]
    measured = f"{lag['p99']:,.1f} ms (p50 {lag['p50']:,.1f}, longest {lag['max']:,.1f})"
    return Row(measure, goal, measured, lag["p99"] <= 50 and found["rotated"] == found["due"])


def _memory(found: Results | None) -> Row:
    measure, goal = "memory per credential beyond the empty daemon, 100,000 credentials", "≤ 1.5 KiB"
    each = {
        kind: memory_bytes(found, kind)[100_000] / 100_000 / KIB
        for kind in found or {}
        if found and "100000" in found[kind]
    }
    if not each:
        return Row(measure, goal, "", None)
    measured = "; ".join(f"{size:.2f} KiB after a {kind}" for kind, size in each.items())
    return Row(measure, goal, measured, max(each.values()) <= 1.5)


def _idle(found: Results | None) -> Row:
    measure, goal = "idle processor time with 100,000 credentials, the check for changes included", "≤ 1 % of a core"
    if not found or "idle_cpu_share" not in found:
        return Row(measure, goal, "", None)
    share = found["idle_cpu_share"]
    return Row(measure, goal, f"{share:.2%}", share <= 0.01)


def _reads(kind: str, found: Results | None) -> Row:
    measure = f"reads of the store to start with 100,000 credentials: {kind}"
    goal = "≤ N/20 BatchGetSecretValue + N/100 ListSecrets"
    if not found:
        return Row(measure, goal, "", None)
    calls = {name: found["calls"].get(name, 0) for name in ("GetSecretValue", "BatchGetSecretValue", "ListSecrets")}
    held = calls["GetSecretValue"] == 0 and calls["BatchGetSecretValue"] <= 5_000 and calls["ListSecrets"] <= 1_000
    return Row(measure, goal, ", ".join(f"{count:,} {name}" for name, count in calls.items() if count), held)


def _same_second(found: Results | None) -> Row:
    measure = "5,000 credentials that expire in the same second, provider limit 10/s"
    goal = "0 expired, 0 requests over the limit"
    if not found or found["credentials"] != 5_000:
        return Row(measure, goal, "", None)
    held = found["expired"] == 0 and found["over_limit"] == 0 and found["reused"] == 0
    return Row(measure, goal, f"{found['expired']} expired, {found['over_limit']} over the limit", held)


def _view(found: Results | None) -> Row:
    measure, goal = "`rotator status` of 2,000 credentials on the local store, whole process", "≤ 2 s"
    if not found or found["credentials"] != 2_000:
        return Row(measure, goal, "", None)
    wall = spread(found, "wall_s", "status")
    return Row(measure, goal, wall.shown(2, unit=" s"), wall.median <= 2.0)


def _growth(results: Results) -> Row:
    measure, goal = "growth of lag, memory and idle processor time from 1,000 to 100,000", "no worse than linear"
    told = {
        "lag": "lag p99, flushed audit",
        "memory": f"memory after a {RESTART}",
        "idle": f"idle processor time after a {RESTART}",
    }
    found = growth(results)
    known = {name: found.get(key) for name, key in told.items()}
    if "c" not in results or "def" not in results:
        return Row(measure, goal, "", None)
    measured = ", ".join(f"{name} n^{_shown(power)}" for name, power in known.items())
    return Row(measure, goal, measured, all(power is not None and power <= LINEAR for power in known.values()))


def _shown(power: float | None) -> str:
    return "?" if power is None else f"{power:.2f}"


def _last(found: Results) -> Results | None:
    """Return the result with the most credentials."""
    return found[max(found, key=lambda key: int(key.split()[0]))] if found else None
