"""How much more slowly a provider is asked after it said "too many"."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.records import ProviderRecord
from rotator.slowdown import EASE_S, FIRST_S, LONGEST_S, SAME_S, newer, pace, slower, spacing_s
from tests.core.parts import NOW, at
from tests.effort import tried

RECORD = ProviderRecord("p")


def told(*moments_s: float, base_s: float = 0.0) -> ProviderRecord:
    record = RECORD
    for moment_s in moments_s:
        record = slower(record, at(moment_s), base_s)
    return record


def test_without_a_budget_it_begins_with_one_request_a_second() -> None:
    """Nothing is known of a limit then, and a second is slow enough for most."""
    assert spacing_s(told(0), NOW) == FIRST_S


def test_with_a_budget_it_begins_with_twice_its_spacing() -> None:
    """Ten requests a second become five."""
    assert spacing_s(told(0, base_s=0.1), NOW) == pytest.approx(0.2)


def test_each_time_doubles_and_each_minute_without_one_halves() -> None:
    """Told thrice, ten seconds apart: four seconds; a minute later two."""
    record = told(0, 10, 20)
    assert [spacing_s(record, at(20 + passed)) for passed in (0, EASE_S - 1, EASE_S)] == [4.0, 4.0, 2.0]


def test_twenty_requests_halve_it_sooner_than_a_minute() -> None:
    """From two seconds on: forty seconds, then twenty at one second, ten at half of one, and so on."""
    record = replace(RECORD, spacing_s=2.0, slowed_at=NOW)
    assert [spacing_s(record, at(passed)) for passed in (0, 39, 40, 59, 60, 69, 70)] == [2, 2, 1, 1, 0.5, 0.5, 0.25]


def test_it_ends() -> None:
    """After some minutes without another time the budget alone counts again."""
    assert spacing_s(told(0), at(5 * EASE_S)) == 0.0


def test_answers_to_requests_that_were_on_their_way_together_count_once() -> None:
    """Sixteen workers are told "too many" within moments of each other."""
    assert told(*[n * SAME_S / 20 for n in range(16)]) == told(0)


def test_a_provider_that_always_says_so_is_asked_once_a_minute() -> None:
    """The spacing is bounded, however often it is told."""
    assert spacing_s(told(*range(0, 1000, 10)), at(990)) == LONGEST_S


@pytest.mark.parametrize("spacing", [1e300, 61.0])
def test_a_record_that_asks_for_more_is_not_believed(spacing: float) -> None:
    """A number out of bounds, written by whomever, does not stop a provider's credentials."""
    assert spacing_s(replace(RECORD, spacing_s=spacing, slowed_at=NOW), NOW) == LONGEST_S


@tried(200)
@given(st.lists(st.integers(0, 600), min_size=1, max_size=8), st.integers(0, 100_000), st.floats(0, 30))
def test_it_never_hurries_anybody_and_never_passes_its_bounds(moments: list[int], after_s: int, base_s: float) -> None:
    """Whenever it is looked at, by a clock that may be behind as well, the spacing lies between none and a minute."""
    record = told(*sorted(moments), base_s=base_s)
    for now in (at(after_s), at(-after_s)):
        assert 0.0 <= spacing_s(record, now) <= LONGEST_S
    assert spacing_s(record, at(600 + after_s)) >= spacing_s(record, at(600 + after_s + 1))


def test_of_two_records_the_later_word_counts() -> None:
    """What another replica was told later is taken over; what it was told before is not."""
    early, late = told(0, 10), told(50)
    assert newer(early, late).spacing_s == late.spacing_s
    assert newer(late, early) == late
    assert newer(early, RECORD) == early


def test_a_request_may_leave_within_a_quarter_of_the_spacing() -> None:
    """So that lateness inside a slot does not bring two requests close together."""
    assert (pace(4.0).interval_s, pace(4.0).slack_s) == (4.0, 1.0)
    assert pace(60.0).slack_s == 5.0
