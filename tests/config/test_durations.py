"""Durations as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.config.durations import LONGEST_S, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1.5h", 5400.0),
        (30, 30.0),
        (0.25, 0.25),
        ("30", 30.0),
        (LONGEST_S, LONGEST_S),
    ],
)
def test_a_number_with_a_unit_is_that_many_seconds(written: object, seconds: float) -> None:
    """Each unit has its length, and a bare number is seconds."""
    assert parse_duration(written) == seconds
    assert isinstance(parse_duration(written), float)


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("-5m", "a duration cannot be negative"),
        (-1, "a duration cannot be negative"),
        (float("-inf"), "a duration cannot be negative"),
        (True, "is not a duration"),
        (None, "is not a duration"),
        ([5], "is not a duration"),
        (float("nan"), "is not a duration"),
        ("nan", "is not a duration"),
        ("m", "is not a duration"),
        ("1h30m", "is not a duration"),
        ("٣s", "is not a duration"),
        ("5M", "has an unknown unit"),
        ("5 m", "has an unknown unit"),
        ("100ms", "has an unknown unit"),
        (float("inf"), "is longer than a hundred years"),
        ("36501d", "is longer than a hundred years"),
        ("9" * 400, "is longer than a hundred years"),
        (0, "must be longer than zero"),
        ("0s", "must be longer than zero"),
    ],
)
def test_what_is_no_duration_is_refused_in_words(written: object, what: str) -> None:
    """Each kind of bad duration has its own words, and they do not quote it."""
    with pytest.raises(ValueError, match=what) as caught:
        parse_duration(written)
    assert str(caught.value) == what


def test_zero_is_a_duration_where_it_is_allowed() -> None:
    """Zero passes only when asked for."""
    assert parse_duration("0s", zero=True) == 0.0
    assert parse_duration(0, zero=True) == 0.0


@given(count=st.integers(1, 10_000), unit=st.sampled_from("smhd"))
def test_a_duration_grows_with_its_number(count: int, unit: str) -> None:
    """One more of any unit is longer."""
    assert 0 < parse_duration(f"{count}{unit}") < parse_duration(f"{count + 1}{unit}")


@given(text=st.text())
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    """Any text is either a positive number of seconds or a ValueError."""
    seconds = 1.0
    with contextlib.suppress(ValueError):
        seconds = parse_duration(text)
    assert 0 < seconds <= LONGEST_S
