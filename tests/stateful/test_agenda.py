"""The daemon's agenda against a plain list of what was planned: nothing is dropped, doubled, early or overslept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rotator.agenda import Agenda
from rotator.schedule import Planned, latest_starts
from rotator.testing.memory import EPOCH
from tests.stateful.running import walk

if TYPE_CHECKING:
    from datetime import datetime

INTERVALS = {"a": 10.0, "b": 37.5}
names = st.sampled_from(["c1", "c2", "c3", "c4", "c5", "c6"])
budgets = st.sets(st.sampled_from(sorted(INTERVALS)))
ROUNDING = timedelta(microseconds=3)


@dataclass(frozen=True, slots=True)
class Plan:
    """What stands in the list."""

    at: datetime
    planned: Planned
    lanes: frozenset[str]


class AgendaMachine(RuleBasedStateMachine):
    """The list knows of each credential when to look at it, and works the starts of its lanes out from scratch."""

    def __init__(self) -> None:
        super().__init__()
        self.agenda = Agenda()
        self.plans: dict[str, Plan] = {}
        self.intervals = dict(INTERVALS)
        self.now = EPOCH

    @rule(name=names, in_s=st.integers(-20, 120), slack_s=st.integers(0, 60), lanes=budgets)
    def plan(self, name: str, in_s: int, slack_s: int, lanes: set[str]) -> None:
        at = self.now + timedelta(seconds=in_s)
        planned = Planned(name, at, at + timedelta(seconds=slack_s))
        self.agenda.plan(name, at, planned=planned, budgets={lane: self.intervals[lane] for lane in sorted(lanes)})
        self.plans[name] = Plan(at, planned, frozenset(lanes))

    @rule(name=names)
    def forget(self, name: str) -> None:
        self.agenda.forget(name)
        self.plans.pop(name, None)

    @rule(lane=st.sampled_from(sorted(INTERVALS)), interval_s=st.sampled_from([5.0, 10.0, 60.0]))
    def pace(self, lane: str, interval_s: float) -> None:
        """A budget changes under those that wait for it."""
        self.intervals[lane] = interval_s
        self.agenda.pace(lane, interval_s)

    @rule(passed_s=st.integers(0, 60) | st.floats(0, 2))
    def look(self, passed_s: float) -> None:
        """Time passes, and the daemon takes what is due."""
        self.now += timedelta(seconds=round(passed_s, 3))
        self._look()

    @rule()
    def sleep_until_the_next(self) -> None:
        """The daemon sleeps for as long as the agenda lets it: just before that nothing is due, and then something."""
        upcoming = self.agenda.next_at()
        if upcoming is None:
            assert self.plans == {}
        elif upcoming > self.now + timedelta(milliseconds=1):
            self.now = upcoming - timedelta(milliseconds=1)
            assert self._look() == []
            self.now = upcoming
            assert self._look() != []

    @invariant()
    def it_is_as_long_as_the_list(self) -> None:
        """What was planned and not taken is there, once."""
        assert len(self.agenda) == len(self.plans)

    def _look(self) -> list[tuple[str, datetime | None]]:
        expected = dict.fromkeys(self._due_by_themselves())
        for name in expected:
            del self.plans[name]
        while firsts := self._firsts():
            start, name = min(firsts)
            expected[name] = start
            del self.plans[name]
        taken = self.agenda.take_due(self.now)
        assert len(taken) == len(expected)
        assert {name for name, *_ in taken} == set(expected)
        for name, start, _ in taken:
            wanted = expected[name]
            assert (start is None) == (wanted is None)
            assert start is None or wanted is None or abs(start - wanted) <= ROUNDING
        return taken

    def _due_by_themselves(self) -> list[str]:
        return [name for name, one in self.plans.items() if one.at <= self.now]

    def _firsts(self) -> list[tuple[datetime, str]]:
        """Return the first of each lane whose start has come, by the definition of starts."""
        firsts = []
        for lane, interval_s in self.intervals.items():
            members = [one.planned for one in self.plans.values() if lane in one.lanes]
            starts = latest_starts(members, interval_s)
            if starts and min(starts.values()) <= self.now:
                firsts.append(min((start, name) for name, start in starts.items()))
        return firsts


def test_the_agenda_does_what_a_plain_list_does() -> None:
    """Planning, forgetting, looking and sleeping, in lanes with and without a budget, and with two."""
    walk(AgendaMachine, 100, steps=40)
