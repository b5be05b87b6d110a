"""Runs what is due on a pool of threads, each request at its slot of the provider's budget.

One lane per provider and client: a lane waits for its own slots and cooldown, and never holds a thread while it does,
so one provider's trouble does not delay another's.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from rotator import outcomes
from rotator.errors import RotatorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from rotator.budget import Budget
    from rotator.model import Credential, RateLimit
    from rotator.observe import Observed, Observer
    from rotator.outcomes import Outcome
    from rotator.ports import Clock
    from rotator.rotation import Rotation

GOOD_FOR_S = 2.0
"""How long what was read may be acted on without reading again. The claim makes any age safe; a young reading keeps
the provider's cooldown and a person's edit in view."""

ROUNDS = 3
"""How often one job may ask to be run again at once (a replay window, a superseded write) before it waits for the
next pass."""

FAR = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Job:
    """One credential to look at.

    Args:
        lane: The key of the provider's and client's record (`rotator.ledger.provider_key`).
        deadline: When its access token ends; the earliest deadline of a lane goes first. None goes before all.
        observed: What was already read, to be used while it is young.
    """

    credential: Credential
    lane: str
    deadline: datetime | None = None
    observed: Observed | None = None
    force: bool = False
    horizon_s: float = 0.0
    shared_with: str | None = None
    rounds: int = 0

    @property
    def order(self) -> tuple[float, str]:
        """Earliest deadline first, then by name."""
        return (self.deadline.timestamp() if self.deadline else 0.0, self.credential.name)


@dataclass(slots=True)
class Lane:
    """The jobs of one provider and client."""

    limit: RateLimit | None = None
    queue: list[tuple[tuple[float, str], int, Job]] = field(default_factory=list)
    slots: deque[datetime] = field(default_factory=deque)
    closed_until: datetime | None = None


@dataclass(slots=True)
class Dispatcher:
    """Keeps lanes and threads busy. To be used from one thread; only the jobs run in others.

    Args:
        executor: Where jobs run.
        notify: Called from a worker's thread whenever a job is done.
    """

    rotation: Rotation
    observer: Observer
    budget: Budget
    clock: Clock
    executor: Executor
    notify: Callable[[], None]
    workers: int = 16
    _lanes: dict[str, Lane] = field(default_factory=dict)
    _finished: SimpleQueue[tuple[Job, Outcome | BaseException]] = field(default_factory=SimpleQueue)
    running: int = 0
    _added: int = 0

    def add(self, job: Job) -> None:
        """Queue a job in its lane."""
        lane = self._lanes.setdefault(job.lane, Lane())
        lane.limit = job.credential.provider.rate_limit
        self._added += 1
        heapq.heappush(lane.queue, (job.order, self._added, job))

    @property
    def waiting(self) -> int:
        """How many jobs have not begun."""
        return sum(len(lane.queue) for lane in self._lanes.values())

    def pump(self) -> datetime | None:
        """Begin every job that may begin now.

        Returns:
            When the next one may begin for reasons of time; None when nothing waits for time.
        """
        now = self.clock.now()
        soonest: datetime | None = None
        for key, lane in self._lanes.items():
            while lane.queue and self.running < self.workers:
                opens = self._opens(key, lane, now)
                if opens > now:
                    soonest = min(soonest or FAR, opens)
                    break
                if lane.slots:
                    lane.slots.popleft()
                _, _, job = heapq.heappop(lane.queue)
                self._begin(job)
        return soonest

    def abandon(self) -> list[Job]:
        """Return the jobs that have not begun, and forget them: nothing new is started."""
        left = [job for lane in self._lanes.values() for _, _, job in lane.queue]
        for lane in self._lanes.values():
            lane.queue.clear()
        return left

    def finished(self) -> list[tuple[Job, Outcome]]:
        """Return what was finished since the last call; jobs that asked to be run again at once are queued again.

        Raises:
            BaseException: What a job raised beyond outcomes: a defect.
        """
        done: list[tuple[Job, Outcome]] = []
        while True:
            try:
                job, result = self._finished.get_nowait()
            except Empty:
                return done
            self.running -= 1
            if isinstance(result, BaseException):
                raise result
            if not self._again(job, result):
                done.append((job, result))

    # ---------------------------------------------------------------------------------------------- inside

    def _opens(self, key: str, lane: Lane, now: datetime) -> datetime:
        """Return when the lane lets the next request through, reserving slots when it has none."""
        if lane.closed_until and lane.closed_until > now:
            return lane.closed_until
        if lane.limit is None:
            return now
        while lane.slots and lane.slots[0] < now - timedelta(seconds=lane.limit.interval_s):
            # A slot that was missed is not made up for: two requests at once would be a burst.
            lane.slots.popleft()
        if not lane.slots:
            try:
                lane.slots.extend(self.budget.reserve(key, lane.limit, len(lane.queue)))
            except RotatorError:
                # Without the state nothing can be claimed either; the job itself tells what is wrong with it.
                return now
        return lane.slots[0]

    def _begin(self, job: Job) -> None:
        self.running += 1
        self.executor.submit(self._work, job)

    def _work(self, job: Job) -> None:
        result: Outcome | BaseException
        try:
            result = self._run(job)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that owns the dispatcher, which raises it
            result = error
        if isinstance(result, outcomes.Deferred) and result.reason == "rate_limited" and result.retry_at:
            self._lanes[job.lane].closed_until = result.retry_at
        self._finished.put((job, result))
        self.notify()

    def _run(self, job: Job) -> Outcome:
        observed, job.observed = job.observed, None
        if observed is None or self.clock.now() - observed.at > timedelta(seconds=GOOD_FOR_S):
            try:
                observed = self.observer.observe(
                    job.credential, horizon_s=job.horizon_s, force=job.force, shared_with=job.shared_with
                )
            except RotatorError as error:
                return outcomes.of_error(job.credential.name, error)
        return self.rotation.run(observed)

    def _again(self, job: Job, outcome: Outcome) -> bool:
        at_once = (
            isinstance(outcome, outcomes.Deferred)
            and outcome.retry_at is not None
            and outcome.retry_at <= self.clock.now()
        )
        if not at_once or job.rounds + 1 >= ROUNDS:
            return False
        job.rounds += 1
        job.force = False
        self.add(job)
        return True
