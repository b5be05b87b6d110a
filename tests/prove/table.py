"""The one table of the proof, from the counts that its steps left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.prove.steps import BACKENDS, DUELS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMISES = {
    1: "spent once",
    2: "nothing received is lost",
    3: "nobody's edit is overwritten",
    4: "nothing working is destroyed",
    5: "the provider's pacing is law",
    6: "a dead grant is reported once",
    7: "no secret leaves",
    8: "audited before acted",
    9: "a stale token is no surprise",
}
MODEL = (1, 2, 3)
"""The promises that the explicit-state model knows."""


@dataclass(frozen=True, slots=True)
class Row:
    """One promise, put to the test by one means.

    Args:
        seconds: Of the whole means, told in its first row only.
    """

    promise: str
    means: str
    attempts: int
    faults: int | None
    violations: int
    seconds: float | None

    def cells(self) -> tuple[str, ...]:
        """Return what stands in the table."""
        time = "" if self.seconds is None else f"{self.seconds / 60:.0f} min"
        faults = "" if self.faults is None else f"{self.faults:,}"
        return self.promise, self.means, f"{self.attempts:,}", faults, str(self.violations), time


def rows(folder: Path) -> Iterator[Row]:
    """Yield a row for each means and promise whose counts are in the folder."""
    for name, what in (("worlds", "simulated worlds"), ("crashes", "crashes of the matrix")):
        counts = _counts(folder, name)
        if counts:
            means = f"{counts['worlds']:,} {what}"
            broken = [promise for promise, _ in counts["violations"].values()]
            faults = sum(counts["faults"].values()) + sum(counts["events"].values())
            for number, promise in PROMISES.items():
                first = number == 1
                yield Row(
                    f"{number} {promise}",
                    means,
                    counts["attempts"].get(str(number), 0),
                    faults if first else None,
                    broken.count(number),
                    counts["seconds"] if first else None,
                )
    counts = _counts(folder, "model")
    if counts:
        promises = ", ".join(map(str, MODEL))
        means = f"model, {counts['bounds'].get('replicas', 2)} replicas, every interleaving"
        yield Row(promises, means, counts["states"], None, counts["violations"], counts["seconds"])
    for backend in BACKENDS:
        counts = _counts(folder, f"fleet-{backend}")
        if counts:
            faults = sum(counts["faults"].values())
            means = f"real processes on {backend}, {counts['credentials']} credentials"
            yield Row("1-9", means, counts["rotations"], faults, len(counts["violations"]), counts["wall_s"])


def duels(folder: Path) -> Iterator[tuple[str, ...]]:
    """Yield, for each scenario, logins that rotator and the naive refresher lost, and reuse detections of each."""
    for scenario in DUELS:
        counts = _counts(folder, f"duel-{scenario}")
        if counts:
            naive = counts["naive"]
            lost = sum(sum(ends.values()) for ends in counts["replies_lost_after_processing"].values())
            yield (
                scenario,
                str(counts["logins"]),
                f"{counts['logins_lost']} ({counts['tokens_lost_unexplained']} unexplained)",
                str(naive["logins_lost"]),
                f"{counts['reuse_detections']} / {naive['reuse_detections']}",
                f"{lost} / {naive['replies_lost_after_processing']}",
            )


HEAD = ("promise", "means", "attempts", "faults injected", "violations", "time")
DUEL_HEAD = (
    "scenario",
    "logins",
    "lost by rotator",
    "lost by the naive refresher",
    "reuse detected, rotator / naive",
    "replies lost after processing, rotator / naive",
)


def markdown(folder: Path) -> str:
    """Return both tables."""
    tables = [_table(HEAD, [row.cells() for row in rows(folder)])]
    found = list(duels(folder))
    if found:
        tables.append(_table(DUEL_HEAD, found))
    return "\n\n".join(tables)


def violations(folder: Path) -> int:
    """Return how many promises were broken, and rules of the design beyond them."""
    worlds = [_counts(folder, name) for name in ("worlds", "crashes")]
    beyond = sum(promise == 0 for counts in worlds if counts for promise, _ in counts["violations"].values())
    return (
        beyond
        + sum(row.violations for row in rows(folder))
        + sum(
            len(counts["violations"])
            for counts in (_counts(folder, f"duel-{scenario}") for scenario in DUELS)
            if counts
        )
    )


def _table(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counts(folder: Path, name: str) -> dict[str, Any]:
    file = folder / f"{name}.json"
    counts: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return counts
