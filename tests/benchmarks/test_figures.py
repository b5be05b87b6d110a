"""The arithmetic of the benchmarks, against literal numbers."""

from __future__ import annotations

import pytest

from tests.benchmarks.figures import Spread, exponent, most_in_window, percentile, ratios


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """The nearest rank: of a hundred values p50 is the fiftieth, p99 the ninety-ninth; of one, that one."""
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0


@pytest.mark.parametrize(
    ("power", "expected"), [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)], ids=["constant", "linear", "square"]
)
def test_the_exponent_of_a_power_is_its_power(power: float, expected: float) -> None:
    """Points on `3 * n**k` give k."""
    points = {size: 3.0 * size**power for size in (1_000, 10_000, 100_000)}
    assert exponent(points) == pytest.approx(expected)


def test_the_exponent_fits_all_points_and_not_the_outer_ones() -> None:
    """Values of 1, 1 and 100 at 1, 10 and 100 lie on no power; the best one is 1."""
    assert exponent({1: 1.0, 10: 1.0, 100: 100.0}) == pytest.approx(1.0)
    assert exponent({1: 1.0, 10: 100.0, 100: 100.0}) == pytest.approx(1.0)


def test_what_was_not_measurable_has_no_exponent() -> None:
    """One point, or values of zero, give none."""
    assert exponent({1_000: 5.0}) is None
    assert exponent({1_000: 0.0, 10_000: 3.0}) is None


def test_ratios_compare_within_a_round() -> None:
    """A round that is twice as slow for both sides does not change the ratio."""
    assert ratios([2.0, 4.0, 2.2], [1.0, 2.0, 1.0]) == Spread(2.0, 2.0, 2.2)


def test_a_spread_is_shown_with_its_extremes() -> None:
    """Median first, then lowest and highest."""
    assert Spread.of([3.0, 1.0, 1200.0]).shown(1, unit=" ms") == "3.0 ms (1.0 to 1,200.0)"


def test_a_spread_survives_json() -> None:
    """What is written is what is read."""
    assert Spread.from_json(Spread(2.0, 1.0, 3.0).to_json()) == Spread(2.0, 1.0, 3.0)


def test_the_fullest_window_is_found_wherever_it_begins() -> None:
    """Half-open: instants exactly one window apart are not in one window."""
    assert most_in_window([0.0, 1.0, 2.0], 1.0) == 1
    assert most_in_window([0.9, 1.0, 1.1, 5.0], 1.0) == 3
    assert most_in_window([], 1.0) == 0
