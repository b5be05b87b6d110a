"""What a forecast means, sentence by sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.advice import advice, names, of_budget, rate, span, times
from rotator.forecast import BudgetUse, Pressure, forecast
from tests.core.parts import NOW, at
from tests.core.test_forecast import EIGHT_A_SECOND_S, HOUR_S, fleet, one

USE = BudgetUse("provider", "acme|abc", 0.125, 5000, 1.3, 1.6)


def said(use: BudgetUse) -> list[str]:
    return list(of_budget(use, NOW))


def test_nothing_is_said_of_what_is_well() -> None:
    """A budget that does has no sentence, and a forecast without trouble none at all."""
    assert said(USE) == []
    assert list(advice(forecast([one()], now=NOW, lanes={"l": 1.0}))) == []


def test_a_burst_is_told_with_what_would_keep_it() -> None:
    """How many end within how long, what the limit lets through, how many end first, and how large it has to be."""
    found = forecast(fleet(5000, due_s=0.0, end_s=60.0), now=NOW, lanes={"l": EIGHT_A_SECOND_S})
    assert list(advice(found)) == [
        (
            "acme|abc: 5,000 tokens end within 60s, and rate_limit lets 8 requests a second through: 4,519 of them end "
            "first; needs 84 requests a second, a rate_limit 11 times as large"
        )
    ]


def test_a_burst_that_comes_later_is_told_with_its_time() -> None:
    """Trouble that does not begin now has its instant; those that are late beside it are not said to be of it."""
    use = replace(USE, late=1500, pressure=Pressure(1000, at(7200), 30.0, 0.03))
    assert said(use) == [
        (
            "acme|abc: 1,000 tokens end within 30s from 2026-01-01T02:00:00Z on, and rate_limit lets 8 requests a "
            "second through: 1,500 end first; needs 34 requests a second, a rate_limit 4.2 times as large"
        )
    ]


def test_lateness_without_a_cause_in_sight_asks_for_more() -> None:
    """Where no moment stands out, only that the limit is too small is told."""
    assert said(replace(USE, late=1)) == [
        (
            "acme|abc: 1 token ends before their refresh: rate_limit lets 8 requests a second through; "
            "needs a larger rate_limit"
        )
    ]


def test_an_overload_is_told_with_both_ways_out() -> None:
    """In the long run a larger limit helps, and so do longer tokens."""
    assert said(replace(USE, needs_per_s=10.0, wants_per_s=11.0)) == [
        (
            "acme|abc: its 5,000 credentials need 10 requests a second in the long run, and rate_limit lets 8 requests "
            "a second through; needs a rate_limit 1.3 times as large, or tokens that live 1.3 times as long"
        )
    ]


def test_a_single_credential_can_be_too_much() -> None:
    """One credential is told as one."""
    use = BudgetUse("provider", "acme|abc", 2 * HOUR_S, 1, 1 / HOUR_S, 1 / 3000)
    assert said(use) == [
        (
            "acme|abc: its credential needs 1 request an hour in the long run, and rate_limit lets 12 requests a day "
            "through; needs a rate_limit 2 times as large, or tokens that live 2 times as long"
        )
    ]


def test_a_tight_budget_is_told_with_what_mends_it() -> None:
    """Feasible, but later than due: a larger limit or a shorter margin mends it."""
    [sentence] = said(replace(USE, wants_per_s=8.5))
    assert sentence.startswith("acme|abc: its 5,000 credentials need 8.5 requests a second to be refreshed when due, ")
    assert sentence.endswith("a larger rate_limit or a shorter refresh_before_expiry mends it")


def test_a_store_has_a_quota_and_rotations() -> None:
    """A store's budget is told in its own words."""
    [sentence] = said(BudgetUse("store", "main", 0.08, 100, 20.0, 22.0))
    assert "need 20 rotations a second in the long run, and write_quota lets 12 rotations a second through" in sentence


def test_a_pause_is_told_without_a_limit() -> None:
    """What ends before the provider's pause is over is told with the instant; no limit is asked for."""
    use = replace(USE, interval_s=0.0, late=2, shut_out=2, opens_at=at(60))
    assert said(use) == [
        "acme|abc: 2 tokens end before 2026-01-01T00:01:00Z, when the pause that the provider asked for is over"
    ]
    assert len(said(replace(use, interval_s=0.125))) == 1


def test_who_rests_too_long_is_told_by_provider_and_client() -> None:
    """A pause or `earliest_refresh` beyond the token's end is told of the row."""
    found = forecast([one("a", not_before=at(4000)), one("b", client_id=None)], now=NOW)
    assert list(advice(found)) == [
        (
            "acme|abc: 1 token ends before the next refresh may be made: after a failure, or because earliest_refresh "
            "is longer than the token's life"
        )
    ]


@pytest.mark.parametrize(
    ("per_s", "up", "text"),
    [
        (83.34, False, "83 requests a second"),
        (83.34, True, "84 requests a second"),
        (83.0, True, "83 requests a second"),
        (1234.5, False, "1,234 requests a second"),
        (8.04, False, "8 requests a second"),
        (8.04, True, "8.1 requests a second"),
        (1.0, True, "1 request a second"),
        (0.5, False, "30 requests a minute"),
        (1 / 600, False, "6 requests an hour"),
        (1 / 86_400, False, "1 request a day"),
        (0.1 / 86_400, False, "0.1 requests a day"),
    ],
)
def test_rates_are_told_in_the_unit_that_suits(per_s: float, up: bool, text: str) -> None:
    """At least one of a unit, whole numbers from ten on, tenths below; what is needed at least is rounded up."""
    assert rate(per_s, "requests", up=up) == text


def test_lengths_and_factors() -> None:
    """Two of a unit at least; factors are rounded up, for a bit less would not do."""
    assert [span(s) for s in (0.5, 1, 59, 119, 120, 7199, 7200, 172_800)] == [
        "0.5s", "1s", "59s", "119s", "2m", "120m", "2h", "2d",
    ]  # fmt: skip
    assert [times(factor) for factor in (1.01, 2.0, 10.4)] == ["1.1 times", "2 times", "11 times"]


def test_a_few_names_are_listed() -> None:
    """Three names, and how many more."""
    assert names(("a", "b", "c")) == "a, b, c"
    assert names(tuple("abcde")) == "a, b, c and 2 more"
