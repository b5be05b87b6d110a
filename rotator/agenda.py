"""When the daemon looks at which credential next: a heap that can be rebuilt from the stores at any time. Pure."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rotator.schedule import Planned, latest_starts

if TYPE_CHECKING:
    from rotator.model import Pace, RateLimit

SETTLE_S = 1.0
"""A lane with a budget is walked through at most so often: many credentials change in the same second at a start."""


@dataclass(order=True, slots=True)
class Entry:
    """When to look at a credential. One whose turn is outdated is skipped when it comes up."""

    at: datetime
    name: str
    turn: int


@dataclass(slots=True)
class Turn:
    """A credential's place in the agenda.

    Args:
        planned: When its refresh falls due and has to be done; None when only a look is planned.
        start_at: When the budget demands the start, if that is earlier.
    """

    number: int
    at: datetime
    lane: str
    planned: Planned | None = None
    start_at: datetime | None = None


@dataclass(slots=True)
class Lane:
    """The credentials of one provider and client with a budget."""

    limit: RateLimit | Pace
    names: set[str] = field(default_factory=set)
    changed: bool = False
    settled_at: datetime | None = None


@dataclass(slots=True)
class Agenda:
    """For one thread. Names are credentials' names, lanes the keys of `rotator.ledger.provider_key`."""

    _heap: list[Entry] = field(default_factory=list)
    _turns: dict[str, Turn] = field(default_factory=dict)
    _lanes: dict[str, Lane] = field(default_factory=dict)
    _numbers: int = 0

    def plan(
        self,
        name: str,
        at: datetime,
        *,
        lane: str = "",
        limit: RateLimit | Pace | None = None,
        planned: Planned | None = None,
    ) -> None:
        """Look at a credential at `at`, instead of when it was planned before.

        Args:
            planned: Its next refresh, which a limited budget may demand to start earlier.
        """
        self.forget(name)
        self._numbers += 1
        self._turns[name] = Turn(self._numbers, at, lane, planned)
        heapq.heappush(self._heap, Entry(at, name, self._numbers))
        if limit is not None and planned is not None:
            members = self._lanes.setdefault(lane, Lane(limit))
            members.limit = limit
            members.names.add(name)
            members.changed = True

    def forget(self, name: str) -> None:
        """Drop what is planned for a credential."""
        turn = self._turns.pop(name, None)
        if turn is not None and turn.lane in self._lanes:
            self._lanes[turn.lane].names.discard(name)

    def take_due(self, now: datetime) -> list[tuple[str, datetime | None]]:
        """Return the credentials to be looked at now, each with the start that its budget demands, and drop them."""
        self._settle(now)
        due = []
        while self._heap and self._heap[0].at <= now:
            entry = heapq.heappop(self._heap)
            turn = self._turns.get(entry.name)
            if turn is not None and turn.number == entry.turn:
                due.append((entry.name, turn.start_at))
                self.forget(entry.name)
        return due

    def next_at(self) -> datetime | None:
        """Return when `take_due` has something to do next; None when nothing is planned."""
        soonest = [self._heap[0].at] if self._heap else []
        soonest += [
            lane.settled_at + timedelta(seconds=SETTLE_S)
            for lane in self._lanes.values()
            if lane.changed and lane.settled_at is not None
        ]
        return min(soonest, default=None)

    def _settle(self, now: datetime) -> None:
        """Move starts earlier where a budget demands it."""
        for lane in self._lanes.values():
            if not lane.changed:
                continue
            if lane.settled_at is not None and now < lane.settled_at + timedelta(seconds=SETTLE_S):
                continue
            lane.changed, lane.settled_at = False, now
            turns = [self._turns[name] for name in lane.names]
            waiting = [turn.planned for turn in turns if turn.planned is not None]
            for name, start in latest_starts(waiting, lane.limit.interval_s).items():
                turn = self._turns[name]
                if start < turn.at:
                    self._numbers += 1
                    turn.number, turn.at, turn.start_at = self._numbers, start, start
                    heapq.heappush(self._heap, Entry(start, name, self._numbers))
