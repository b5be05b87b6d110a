"""When the jobs of one budget may begin: its reserved slots, its pauses, and how long before a slot a job begins."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.errors import RotatorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rotator.limits import Pace

RETRY_S = 5.0
TRIES = 3
"""Without the state no slot can be reserved, and nothing be claimed either: a gate tries thrice, then gives up."""

FIRST_LEAD_S = 0.5
LONGEST_LEAD_S = 10.0
SHORTER = 0.8
"""By which each request that left shortens the lead: some ten of them undo the longest one."""


@dataclass(slots=True)
class Gate:
    """One budget's gate. For one thread.

    Args:
        lead_s: How long before its slot a job begins: it grows when a slow state lets slots be missed.
        failed: The error of the reservation that failed last, once it has failed too often; for `give_up`.
    """

    slots: deque[datetime] = field(default_factory=deque)
    closed_until: datetime | None = None
    lead_s: float = 0.0
    failures: int = 0
    failed: RotatorError | None = None

    def opens(self, now: datetime, pace: Pace | None, reserve: Callable[[], list[datetime]]) -> datetime:
        """Return when the gate lets the next job through, now at the earliest.

        Args:
            pace: How its jobs are spaced; None lets all through.
            reserve: Reserves slots, at least one. Called when there is none left.
        """
        if self.closed_until and self.closed_until > now:
            return self.closed_until
        if pace is None:
            return now
        while self.slots and self.slots[0] + timedelta(seconds=pace.slack_s) < now:
            # A slot that was missed is not made up for: two requests at once would be a burst.
            self.slots.popleft()
        if not self.slots:
            try:
                self.slots.extend(reserve())
            except RotatorError as error:
                return self._without_budget(error, now)
            self.failures = 0
        return max(now, self.slots[0] - timedelta(seconds=self.lead_s))

    def take(self, pace: Pace | None) -> tuple[datetime | None, datetime | None]:
        """Take the first slot; return its begin and its end, or nothing where there is no budget."""
        slot = self.slots.popleft() if self.slots else None
        return slot, slot + timedelta(seconds=pace.slack_s) if slot and pace else None

    def give_back(self, slot: datetime) -> None:
        """Take a slot back that no request left in: whoever comes next may still use it."""
        if not self.slots or slot < self.slots[0]:
            self.slots.appendleft(slot)

    def known_to_open(self) -> datetime | None:
        """Return when it opens, as far as that is known without reserving anything; None is not known."""
        return max(filter(None, (self.closed_until, self.slots[0] if self.slots else None)), default=None)

    def missed(self, lead_s: float) -> None:
        """Begin earlier after a missed slot, whose job began `lead_s` before it.

        A miss says that its lead was too short. Those that began with the same lead and missed with it say nothing new:
        counted one by one, a moment's trouble made the lead so long that the threads spent their time waiting for
        slots, and the budget could not be used.
        """
        self.lead_s = min(LONGEST_LEAD_S, max(FIRST_LEAD_S, self.lead_s, 2 * lead_s))

    def kept(self) -> None:
        """Begin later again, little by little, after a request that left in its slot."""
        self.lead_s *= SHORTER

    @property
    def idle(self) -> bool:
        """Whether a new gate would do the same."""
        return not (self.slots or self.closed_until or self.failures or self.lead_s > SHORTER)

    def _without_budget(self, error: RotatorError, now: datetime) -> datetime:
        self.failures += 1
        self.closed_until = now + timedelta(seconds=RETRY_S)
        if self.failures >= TRIES:
            self.failures, self.failed = 0, error
        return self.closed_until

    def given_up(self) -> RotatorError | None:
        """Return the error for which the jobs that wait are given up now, once."""
        failed, self.failed = self.failed, None
        return failed
