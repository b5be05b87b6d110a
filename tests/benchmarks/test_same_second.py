"""The hardest second: everything ends at once, behind a provider that takes ten requests a second."""

from __future__ import annotations

from tests.benchmarks import same_second


def test_thousands_that_end_in_one_second_are_kept_within_the_limit() -> None:
    """Of 5,000 tokens that end in the same second none expires, and no second sees more than ten requests."""
    found = same_second.measure()
    assert (found["refreshed"], found["requests"], found["reused"]) == (5_000, 5_000, 0), found
    assert (found["expired"], found["over_limit"]) == (0, 0), found


def test_a_limit_that_no_schedule_can_meet_is_kept_all_the_same() -> None:
    """With time for half of the requests the other tokens expire before their turn, and the limit holds."""
    found = same_second.measure(count=400, spare=0.5)
    assert found["over_limit"] == 0
    assert 195 <= found["expired"] <= 205
