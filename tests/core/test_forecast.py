"""The forecast in numbers: what falls due when, what cannot be kept fresh, and what would be enough."""

from __future__ import annotations

from typing import Any

import pytest

from rotator import walk
from rotator.forecast import Forecast, Upcoming, forecast
from tests.core.parts import NOW, at

HOUR_S = 3600.0
EIGHT_A_SECOND_S = 0.125
"""What a rate limit of ten requests a second comes to (`RateLimit.interval_s`)."""


def one(name: str = "a", *, due_s: float | None = 3000.0, end_s: float | None = 3600.0, **more: Any) -> Upcoming:
    """A credential of acme whose token ends in an hour, and whose next one lives as long."""
    given: dict[str, Any] = {
        "provider": "acme", "client_id": "abc", "lane": "l", "store": "main", "lifetime_s": HOUR_S, "period_s": 3000.0,
        **more,
    }  # fmt: skip
    return Upcoming(
        name,
        due_at=None if due_s is None else at(due_s),
        deadline=None if end_s is None else at(end_s),
        **given,
    )


def fleet(count: int, **more: Any) -> list[Upcoming]:
    return [one(f"c{number:05}", **more) for number in range(count)]


def of(upcoming: list[Upcoming], **more: Any) -> Forecast:
    return forecast(upcoming, now=NOW, **more)


def test_each_refresh_until_the_horizon_is_counted() -> None:
    """A token due in 3000 s, and then every 3000 s, is refreshed 28 times in a day, each in the bucket of its time."""
    found = of([one()], buckets=24)
    [row] = found.rows
    assert (row.refreshes, row.credentials, sum(row.buckets)) == (28, 1, 28)
    assert row.buckets[0] == 1
    assert row.buckets[:6] == (1, 1, 1, 1, 1, 2)  # at 3000, 6000, …, 18,000 and 21,000 s
    assert (found.begins_at, found.ends_at, found.bucket_s, found.complete) == (NOW, at(86_400), 3600.0, True)


def test_a_refresh_beyond_the_horizon_is_one_all_the_same() -> None:
    """Each credential counts with one refresh at least, in no bucket where it comes later than they reach."""
    for lanes in ({}, {"l": 1.0}):
        [row] = of([one(due_s=100_000, end_s=101_000)], lanes=lanes).rows
        assert (row.refreshes, sum(row.buckets), row.feasible) == (1, 0, True)


def test_rows_are_by_provider_and_client() -> None:
    """Providers and clients have a row each, in order, also where they share a budget."""
    upcoming = [
        one("a", provider="zeta", client_id="1"),
        one("b", provider="acme", client_id="2"),
        one("c", provider="acme", client_id=None),
        one("d", provider="acme", client_id="2"),
    ]
    found = of(upcoming, lanes={"l": 1.0})
    assert [(row.provider, row.client_id, row.credentials) for row in found.rows] == [
        ("acme", None, 1),
        ("acme", "2", 2),
        ("zeta", "1", 1),
    ]
    assert found.lanes["l"].label == "zeta|1, acme|2, acme|"
    assert found.lanes["l"].credentials == 4


def test_five_thousand_tokens_that_end_in_the_same_second_are_kept() -> None:
    """At eight requests a second, 5,000 tokens that end together in an hour are refreshed from 625 s before on."""
    found = of(fleet(5000), lanes={"l": EIGHT_A_SECOND_S}, buckets=1440)
    [row] = found.rows
    assert (row.late, row.feasible) == ((), True)
    first = next(index for index, count in enumerate(row.buckets) if count)
    assert first == (3000 - 625) // 60


def test_five_thousand_tokens_that_end_within_a_minute_are_not() -> None:
    """What begins now reaches 481 of them at eight a second; 5,000 within a minute would take 84 a second."""
    found = of(fleet(5000, due_s=0.0, end_s=60.0), lanes={"l": EIGHT_A_SECOND_S})
    [row] = found.rows
    use = found.lanes["l"]
    assert (len(row.late), row.late[0], row.feasible, found.feasible) == (4519, "c00481", False, False)
    assert (use.late, use.overloaded, use.tight) == (4519, False, False)
    assert use.pressure
    assert (use.pressure.count, use.pressure.begins_at, use.pressure.within_s) == (5000, NOW, 60.0)
    assert 1 / use.pressure.needed_s == pytest.approx(83.3, abs=0.1)
    assert use.times_larger == pytest.approx(10.4, abs=0.1)


def test_a_load_above_one_is_not_feasible_although_nothing_is_late_yet() -> None:
    """Tokens of an hour need one request an hour each: 100 of them end some day if 99 an hour are let through."""
    upcoming = [one(f"c{n}", end_s=36.5 * (n + 1), due_s=0.0) for n in range(99)]
    found = of([*upcoming, one("last", end_s=3700)], lanes={"l": HOUR_S / 99}, horizon_s=1.0)
    [row] = found.rows
    use = found.lanes["l"]
    assert (row.late, row.feasible, found.feasible) == ((), False, False)
    assert (use.overloaded, use.feasible, use.load) == (True, False, pytest.approx(100 / 99))
    assert use.times_larger == pytest.approx(100 / 99)


def test_between_the_lifetime_and_the_period_a_budget_is_tight() -> None:
    """Refreshed when due, 100 tokens need more than one request in 33 s; used to their ends, less: that is tight."""
    upcoming = [one(f"c{n}", end_s=34.0 * (n + 1), due_s=0.0) for n in range(100)]
    use = of(upcoming, lanes={"l": 33.0}).lanes["l"]
    assert (use.needs_per_s, use.wants_per_s) == (pytest.approx(100 / 3600), pytest.approx(100 / 3000))
    assert (use.tight, use.overloaded, use.feasible) == (True, False, True)


def test_one_providers_trouble_is_not_anothers() -> None:
    """A provider that cannot keep its tokens fresh leaves the rows of others feasible."""
    upcoming = [*fleet(100, due_s=0.0, end_s=10.0), one("other", provider="other", lane="m")]
    found = of(upcoming, lanes={"l": 1.0, "m": 1.0})
    assert [(row.provider, row.feasible, bool(row.late)) for row in found.rows] == [
        ("acme", False, True),
        ("other", True, False),
    ]


def test_a_stores_writes_are_a_budget() -> None:
    """Two providers without limits that share a store are late together where its writes are too few."""
    upcoming = [one(f"c{n}", due_s=0.0, end_s=10.0, provider=f"p{n % 2}", lane=f"l{n % 2}") for n in range(20)]
    found = of(upcoming, stores={"main": 1.0})
    assert sum(len(row.late) for row in found.rows) == 9
    assert found.stores["main"].late == 9
    assert [row.feasible for row in found.rows] == [False, False]
    assert found.lanes == {}
    assert of(upcoming, stores={"elsewhere": 1.0}).feasible


def test_an_overloaded_store_makes_its_providers_infeasible() -> None:
    """A store whose writes are too few in the long run is told of every provider that writes to it, and of no other."""
    upcoming = [one("a"), one("b", provider="other", lane="m", store="free")]
    found = of(upcoming, stores={"main": 2 * HOUR_S}, horizon_s=10.0)
    assert [(row.provider, row.feasible) for row in found.rows] == [("acme", False), ("other", True)]


def test_what_has_ended_is_no_promise_that_can_be_broken() -> None:
    """A token that had ended before is counted apart, is not late, and makes no other late."""
    upcoming = [one("gone", due_s=-500, end_s=-100), one("next", due_s=0, end_s=5)]
    [row] = of(upcoming, lanes={"l": 10.0}).rows
    assert (row.ended, row.late, row.feasible) == (1, (), True)


def test_an_unknown_expiry_is_due_now_behind_all_deadlines() -> None:
    """Nobody knows a deadline: it takes the slots that the others leave, and is never late."""
    upcoming = [one("unknown", due_s=None, end_s=None), one("a", due_s=0, end_s=0.5), one("b", due_s=0, end_s=10)]
    [row] = of(upcoming, lanes={"l": 10.0}, horizon_s=30.0, buckets=3).rows
    assert (row.late, row.feasible) == ((), True)
    assert row.buckets == (1, 1, 1)
    assert row.refreshes == 3


def test_an_unknown_lifetime_is_one_refresh() -> None:
    """Where nobody knows how long the next token lives, nothing is foreseen behind the next refresh."""
    for lanes in ({}, {"l": 1.0}):
        [row] = of([one(lifetime_s=None, period_s=None)], lanes=lanes).rows
        assert row.refreshes == 1


def test_a_lifetime_of_nothing_counts_as_unknown() -> None:
    """A token that ends as it begins would be refreshed without end."""
    [row] = of([one(lifetime_s=0.0, period_s=0.0)]).rows
    assert row.refreshes == 1


def test_a_pause_beyond_the_end_is_late_by_no_budgets_fault() -> None:
    """What may not be refreshed before its token ends is late, and resting, with or without a budget."""
    for lanes in ({}, {"l": 1.0}):
        found = of([one("a", not_before=at(4000)), one("b", not_before=at(3500))], lanes=lanes)
        [row] = found.rows
        assert (row.late, row.resting, row.feasible) == (("a",), 1, False)
        assert all(use.late == 0 for use in found.lanes.values())


def test_a_rest_longer_than_a_life_is_late_round_after_round() -> None:
    """`earliest_refresh` beyond the lifetime: the first refresh is in time, no other."""
    for lanes in ({}, {"l": 1.0}):
        [row] = of([one("a", rest_s=4000.0), one("b")], lanes=lanes).rows
        assert (row.late, row.resting) == (("a",), 1)


def test_a_resting_credential_lets_others_go_first() -> None:
    """Who pauses holds nobody up, although its deadline is the earliest."""
    upcoming = [one("a", due_s=0, end_s=50, not_before=at(30)), *(one(f"b{n}", due_s=0, end_s=60) for n in range(3))]
    [row] = of(upcoming, lanes={"l": 10.0}, horizon_s=60.0).rows
    assert row.late == ()


def test_the_providers_pause_is_waited_for() -> None:
    """Nothing starts before the pause is over; what ends before then is shut out, for no limit helps it."""
    upcoming = [one("a", due_s=0, end_s=50), one("b", due_s=0, end_s=104), one("c", due_s=0, end_s=105)]
    found = of(upcoming, lanes={"l": 5.0}, opens={"l": at(98)}, horizon_s=200.0, buckets=2)
    use = found.lanes["l"]
    assert [row.late for row in found.rows] == [("a", "c")]
    assert (use.late, use.shut_out, use.opens_at) == (2, 1, at(98))
    assert found.rows[0].buckets == (1, 2)


def test_a_pause_holds_up_a_provider_without_a_limit_too() -> None:
    """Without a `rate_limit` everything starts when the pause is over."""
    found = of([one("a", due_s=0, end_s=50), one("b", due_s=0, end_s=100)], opens={"l": at(98)})
    assert found.rows[0].late == ("a",)
    assert (found.lanes["l"].shut_out, found.lanes["l"].load, found.lanes["l"].feasible) == (1, 0.0, False)
    assert of([one()], opens={"l": at(-5)}).lanes == {}


def test_trouble_that_comes_later_is_told_with_its_time() -> None:
    """Two blocks of tokens that are fine at first and meet later: late only where no earlier start helps."""
    short = [one(f"s{n:02}", due_s=50, end_s=100, lifetime_s=100.0, period_s=50.0) for n in range(9)]
    long = [one(f"l{n:02}", due_s=950, end_s=1000, lifetime_s=1000.0, period_s=950.0) for n in range(20)]
    found = of([*short, *long], lanes={"l": 10.0}, horizon_s=3000.0)
    use = found.lanes["l"]
    assert use.overloaded  # 0.09 + 0.02 a second
    assert use.pressure
    assert use.pressure.begins_at > NOW
    assert 1 / use.pressure.needed_s > 0.1


def test_a_fleet_that_is_too_large_to_be_followed_is_followed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the most starts the forecast ends early, says when, and still has one refresh of each credential."""
    monkeypatch.setattr(walk, "MOST_STARTS", 500)
    found = of(
        [*fleet(100, due_s=100, end_s=200, lifetime_s=200.0, period_s=100.0), one("z", due_s=80_000)], lanes={"l": 0.1}
    )
    assert not found.complete
    assert NOW < found.ends_at < at(3000)
    [row] = found.rows
    assert 500 <= row.refreshes <= 700


def test_no_credentials_are_feasible() -> None:
    """A forecast of nothing has no rows."""
    found = of([])
    assert (found.rows, found.feasible, found.complete) == ((), True, True)
