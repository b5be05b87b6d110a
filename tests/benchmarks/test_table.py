"""The table of the goals tells what was measured, and calls held only what holds."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.benchmarks.suite import QUICK, RESTART, STARTS, growth, memory_bytes
from tests.benchmarks.table import markdown, rows

RATIOS = (
    "cpu_ratio",
    "flushes_cpu_ratio",
    "flushes_rate_ratio",
    "floor_flushes_cpu_ratio",
    "floor_flushes_rate_ratio",
)
SPREAD = {"median": 1.2, "low": 1.1, "high": 1.3}


def daemon(count: int, *, each: int, idle: float, **calls: int) -> dict[str, Any]:
    """What a daemon of a size took."""
    rss = 80_000_000 + each * count
    return {"calls": calls, "rss_bytes": rss, "peak_bytes": rss, "start_s": 1.0, "idle_cpu_share": idle}


def scheduled(p99: float, *, rotated: int = 6000) -> dict[str, Any]:
    """How the jobs of a run began."""
    return {"lag_ms": {"p50": 1.0, "p99": p99, "max": 60.0}, "rotated": rotated, "due": 6000, "cpu_share": 0.5}


def results(each: int = 1024) -> dict[str, Any]:
    """Results in which every goal holds."""
    calls = {"BatchGetSecretValue": 5_000, "ListSecrets": 1_000}
    fleets = {
        "16": {"calls": {}, "rss_bytes": 80_000_000, "peak_bytes": 80_000_000, "start_s": 1.0},
        "1000": daemon(1_000, each=each, idle=0.0001),
        "10000": daemon(10_000, each=each, idle=0.001),
        "100000": daemon(100_000, each=each, idle=0.009, **calls),
    }
    return {
        "a": {backend: {"64 claims": dict.fromkeys(RATIOS, SPREAD)} for backend in ("aws", "vault")},
        "b": {
            backend: {"640 at once": {"rate_ratio": {"median": 0.95, "low": 0.9, "high": 1.0}}}
            for backend in ("aws", "vault")
        },
        "c": {"flushed audit": {"1000": scheduled(0.5), "10000": scheduled(4.0), "100000": scheduled(40.0)}},
        "def": {kind: copy.deepcopy(fleets) for kind in STARTS},
        "g": {"1": {"wall_ratio": SPREAD}},
        "l": {"cold": {"ratio": SPREAD}, "due": {"ratio": SPREAD}},
        "v": {"credentials": 2_000, "wall_s": {"status": SPREAD}},
        "s": {"credentials": 5_000, "expired": 0, "over_limit": 0, "reused": 0},
    }


def test_every_goal_has_a_row_that_holds_when_it_is_met() -> None:
    """Two goals are on two stores, and one is for each kind of start; with good results all hold."""
    found = list(rows(results()))
    assert len(found) == 17
    assert [row.measure for row in found if not row.held] == []


def test_nothing_measured_is_nothing_held() -> None:
    """Without results every row says so, and no row is left out."""
    assert [row.held for row in rows({})] == [None] * 17
    assert markdown({}).count("| not measured |") == 17


@pytest.mark.parametrize(
    ("path", "value", "row"),
    [
        (("a", "vault", "64 claims", "cpu_ratio"), {"median": 1.26, "low": 1.0, "high": 2.0}, 1),
        (("b", "aws", "640 at once", "rate_ratio"), {"median": 0.89, "low": 0.8, "high": 1.0}, 2),
        (("c", "flushed audit", "100000", "lag_ms", "p99"), 50.1, 4),
        (("c", "flushed audit", "100000", "rotated"), 5_999, 4),
        (("def", "first start, 1 claim", "100000", "rss_bytes"), 80_000_000 + 154_000_000, 5),
        (("def", RESTART, "100000", "idle_cpu_share"), 0.011, 6),
        (("def", "first start, 1 claim", "100000", "calls"), {"BatchGetSecretValue": 5_001}, 7),
        (("def", "first start, 64 claims", "100000", "calls"), {"GetSecretValue": 1}, 8),
        (("def", RESTART, "100000", "calls"), {"ListSecrets": 1_001}, 9),
        (("s", "expired"), 1, 11),
        (("s", "over_limit"), 1, 11),
        (("g", "1", "wall_ratio"), {"median": 1.31, "low": 1.0, "high": 2.0}, 12),
        (("v", "wall_s", "status"), {"median": 2.01, "low": 1.0, "high": 3.0}, 13),
        (("c", "flushed audit", "1000", "lag_ms", "p99"), 0.01, 14),
    ],
)
def test_a_goal_that_is_missed_is_told(path: tuple[str, ...], value: Any, row: int) -> None:
    """One result beyond its goal, and its row does not hold."""
    found = results()
    inner: Any = found
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert list(rows(found))[row].held is False
    assert "| **no** |" in markdown(found)


def test_the_same_second_counts_at_its_full_size_only() -> None:
    """A quick run with fewer credentials is not the goal's measurement."""
    found = results()
    found["s"]["credentials"] = QUICK.same_second
    assert list(rows(found))[11].held is None


def test_the_empty_daemon_is_not_in_the_memory_of_a_fleet() -> None:
    """What the smallest fleet takes is taken off."""
    assert memory_bytes(results(each=2_000)["def"], RESTART) == {1_000: 2e6, 10_000: 2e7, 100_000: 2e8}


def test_growth_is_told_of_every_figure_that_grows() -> None:
    """Memory of a fleet with a fixed size each grows linearly; so does a lag of ten times for ten times as many."""
    found = growth(results())
    assert found[f"memory after a {RESTART}"] == pytest.approx(1.0)
    assert found["lag p99, flushed audit"] == pytest.approx(0.95, abs=0.01)
    assert all(f"| {what} |" in markdown(results()) for what in found)


def test_what_durability_costs_is_told_for_each_backend() -> None:
    """A line for each backend that was measured, with both sides' flushes."""
    found = results()
    found["a"]["vault"]["64 claims"]["flushes_rate_ratio"] = {"median": 0.5, "low": 0.25, "high": 0.75}
    assert "| vault | 1.20 x (1.10 to 1.30) | 0.50 x (0.25 to 0.75) |" in markdown(found)
    assert "| aws | 1.20 x" in markdown(found)
