"""What a provider says of its limits beside an answer (draft-ietf-httpapi-ratelimit-headers; X-RateLimit-*)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.limits import RateLimit, Told
from rotator.pacing import told
from tests.effort import tried

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH_S = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("X-RateLimit-Remaining", "7"), ("X-RateLimit-Reset", str(EPOCH_S + 30))], Told(7, 30.0)),
        ([("X-Rate-Limit-Remaining", "7"), ("X-Rate-Limit-Reset", str(EPOCH_S + 30))], Told(7, 30.0)),
        ([("RateLimit-Remaining", "7"), ("RateLimit-Reset", "30")], Told(7, 30.0)),
        ([("RateLimit", '"default";r=7;t=30')], Told(7, 30.0)),
        ([("RateLimit", '"hour";r=700;t=3000, "minute";r=7;t=30')], Told(7, 30.0)),
        ([("RateLimit-Policy", '"default";q=100;w=60')], Told(limit=RateLimit(100, 60.0))),
        ([("RateLimit-Policy", '"burst";q=100;w=60, "day";q=1000;w=86400')], Told(limit=RateLimit(1000, 86400.0))),
        (
            [("RateLimit", '"a";r=7;t=30'), ("RateLimit-Policy", '"a";q=100;w=60')],
            Told(7, 30.0, RateLimit(100, 60.0)),
        ),
    ],
)
def test_what_is_left_and_what_is_allowed_is_taken_over(headers: list[tuple[str, str]], expected: Told) -> None:
    """Each form is read; of several limits the tightest one counts."""
    assert told(tuple(headers), NOW) == expected


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-RateLimit-Remaining", "7")],
        [("X-RateLimit-Reset", "30")],
        [("X-RateLimit-Remaining", "many"), ("X-RateLimit-Reset", "30")],
        [("X-RateLimit-Remaining", "-1"), ("X-RateLimit-Reset", "30")],
        [("X-RateLimit-Remaining", "9" * 5000), ("X-RateLimit-Reset", "30")],
        [("X-RateLimit-Remaining", "7"), ("X-RateLimit-Reset", str(EPOCH_S - 30))],
        [("X-RateLimit-Remaining", "7"), ("X-RateLimit-Reset", "soon")],
        [("RateLimit", "r=7;t=30")],
        [("RateLimit", '"default";r=7')],
        [("RateLimit-Policy", '"default";q=0;w=60')],
        [("RateLimit-Policy", '"default";q=10;w=0')],
        [("RateLimit-Policy", '"default";q=ten;w=60')],
    ],
)
def test_what_makes_no_sense_is_no_limit(headers: list[tuple[str, str]]) -> None:
    """Half a statement, garbage, a moment that is past, nothing at all in a window: as if nothing had been said."""
    assert told(tuple(headers), NOW) is None


NAMES = ("X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit", "RateLimit-Policy", "RateLimit-Reset", "Date")
VALUES = st.text(max_size=30) | st.integers(-10, 10**20).map(str) | st.sampled_from(['"a";r=1;t=1', '"a";q=1;w=1'])


@tried(300)
@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6))
def test_no_header_is_too_strange(headers: list[tuple[str, str]]) -> None:
    """Whatever stands there, what comes out is nothing, or a limit that can be kept."""
    found = told(tuple(headers), NOW)
    if found is not None and found.remaining is not None:
        assert found.remaining >= 0
        assert found.resets_in_s is not None
        assert 0 < found.resets_in_s <= 365 * 86_400
    if found is not None and found.limit is not None:
        assert found.limit.interval_s > 0
