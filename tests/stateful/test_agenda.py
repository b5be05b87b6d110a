"""The daemon's agenda against a plain list of what was planned: nothing is dropped, doubled, early or overslept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rotator.agenda import SETTLE_S, Agenda
from rotator.model import RateLimit
from rotator.schedule import Planned
from rotator.testing.memory import EPOCH
from tests.stateful.running import walk

if TYPE_CHECKING:
    from datetime import datetime

LIMITS = {"a": RateLimit(1, 8.0), "b": RateLimit(2, 60.0)}
names = st.sampled_from(["c1", "c2", "c3", "c4"])
lanes = st.sampled_from(["", "a", "b"])


def after(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Plan:
    """What stands in the list; `start` is None until a walk through its lane moves it."""

    at: datetime
    lane: str
    deadline: datetime
    start: datetime | None = None


class AgendaMachine(RuleBasedStateMachine):
    """The list knows of each credential when to look at it, and walks through the lanes by definition, from scratch."""

    def __init__(self) -> None:
        super().__init__()
        self.agenda = Agenda()
        self.plans: dict[str, Plan] = {}
        self.changed: dict[str, datetime | None] = {}
        self.settled: dict[str, datetime] = {}
        self.now = EPOCH

    @rule(name=names, in_s=st.integers(-20, 120), slack_s=st.integers(0, 60), lane=lanes)
    def plan(self, name: str, in_s: int, slack_s: int, lane: str) -> None:
        at = self.now + timedelta(seconds=in_s)
        planned = Planned(name, at, at + timedelta(seconds=slack_s))
        self.agenda.plan(name, at, lane=lane, limit=LIMITS.get(lane), planned=planned if lane else None)
        self.plans[name] = Plan(at, lane, planned.deadline)
        if lane:
            self.changed[lane] = self.now

    @rule(name=names)
    def forget(self, name: str) -> None:
        self.agenda.forget(name)
        self.plans.pop(name, None)

    @rule(passed_s=st.integers(0, 60) | st.floats(0, 2))
    def look(self, passed_s: float) -> None:
        """Time passes, and the daemon takes what is due."""
        self.now += timedelta(seconds=round(passed_s, 3))
        self._look()

    @rule()
    def sleep_until_the_next(self) -> None:
        """The daemon looks, then sleeps for as long as the agenda lets it: just before that, nothing was due."""
        self._look()  # a lane's first walk is at the next look, and not at an instant of its own
        upcoming = self.agenda.next_at()
        if upcoming is None:
            assert self.plans == {}
        elif upcoming > self.now:
            self.now = upcoming - timedelta(microseconds=1)
            assert self._look() == []
            self.now = upcoming
            self._look()

    @invariant()
    def the_next_look_is_not_too_late(self) -> None:
        """Nothing comes up, and no lane has to be walked through again, before the agenda wants to be asked."""
        upcoming = self.agenda.next_at()
        times = [one.start or one.at for one in self.plans.values()]
        times += [
            self.settled[lane] + timedelta(seconds=SETTLE_S)
            for lane, changed in self.changed.items()
            if changed is not None and lane in self.settled
        ]
        assert not times or (upcoming is not None and upcoming <= min(times))

    def _look(self) -> list[tuple[str, datetime | None]]:
        self._settle()
        expected = {name: one.start for name, one in self.plans.items() if (one.start or one.at) <= self.now}
        taken = self.agenda.take_due(self.now)
        assert dict(taken) == expected
        assert len(taken) == len(expected)
        order = [self.plans[name].start or self.plans[name].at for name, _ in taken]
        assert order == sorted(order)
        for name in expected:
            del self.plans[name]
        return taken

    def _settle(self) -> None:
        """Walk back through each changed lane, at most once a second: every start at its due time or an interval
        before the next one's, by deadline; one that was moved is not moved back by a later walk.
        """
        for lane, limit in LIMITS.items():
            last = self.settled.get(lane)
            if self.changed.get(lane) is None or (last and self.now < last + timedelta(seconds=SETTLE_S)):
                continue
            self.changed[lane], self.settled[lane] = None, self.now
            members = sorted(
                ((one.deadline, name) for name, one in self.plans.items() if one.lane == lane), reverse=True
            )
            bound: datetime | None = None
            for _, name in members:
                one = self.plans[name]
                start = one.at if bound is None else min(one.at, bound)
                bound = start - timedelta(seconds=limit.interval_s)
                if start < (one.start or one.at):
                    self.plans[name] = Plan(one.at, lane, one.deadline, start)


def test_the_agenda_does_what_a_plain_list_does() -> None:
    """Planning, forgetting, looking and sleeping, in lanes with and without a budget."""
    walk(AgendaMachine, 100, steps=40)
