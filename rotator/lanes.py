"""Which of the jobs that wait for one budget goes next. Pure.

Earliest deadline first, and those whose access token has ended already before them all, as long as that costs no living
token its refresh. Always first was rejected: after an outage, a backlog of ended tokens let one living token after the
other end. Always last was, too: where many fall due together, an ended one waited for minutes that nobody needed.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rotator.deadlines import DeadlineQueue

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from rotator.job import Job

IN_TIME_S = 5.0
"""A request has to leave so long before the token's end to count as in time: the answer takes its time, and so does
writing it back."""


@dataclass(slots=True)
class Lane:
    """The jobs of one provider, client and store that are due. A credential waits once. For one thread.

    Args:
        running: How many of its jobs run.
    """

    running: int = 0
    _jobs: dict[str, Job] = field(default_factory=dict)
    _living: DeadlineQueue = field(default_factory=lambda: DeadlineQueue(0.0))
    _ended: list[tuple[tuple[datetime, str], Job]] = field(default_factory=list)
    _unknown: list[tuple[tuple[datetime, str], Job]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def order(self) -> tuple[datetime, str]:
        """The earliest deadline and its credential's name, to compare lanes by. There has to be a job."""
        first = self._living.first()
        heads = [self._jobs[first[0]].order] if first else []
        return min(heads + [heap[0][0] for heap in (self._ended, self._unknown) if heap])

    @property
    def jobs(self) -> list[Job]:
        """All that wait."""
        return list(self._jobs.values())

    def add(self, job: Job) -> None:
        """Let a job wait."""
        self._jobs[job.credential.name] = job
        if job.deadline is None:
            heapq.heappush(self._unknown, (job.order, job))
        else:
            ends_s = job.deadline.timestamp()
            self._living.add(job.credential.name, due=ends_s - IN_TIME_S, deadline=ends_s)

    def take(self, now: datetime, interval_s: float) -> Job:
        """Take out the job that begins now. There has to be one.

        Args:
            interval_s: The spacing that the budget allows; 0 without one.
        """
        self._living.pace(interval_s)
        first = self._first_living(now)
        if self._ended and (first is None or now.timestamp() + interval_s <= first[1]):
            job = heapq.heappop(self._ended)[1]
        elif first is not None:
            job = self._leave(first[0])
        else:
            job = heapq.heappop(self._unknown)[1]
        del self._jobs[job.credential.name]
        return job

    def clear(self, names: Collection[str] | None = None) -> list[Job]:
        """Take out the jobs of these credentials, or all, and return them."""
        jobs = self._jobs
        self._jobs, self._living, self._ended, self._unknown = {}, DeadlineQueue(self._living.interval_s), [], []
        for name, job in jobs.items():
            if names is not None and name not in names:
                self.add(job)
        return [job for name, job in jobs.items() if name not in self._jobs]

    def _first_living(self, now: datetime) -> tuple[str, float] | None:
        """Return who goes first of those whose tokens live, and when at the latest; put those aside that have ended."""
        while (first := self._living.first()) is not None:
            job = self._jobs[first[0]]
            if job.order[0] > now:
                return first
            heapq.heappush(self._ended, (job.order, self._leave(first[0])))
        return None

    def _leave(self, name: str) -> Job:
        job = self._jobs[name]
        self._living.remove(name, deadline=job.order[0].timestamp())
        return job
