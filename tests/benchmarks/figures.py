"""The arithmetic of the benchmarks: percentiles, spreads, ratios of interleaved rounds, exponents of growth. Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds came to: the middle, and the extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of some values, at least one."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Spread:
        """Return what `to_json` wrote."""
        return cls(**fields)

    def to_json(self) -> dict[str, float]:
        """Return a form that JSON knows."""
        return asdict(self)

    def shown(self, digits: int = 2, *, unit: str = "") -> str:
        """Return it for people: the median, and the extremes in brackets."""
        return f"{self.median:,.{digits}f}{unit} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


def ratios(ours: Sequence[float], floor: Sequence[float]) -> Spread:
    """Return the spread of ours against the floor, round by round.

    By round and not median by median: what disturbs the machine for a while disturbs both sides of a round.
    """
    return Spread.of([one / other for one, other in zip(ours, floor, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that at least `share` (0 to 1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def exponent(points: Mapping[int, float]) -> float | None:
    """Return k of the curve `c * n**k` that fits best: least squares on the logarithms.

    1 is linear growth, 0 none. None when fewer than two points are above zero: what cannot be measured has no growth.
    """
    usable = [(math.log(size), math.log(value)) for size, value in points.items() if value > 0]
    if len({size for size, _ in usable}) < 2:
        return None
    return statistics.linear_regression([size for size, _ in usable], [value for _, value in usable]).slope


def most_in_window(instants_s: Sequence[float], window_s: float) -> int:
    """Return the most instants that lie in any half-open window of a length."""
    ordered = sorted(instants_s)
    most = begin = 0
    for end, instant in enumerate(ordered):
        while ordered[begin] <= instant - window_s:
            begin += 1
        most = max(most, end - begin + 1)
    return most
