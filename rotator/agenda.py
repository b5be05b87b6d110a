"""When the daemon looks at which credential next: heaps that can be rebuilt from the stores at any time. Pure.

Within, instants are epoch seconds: a fleet of 100,000 has several of them per credential, and compares them all day.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from rotator.deadlines import DeadlineQueue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.schedule import Planned

STALE_SHARE = 2
SMALL = 64
"""A heap is made anew when more than half of it, and more than a handful, is outdated."""


ROUNDING_S = 2e-6
"""What is due within the rounding of instants to microseconds is due: else a loop that sleeps until then wakes too
early, for nothing."""


class Turn(NamedTuple):
    """A credential's place in the agenda, and in its heap.

    Args:
        at: When it is looked at, budgets aside.
        name: The credential's.
        deadline: Of the refresh that takes part in `lanes`.
    """

    at: float
    name: str
    deadline: float
    lanes: tuple[str, ...]


class Taken(NamedTuple):
    """A credential whose turn has come.

    Args:
        start_at: When its budget demands the start; None where none does.
        at: When its turn was, in epoch seconds.
    """

    name: str
    start_at: datetime | None
    at: float


@dataclass(slots=True)
class Agenda:
    """For one thread. Names are credentials' names; lanes are budgets, by any text that tells them apart."""

    _turns: dict[str, Turn] = field(default_factory=dict)
    _heap: list[Turn] = field(default_factory=list)
    _lanes: dict[str, DeadlineQueue] = field(default_factory=dict)
    _starts: list[tuple[float, str]] = field(default_factory=list)
    _known_starts: dict[str, float] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)
    _combinations: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._turns)

    def plan(
        self,
        name: str,
        at: datetime,
        *,
        planned: Planned | None = None,
        budgets: Mapping[str, float] | None = None,
    ) -> None:
        """Look at a credential at `at`, instead of when it was planned before.

        Args:
            planned: Its next refresh, which a budget may demand to start earlier.
            budgets: The spacing in seconds of each budget that this refresh needs a slot of.
        """
        self.forget(name)
        lanes: tuple[str, ...] = ()
        deadline = 0.0
        if planned is not None and budgets:
            lanes, deadline = tuple(budgets), planned.deadline.timestamp()
            lanes = self._combinations.setdefault(lanes, lanes)  # one tuple for all that share them
            for lane, interval_s in budgets.items():
                queue = self._lanes.setdefault(lane, DeadlineQueue(interval_s))
                queue.pace(interval_s)
                queue.add(name, due=planned.due_at.timestamp(), deadline=deadline)
                self._changed.add(lane)
        self._turns[name] = turn = Turn(at.timestamp(), name, deadline, lanes)
        heapq.heappush(self._heap, turn)
        if len(self._heap) > STALE_SHARE * len(self._turns) + SMALL:
            self._heap = list(self._turns.values())
            heapq.heapify(self._heap)

    def forget(self, name: str) -> None:
        """Drop what is planned for a credential."""
        turn = self._turns.pop(name, None)
        if turn is None:
            return
        for lane in turn.lanes:
            self._lanes[lane].remove(name, deadline=turn.deadline)
            self._changed.add(lane)

    def pace(self, lane: str, interval_s: float) -> None:
        """Go by another spacing in a lane from now on; nothing changes where nobody waits."""
        queue = self._lanes.get(lane)
        if queue is not None:
            queue.pace(interval_s)
            self._changed.add(lane)

    def take_due(self, now: datetime) -> list[Taken]:
        """Return the credentials to be looked at now, and drop them."""
        due: list[Taken] = []
        now_s = now.timestamp() + ROUNDING_S
        while self._heap and self._heap[0].at <= now_s:
            turn = heapq.heappop(self._heap)
            if self._stands(turn):
                due.append(Taken(turn.name, None, turn.at))
                self.forget(turn.name)
        while (start := self._next_start()) is not None and start <= now_s:
            start, lane = heapq.heappop(self._starts)
            del self._known_starts[lane]
            first = self._lanes[lane].first()
            if first is None:
                raise AssertionError("a lane that is empty has no start")
            due.append(Taken(first[0], datetime.fromtimestamp(start, UTC), start))
            self.forget(first[0])
        return due

    def next_at(self) -> datetime | None:
        """Return when `take_due` has something to do next; None when nothing is planned."""
        while self._heap and not self._stands(self._heap[0]):
            heapq.heappop(self._heap)
        soonest = [self._heap[0].at] if self._heap else []
        start = self._next_start()
        soonest += [] if start is None else [start]
        return datetime.fromtimestamp(min(soonest), UTC) if soonest else None

    def _stands(self, turn: Turn) -> bool:
        return self._turns.get(turn.name) is turn

    def _next_start(self) -> float | None:
        """Return the earliest start that a budget demands, now that lanes have changed."""
        for lane in self._changed:
            first = self._lanes[lane].first()
            if first is None:
                del self._lanes[lane]
                self._known_starts.pop(lane, None)
            elif self._known_starts.get(lane) != first[1]:
                self._known_starts[lane] = first[1]
                heapq.heappush(self._starts, (first[1], lane))
        self._changed.clear()
        if len(self._starts) > STALE_SHARE * len(self._lanes) + SMALL:
            self._starts = [(start, lane) for lane, start in self._known_starts.items()]
            heapq.heapify(self._starts)
        while self._starts and self._known_starts.get(self._starts[0][1]) != self._starts[0][0]:
            heapq.heappop(self._starts)
        return self._starts[0][0] if self._starts else None
