"""Which job of a lane goes next: what lives is in time if any order allows it, and what has ended waits no longer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from rotator.job import Job
from rotator.lanes import IN_TIME_S, Lane
from tests.core.parts import NOW
from tests.rotation.world import credential

if TYPE_CHECKING:
    from datetime import datetime


def job(name: str, left_s: float | None) -> Job:
    deadline = None if left_s is None else NOW + timedelta(seconds=left_s)
    return Job(credential(name), deadline=deadline)


def lane_of(**left_s: float | None) -> Lane:
    lane = Lane()
    for name, seconds in left_s.items():
        lane.add(job(name, seconds))
    return lane


def taken(lane: Lane, interval_s: float) -> list[str]:
    """Take one job every interval; return their names in order."""
    names: list[str] = []
    while len(lane):
        names.append(lane.take(at(len(names) * interval_s), interval_s).credential.name)
    return names


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_the_earliest_deadline_goes_first_and_an_unknown_one_last() -> None:
    """Those whose end nobody knows cannot be late."""
    assert taken(lane_of(unknown=None, late=300, soon=100), 10) == ["soon", "late", "unknown"]


def test_what_has_ended_goes_first_where_nobody_is_late_for_it() -> None:
    """Its users wait; the others have time."""
    assert taken(lane_of(soon=100, ended=-60, later=200), 10) == ["ended", "soon", "later"]


def test_what_has_ended_waits_where_a_living_token_would_end_for_it() -> None:
    """Two that live need the next two starts, the third has a minute more: the ended one goes between."""
    lane = lane_of(a=IN_TIME_S + 1, b=IN_TIME_S + 11, c=IN_TIME_S + 80, ended=-60)
    assert taken(lane, 10) == ["a", "b", "ended", "c"]


def test_what_ends_while_it_waits_is_put_aside() -> None:
    """Nobody can save the third of three that end together; the fourth, which can be saved, goes before it."""
    lane = lane_of(a=12, b=12, c=12, d=IN_TIME_S + 25)
    assert taken(lane, 10) == ["a", "b", "d", "c"]


def test_jobs_are_taken_out_by_name() -> None:
    """What was asked for comes back, whatever its deadline; the others stay in their order."""
    lane = lane_of(a=100, b=200, ended=-1, unknown=None, c=300)
    lane.take(NOW, 1.0)
    assert {one.credential.name for one in lane.clear({"b", "unknown"})} == {"b", "unknown"}
    assert taken(lane, 1.0) == ["a", "c"]
    assert lane.clear() == []


def test_a_lane_is_as_urgent_as_its_first() -> None:
    """Whether it has ended, lives, or nobody knows."""
    lane = lane_of(unknown=None, b=200, a=100)
    assert lane.order == (at(100), "a")
    lane.add(job("ended", -5))
    assert lane.order == (at(-5), "ended")
    lane.clear({"a", "b", "ended"})
    assert lane.order[1] == "unknown"


lives = st.lists(st.floats(IN_TIME_S + 1, 200), max_size=8)


@given(lives=lives, ended=st.integers(0, 4), interval_s=st.floats(0.5, 20))
def test_no_living_token_ends_that_any_order_would_save(lives: list[float], ended: int, interval_s: float) -> None:
    """Earliest deadline first without the ended ones is the best order; with them in between it is no worse."""
    starts = [number * interval_s for number in range(len(lives))]
    feasible = all(start <= left - IN_TIME_S for start, left in zip(starts, sorted(lives), strict=True))
    lane = lane_of(**{f"l{number}": left for number, left in enumerate(lives)})
    for number in range(ended):
        lane.add(job(f"e{number}", -1.0 - number))
    order = taken(lane, interval_s)
    late = [
        name
        for place, name in enumerate(order)
        if name[0] == "l" and place * interval_s > lives[int(name[1:])] - IN_TIME_S + 1e-6
    ]
    assert not (feasible and late)


@given(lives=lives, ended=st.integers(1, 4), interval_s=st.floats(0.5, 20))
def test_what_has_ended_waits_only_for_those_it_would_cost(lives: list[float], ended: int, interval_s: float) -> None:
    """Whenever a living one goes before an ended one, one start later would have been too late for somebody."""
    lane = lane_of(**{f"l{number}": left for number, left in enumerate(lives)})
    for number in range(ended):
        lane.add(job(f"e{number}", -1.0 - number))
    place = 0
    while len(lane):
        waiting = [one for one in lane.jobs if one.order[0] > at(place * interval_s)]
        some_ended = len(waiting) < len(lane)
        name = lane.take(at(place * interval_s), interval_s).credential.name
        if some_ended and any(one.credential.name == name for one in waiting):
            ends = sorted((one.order[0] - NOW).total_seconds() - IN_TIME_S for one in waiting)
            assert any((place + 1 + number) * interval_s > end - 1e-6 for number, end in enumerate(ends))
        place += 1
