"""The forecast against every schedule that there is for a few credentials, and against its own schedule for more."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise, permutations

from hypothesis import given
from hypothesis import strategies as st

from rotator.courses import LATE_S, Course, Gate, Tally
from rotator.forecast import Forecast, Upcoming, forecast
from rotator.walk import walk
from tests.core.parts import NOW, at
from tests.effort import tried

law = tried(300)
much = tried(120)

DAY_S = 86_400.0


@dataclass(slots=True, eq=False)
class Diary(Tally):
    """Writes the moments down."""

    moments: list[float] = field(default_factory=list)

    def add(self, at: float, bucket_s: float) -> None:
        self.moments.append(at)


def first(name: str, end_s: float, *, lane: str = "l", store: str = "s", early_s: float = 0.0) -> Upcoming:
    """One refresh, due so long before its deadline, and none after it."""
    return Upcoming(name, "acme", lane, lane, store, at(end_s - early_s), at(end_s))


def best(jobs: list[tuple[float, str, str]], lanes: dict[str, float], stores: dict[str, float]) -> float:
    """Return how late the latest is in the best of all orders, begun now. Nothing of the forecast is used."""

    def lateness(order: tuple[tuple[float, str, str], ...]) -> float:
        free: dict[tuple[str, str], float] = {}
        latest = -math.inf
        for end, lane, store in order:
            start = max(free.get(("lane", lane), 0.0), free.get(("store", store), 0.0))
            free["lane", lane] = start + lanes.get(lane, 0.0)
            free["store", store] = start + stores.get(store, 0.0)
            latest = max(latest, start - end)
        return latest

    return min(map(lateness, permutations(jobs)))


ends = st.lists(st.integers(1, 60), min_size=1, max_size=6)
early = st.integers(0, 50)


@law
@given(ends, early, st.integers(1, 20))
def test_one_budget_is_feasible_exactly_when_some_order_keeps_all_deadlines(
    drawn: list[int], early_s: int, interval_s: int
) -> None:
    """Feasible if and only if some order, found by trying all, is in time; when refreshes fall due is no matter."""
    upcoming = [first(f"c{n}", end, early_s=early_s) for n, end in enumerate(drawn)]
    jobs = [(float(end), "l", "s") for end in drawn]

    by_lane = forecast(upcoming, now=NOW, lanes={"l": interval_s})
    by_store = forecast(upcoming, now=NOW, stores={"s": interval_s})

    assert by_lane.feasible == (best(jobs, {"l": interval_s}, {}) <= 0)
    assert by_store.feasible == (best(jobs, {}, {"s": interval_s}) <= 0)


@law
@given(ends, early, st.integers(2, 20))
def test_what_is_needed_is_enough_and_no_less_is(drawn: list[int], early_s: int, interval_s: int) -> None:
    """With a limit as many times as large as is told nothing is late, and with one a little smaller something is."""
    upcoming = [first(f"c{n}", end, early_s=early_s) for n, end in enumerate(drawn)]
    use = forecast(upcoming, now=NOW, lanes={"l": interval_s}).lanes["l"]

    def late(interval: float) -> bool:
        return not forecast(upcoming, now=NOW, lanes={"l": interval}).feasible

    assert late(interval_s) == (use.times_larger > 1)
    assert not late(interval_s / use.times_larger)
    if use.times_larger > 1:
        assert late(interval_s / use.times_larger * 1.01)


pairs = st.tuples(st.integers(1, 40), st.sampled_from("ab"), st.sampled_from("xy"))
intervals = st.fixed_dictionaries({}, optional={"a": st.integers(1, 12), "b": st.integers(1, 12)})
store_intervals = st.fixed_dictionaries({}, optional={"x": st.integers(1, 12), "y": st.integers(1, 12)})


@law
@given(st.lists(pairs, min_size=1, max_size=5), early, intervals, store_intervals)
def test_two_budgets_are_called_feasible_only_if_some_order_is(
    jobs: list[tuple[float, str, str]], early_s: int, lanes: dict[str, float], stores: dict[str, float]
) -> None:
    """Where provider and store both limit, no schedule is promised that does not exist; each alone has to be kept."""
    upcoming = [
        first(f"c{n}", end, lane=lane, store=store, early_s=early_s) for n, (end, lane, store) in enumerate(jobs)
    ]
    found = forecast(upcoming, now=NOW, lanes=lanes, stores=stores)
    if found.feasible:
        assert best(jobs, lanes, stores) <= LATE_S
    if best(jobs, lanes, {}) > 0 or best(jobs, {}, stores) > 0:
        assert not found.feasible


# ------------------------------------------------------------------------------------------------- round after round

lives = st.sampled_from([40.0, 60.0, 90.0, 300.0, 1000.0])
fleets = st.lists(
    st.tuples(lives, st.floats(0.05, 0.95), st.floats(0, 0.5), st.integers(0, 1), st.integers(0, 1)),
    min_size=1,
    max_size=30,
)


def courses(drawn: list[tuple[float, float, float, int, int]], lanes: list[Gate], stores: list[Gate]) -> list[Course]:
    made = []
    for number, (life, left, margin, lane, store) in enumerate(drawn):
        end, early_s = life * left, life * margin
        made.append(
            Course(
                number, end - early_s, end, life, life - early_s, -math.inf, 0.0,
                lanes[lane] if lane < len(lanes) else None,
                stores[store] if store < len(stores) else None,
                Diary([0]),
            )
        )  # fmt: skip
    return made


@much
@given(fleets, st.lists(st.floats(0.1, 20), max_size=2), st.lists(st.floats(0.1, 20), max_size=2))
def test_the_walk_is_a_schedule(
    drawn: list[tuple[float, float, float, int, int]], lane_s: list[float], store_s: list[float]
) -> None:
    """Starts at one gate are as far apart as it asks, those called in time are, and each goes on until the horizon."""
    lanes = [Gate(-1 - n, interval) for n, interval in enumerate(lane_s)]
    stores = [Gate(-10 - n, interval) for n, interval in enumerate(store_s)]
    made = courses(drawn, lanes, stores)
    gate_of = [(one.lane, one.store) for one in made]

    walked_s = walk(made, horizon_s=3000.0, bucket_s=3000.0)

    assert walked_s == 3000.0
    moments = [one.tally.moments if isinstance(one.tally, Diary) else [] for one in made]
    for place, gates in ((0, lanes), (1, stores)):
        for gate in gates:
            passed = sorted(at for at_, pair in zip(moments, gate_of, strict=True) if pair[place] is gate for at in at_)
            assert all(later - sooner >= gate.interval_s - LATE_S for sooner, later in pairwise(passed))
    for one, at_, (life, left, _, _, _) in zip(made, moments, drawn, strict=True):
        if one.lane is one.store is None:
            continue  # counted, not walked
        waits = [at_[0] + life * (1 - left), *(later - sooner for sooner, later in pairwise(at_))]
        assert (one.late_at is not None) == any(wait > life + LATE_S for wait in waits)
        assert one.starts == len(at_)
        if not any(other.late_at is not None for other in made):
            assert at_[-1] > 3000.0 - life - LATE_S


@much
@given(
    st.integers(1, 25),
    lives,
    st.floats(0.05, 0.4),
    st.floats(0.02, 1.4),
    st.lists(st.floats(0, 1), min_size=25, max_size=25),
)
def test_tokens_of_one_length_stay_fresh_exactly_while_the_budget_lets_enough_through(
    count: int, life: float, margin: float, load: float, left: list[float]
) -> None:
    """With equal lifetimes, what is feasible at first stays so for ever if and only if the load is at most one."""
    interval_s = load * life / count
    ends = sorted(life * part for part in left[:count])
    ends = [max(end, place * interval_s) for place, end in enumerate(ends)]  # feasible at first
    if ends[-1] > life:
        return
    upcoming = [
        Upcoming(f"c{n:02}", "acme", "x", "l", "s", at(end - margin * life), at(end), life, life * (1 - margin))
        for n, end in enumerate(ends)
    ]
    found = forecast(upcoming, now=NOW, lanes={"l": interval_s}, horizon_s=life * 12)
    assert found.feasible == (load <= 1 + 1e-9)


@law
@given(fleets, st.integers(1, 48), st.floats(100, DAY_S))
def test_without_a_budget_refreshes_are_counted_as_they_fall_due(
    drawn: list[tuple[float, float, float, int, int]], buckets: int, horizon_s: float
) -> None:
    """What no limit holds up starts when it falls due, and each bucket has the starts that lie in it."""
    upcoming = [
        Upcoming(
            f"c{n}", "acme", "x", "l", "s", at(life * left - life * margin), at(life * left), life, life - life * margin
        )
        for n, (life, left, margin, _, _) in enumerate(drawn)
    ]
    found = forecast(upcoming, now=NOW, horizon_s=horizon_s, buckets=buckets)
    expected = [0] * buckets
    refreshes = 0
    for life, left, margin, _, _ in drawn:
        start = max(0.0, life * left - life * margin)
        refreshes += 1
        step, times = life - life * margin, 0
        while start + times * step < horizon_s:
            expected[min(buckets - 1, int((start + times * step) / (horizon_s / buckets)))] += 1
            times += 1
        refreshes += max(0, times - 1)
    [row] = found.rows
    assert (row.refreshes, found.feasible) == (refreshes, True)
    assert sum(row.buckets) == sum(expected)
    assert all(abs(mine - theirs) <= 1 for mine, theirs in zip(row.buckets, expected, strict=True))  # rounding at edges


def summary(found: Forecast) -> object:
    return (found.rows, found.lanes, found.stores)


@much
@given(st.lists(pairs, min_size=1, max_size=6), intervals, store_intervals, st.randoms())
def test_the_order_of_the_configuration_changes_nothing(
    jobs: list[tuple[float, str, str]], lanes: dict[str, float], stores: dict[str, float], chance: object
) -> None:
    """Whatever the order of the credentials, the forecast is the same."""
    upcoming = [first(f"c{n}", end, lane=lane, store=store) for n, (end, lane, store) in enumerate(jobs)]
    mixed = list(upcoming)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    found, other = (forecast(one, now=NOW, lanes=lanes, stores=stores) for one in (upcoming, mixed))
    assert summary(found) == summary(other)
