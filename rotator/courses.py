"""What a forecast walks through: budgets as gates, credentials on their courses, and those that pass the same gates.

Numbers only: instants are seconds from now; infinite is never, or unknown.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush

LATE_S = 1e-6
"""Below this, being late is the rounding of a sum."""


@dataclass(slots=True, eq=False)
class Gate:
    """One budget.

    Args:
        number: Tells gates apart.
        interval_s: The spacing of starts.
        opens_s: When the first one may be.
        free: When the next one may be.
        latest: In a backward walk, when a start has to be made at the latest so that those behind it are in time.
        late: How many credentials ended before it let them through.
        shut_out: How many of them end before it opens.
        tightest: Where it is narrowest for those that wait at the beginning; None with less than two of them.
        trouble: The same for the first moment at which it is too narrow, if that is not the beginning.
    """

    number: int
    interval_s: float
    opens_s: float = 0.0
    free: float = 0.0
    latest: float = math.inf
    late: int = 0
    shut_out: int = 0
    tightest: Burst | None = None
    trouble: Burst | None = None
    waking: bool = False
    waiting: list[tuple[float, int, Stream]] = field(default_factory=list)

    def too_narrow(self, burst: Burst | None) -> bool:
        """Return whether starts would have to be closer than it allows."""
        return burst is not None and burst.needed_s < self.interval_s - LATE_S

    def is_narrow(self) -> bool:
        """Return whether it is known to be too narrow at some moment."""
        return self.trouble is not None or self.too_narrow(self.tightest)

    def behind(self, now: float) -> bool:
        """Return whether the last backward walk asked for a start that lies in the past."""
        return self.latest + self.interval_s < now - LATE_S


@dataclass(frozen=True, slots=True)
class Burst:
    """`count` tokens end between `from_s` and `within_s` later: one start every `needed_s` keeps them."""

    count: int
    from_s: float
    within_s: float
    needed_s: float


@dataclass(slots=True, eq=False)
class Tally:
    """The starts of a group of credentials, all of them and by time."""

    buckets: list[int]
    starts: int = 0

    def add(self, at: float, bucket_s: float) -> None:
        """Count a start; one behind the last bucket counts among all only."""
        self.starts += 1
        bucket = int(at / bucket_s)
        if bucket < len(self.buckets):
            self.buckets[bucket] += 1


@dataclass(slots=True, eq=False)
class Course:
    """One credential on its way.

    Args:
        due: When its refresh falls due.
        end: When its access token ends.
        life: How long the next one lives; infinite when nobody knows, and then there is one start only.
        period: From a start until the next one falls due.
        floor: No start before this.
        rest: From a start until the next one may be made at all.
        lane: The gate of its provider and client, if there is one.
        store: The gate of its store, if there is one.
        ended: It had ended at the beginning, and has not been refreshed since.
        late_at: When it was refreshed too late for the first time; an end before the beginning does not count.
        late_by: Which gate was to blame; None when it rested too long, or has no gate.
    """

    number: int
    due: float
    end: float
    life: float
    period: float
    floor: float
    rest: float
    lane: Gate | None
    store: Gate | None
    tally: Tally
    stream: Stream | None = None
    target: float = 0.0
    starts: int = 0
    ended: bool = False
    late_at: float | None = None
    late_by: Gate | None = None


@dataclass(slots=True, eq=False)
class Stream:
    """The credentials that pass the same gates.

    Args:
        queue: By deadline, as the last backward walk left them; `place` is the next of them.
        fresh: What fell due since, or rests, by the moment.
        idle: What is due and has no deadline that could be missed, or has ended: it takes what the others leave.
        later: What comes back behind the next backward walk.
    """

    number: int
    lane: Gate | None
    store: Gate | None
    queue: list[Course] = field(default_factory=list)
    place: int = 0
    fresh: list[tuple[float, float, int, Course]] = field(default_factory=list)
    idle: deque[Course] = field(default_factory=deque)
    later: list[Course] = field(default_factory=list)

    def ready_at(self) -> float:
        """Return when the next one wants to start; infinite when none waits."""
        at = self.queue[self.place].target if self.place < len(self.queue) else math.inf
        if self.fresh and self.fresh[0][0] < at:
            at = self.fresh[0][0]
        return min(at, self.idle[0].floor) if self.idle else at

    def take(self, now: float) -> Course | None:
        """Take out who starts now: of those that want to, the one whose deadline is the earliest."""
        head: Course | None = None
        while self.place < len(self.queue) and self.queue[self.place].target <= now:
            one = self.queue[self.place]
            if one.floor <= now:
                head = one
                break
            self.place += 1
            heappush(self.fresh, (one.floor, one.end, one.number, one))
        if self.fresh and self.fresh[0][0] <= now and (head is None or self.fresh[0][1] < head.end):
            return heappop(self.fresh)[3]
        if head is not None:
            self.place += 1
            return head
        return self.idle.popleft() if self.idle and self.idle[0].floor <= now else None

    def deadline(self, now: float) -> float:
        """Return the deadline of the one that would start now, as far as it is known before it is taken."""
        ends = [self.queue[self.place].end] if self.place < len(self.queue) else []
        if ends and self.queue[self.place].target > now:
            ends = []
        if self.fresh and self.fresh[0][0] <= now:
            ends.append(self.fresh[0][1])
        return min(ends, default=math.inf)

    def drain(self) -> list[Course]:
        """Take out all that waits for a deadline."""
        left = self.queue[self.place :]
        left += [entry[3] for entry in self.fresh]
        left += self.later
        self.queue, self.place, self.fresh, self.later = [], 0, [], []
        return left

    def gates(self) -> list[Gate]:
        """Return its gates."""
        return [gate for gate in (self.lane, self.store) if gate is not None]

    def opens_at(self) -> float:
        """Return when the gate of its provider and client lets the next one through."""
        return self.lane.free if self.lane else 0.0
