"""Starts under a budget, and the agenda that keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, permutations

from hypothesis import given
from hypothesis import strategies as st

from rotator.agenda import Agenda
from rotator.schedule import Planned, latest_starts

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def planned(name: str, due_s: float, deadline_s: float) -> Planned:
    return Planned(name, at(due_s), at(deadline_s))


def taken(agenda: Agenda, now: datetime) -> list[tuple[str, datetime | None]]:
    """What is due, without the moments that `test_what_is_taken_tells_when_its_turn_was` is about."""
    return [(one.name, one.start_at) for one in agenda.take_due(now)]


jobs = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=5)


@given(jobs, st.integers(1, 12))
def test_if_any_order_keeps_all_deadlines_this_one_does(drawn: list[tuple[int, int]], interval: int) -> None:
    """From the latest starts on, by earliest deadline, no job is late when some order, found by trying all, is not."""
    jobs_ = [planned(str(number), due, due + slack) for number, (due, slack) in enumerate(drawn)]
    starts = latest_starts(jobs_, interval)

    def kept(order: tuple[Planned, ...]) -> bool:
        return all(at(place * interval) <= job.deadline for place, job in enumerate(order))

    feasible = any(kept(order) for order in permutations(jobs_))
    # A job whose start lies in the past starts now, and pushes those behind it.
    clock = NOW
    for job in sorted(jobs_, key=lambda job: (job.deadline, job.name)):
        clock = max(clock, starts[job.name])
        if feasible:
            assert clock <= job.deadline
        clock += timedelta(seconds=interval)


@given(jobs, st.integers(1, 12))
def test_no_start_is_later_than_due_and_none_closer_than_the_interval(
    drawn: list[tuple[int, int]], interval: int
) -> None:
    """Starts respect the spacing, and move to the earlier side only."""
    jobs_ = [planned(str(number), due, due + slack) for number, (due, slack) in enumerate(drawn)]
    starts = latest_starts(jobs_, interval)
    assert all(starts[job.name] <= job.due_at for job in jobs_)
    ordered = sorted(starts.values())
    assert all(later - earlier >= timedelta(seconds=interval) for earlier, later in pairwise(ordered))


def test_without_contention_nothing_moves() -> None:
    """Jobs that are further apart than the interval start when they fall due."""
    far = [planned("a", 0, 100), planned("b", 50, 150)]
    assert latest_starts(far, 10) == {"a": at(0), "b": at(50)}


def test_jobs_that_end_together_are_spread_backwards() -> None:
    """Of three that fall due in the same second the last starts then, the others an interval before each other."""
    together = [planned(name, 100, 200) for name in "abc"]
    assert latest_starts(together, 30) == {"c": at(100), "b": at(70), "a": at(40)}


def test_what_was_planned_comes_up_in_its_time_and_once() -> None:
    """A credential is due once, at its time; planning it again replaces what was planned."""
    agenda = Agenda()
    agenda.plan("a", at(10))
    agenda.plan("b", at(20))
    agenda.plan("a", at(30))
    assert taken(agenda, at(5)) == []
    assert taken(agenda, at(25)) == [("b", None)]
    assert taken(agenda, at(40)) == [("a", None)]
    assert taken(agenda, at(1000)) == []
    assert agenda.next_at() is None


def test_a_budget_moves_starts_earlier_and_says_so() -> None:
    """Members of a limited lane come up early enough for each other; others stay where they are."""
    agenda = Agenda()
    for name in "abc":
        agenda.plan(name, at(100), planned=planned(name, 100, 200), budgets={"l": 29.0})
    agenda.plan("d", at(100))
    assert taken(agenda, at(0)) == []
    assert agenda.next_at() == at(42)
    assert taken(agenda, at(42)) == [("a", at(42))]
    assert taken(agenda, at(71)) == [("b", at(71))]
    assert taken(agenda, at(100)) == [("c", None), ("d", None)]


def test_of_two_budgets_the_tighter_one_moves_the_start() -> None:
    """A refresh that needs a slot of its provider and one of its store starts early enough for both."""
    agenda = Agenda()
    agenda.plan("a", at(100), planned=planned("a", 100, 200), budgets={"provider": 5.0, "store": 30.0})
    agenda.plan("b", at(100), planned=planned("b", 100, 200), budgets={"other": 5.0, "store": 30.0})
    assert agenda.next_at() == at(70)
    assert taken(agenda, at(70)) == [("a", at(70))]
    assert agenda.next_at() == at(100)


def test_a_slower_budget_moves_starts_to_the_earlier_side() -> None:
    """A pace that changes under those that wait moves them at once."""
    agenda = Agenda()
    for name in "ab":
        agenda.plan(name, at(100), planned=planned(name, 100, 200), budgets={"l": 10.0})
    assert agenda.next_at() == at(90)
    agenda.pace("l", 50.0)
    assert agenda.next_at() == at(50)
    agenda.pace("nobody waits here", 50.0)
    assert agenda.next_at() == at(50)


def test_what_is_forgotten_neither_comes_up_nor_takes_room() -> None:
    """A credential that is gone leaves its lane, and the others' starts move back to their due times."""
    agenda = Agenda()
    for name in "ab":
        agenda.plan(name, at(100), planned=planned(name, 100, 200), budgets={"l": 29.0})
    agenda.forget("b")
    assert taken(agenda, at(0)) == []
    assert agenda.next_at() == at(100)
    assert taken(agenda, at(100)) == [("a", None)]


def test_what_is_outdated_does_not_pile_up() -> None:
    """A credential that is planned anew ten thousand times leaves no more behind than a handful of entries."""
    agenda = Agenda()
    for again in range(10_000):
        agenda.plan("a", at(again), planned=planned("a", again, again + 50), budgets={"l": 1.0})
        agenda.next_at()
    assert len(agenda._heap) < 100
    assert len(agenda._starts) < 100


def test_what_is_taken_tells_when_its_turn_was() -> None:
    """However late it is taken: by its own time, or by the start that a budget demands."""
    agenda = Agenda()
    agenda.plan("own", at(10))
    agenda.plan("budget", at(60), planned=planned("budget", 60, 70), budgets={"lane": 30.0})
    agenda.plan("behind", at(60), planned=planned("behind", 60, 72), budgets={"lane": 30.0})
    found = {one.name: one.at for one in agenda.take_due(at(50))}
    assert found == {"own": at(10).timestamp(), "budget": at(30).timestamp()}
