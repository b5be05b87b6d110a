"""Runs what is due on a pool of threads, each request at its slot of the provider's budget.

A job is looked at first, which needs no budget; what turns out to be due waits in the lane of its provider and client.
A lane waits for its own slots and cooldown without holding a thread, and takes no more than its share of the threads,
so one provider's trouble does not delay another's.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from rotator import outcomes, policy
from rotator.errors import Defect, RotatorError, StoreUnavailable
from rotator.rotation import GOOD_FOR_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from rotator.budget import Budget
    from rotator.model import Credential
    from rotator.observe import Observed, Observer
    from rotator.outcomes import Outcome
    from rotator.ports import Clock
    from rotator.rotation import Rotation

ROUNDS = 4
"""How often one job may ask to be run again at once (a replay window, a missed slot) before it waits for the next
pass."""

BUDGET_RETRY_S = 5.0
BUDGET_TRIES = 3
"""Without the state no slot can be reserved, and nothing be claimed either: a lane tries thrice, then gives up."""

FIRST_LEAD_S = 0.5
LONGEST_LEAD_S = 10.0
SHORTER = 0.8
"""By which each request that left shortens the lead: some ten of them undo the longest one."""

AWAY_S = 15.0
"""After a store did not answer, nobody asks it again for so long: the looks of its credentials would hold the threads
that those of other stores need."""

FAR = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Job:
    """One credential to look at.

    Args:
        deadline: When its access token ends; the earliest deadline goes first. None, unknown, is no deadline that could
            be met or missed, and goes behind those that can: due again every quarter of an hour, enough of them would
            take every slot of a tight budget for ever.
        observed: What was already read, to be used while it is young.
        start_at: When the budget demands the start, for the document at `version`; another one has times of its own.
        lane: The provider's and client's key, known once it was looked at.
        slot: When its request may leave; None without a budget.
        lead_s: How long before its slot it began.
        slot_ends: And until when.
    """

    credential: Credential
    deadline: datetime | None = None
    observed: Observed | None = None
    force: bool = False
    horizon_s: float = 0.0
    start_at: datetime | None = None
    version: str = ""
    shared_with: str | None = None
    lane: str = ""
    slot: datetime | None = None
    lead_s: float = 0.0
    slot_ends: datetime | None = None
    rounds: int = 0

    @property
    def order(self) -> tuple[datetime, str]:
        """Earliest deadline first, then by name."""
        return (self.deadline or FAR, self.credential.name)


@dataclass(frozen=True, slots=True)
class Ready:
    """A job was looked at and is due: it belongs into its lane."""


@dataclass(slots=True)
class Lane:
    """The jobs of one provider and client that are due.

    Args:
        lead_s: How long before its slot a job begins: it grows when a slow state lets slots be missed.
    """

    queue: list[tuple[tuple[datetime, str], int, Job]] = field(default_factory=list)
    slots: deque[datetime] = field(default_factory=deque)
    closed_until: datetime | None = None
    failures: int = 0
    running: int = 0
    lead_s: float = 0.0


@dataclass(slots=True)
class Dispatcher:
    """Keeps lanes and threads busy. To be used from one thread; only the jobs run in others.

    Args:
        executor: Where jobs run.
        notify: Called from a worker's thread whenever a job is done.
        latest: When a request for a credential may leave at the latest; None is at any time.
        judge: Called in the owner's thread with what a job found instead of the document that was known: notes whether
            another credential holds the same grant (`rotator.grants`).
    """

    rotation: Rotation
    observer: Observer
    budget: Budget
    clock: Clock
    executor: Executor
    notify: Callable[[], None]
    workers: int = 16
    latest: Callable[[Credential], datetime | None] = lambda _: None
    judge: Callable[[Observed], Observed] = lambda observed: observed
    running: int = 0
    _unseen: list[tuple[tuple[datetime, str], int, Job]] = field(default_factory=list)
    _lanes: dict[str, Lane] = field(default_factory=dict)
    _finished: SimpleQueue[tuple[Job, Outcome | Ready | BaseException]] = field(default_factory=SimpleQueue)
    _away: dict[str, datetime] = field(default_factory=dict)
    _done: list[tuple[Job, Outcome]] = field(default_factory=list)
    _added: int = 0

    def add(self, job: Job) -> None:
        """Queue a job; one that was looked at and is due goes straight into its lane."""
        self._added += 1
        entry = (job.order, self._added, job)
        if job.observed is None or not isinstance(policy.decide(job.observed.situation), policy.Due):
            heapq.heappush(self._unseen, entry)
            return
        job.lane = job.observed.provider_key
        self.budget.learn(job.lane, job.credential.provider.rate_limit)
        lane = self._lanes.setdefault(job.lane, Lane())
        heapq.heappush(lane.queue, entry)

    @property
    def waiting(self) -> int:
        """How many jobs have not begun."""
        return len(self._unseen) + sum(len(lane.queue) for lane in self._lanes.values())

    @property
    def idle(self) -> bool:
        """Whether nothing waits, runs, or is left to be fetched."""
        return not (self.waiting or self.running or self._done)

    def pump(self) -> datetime | None:
        """Begin every job that may begin now.

        Returns:
            When the next one may begin for reasons of time; None when nothing waits for time.
        """
        now = self.clock.now()
        while self._unseen and self.running < self.workers:
            job = heapq.heappop(self._unseen)[2]
            away_until = self._away.get(job.credential.store)
            if away_until and away_until > now:
                self._done.append((job, outcomes.Deferred(job.credential.name, "store_unavailable", away_until)))
                self.notify()
            else:
                self._begin(job, None)
        soonest: datetime | None = None
        busy = [(key, lane) for key, lane in self._lanes.items() if lane.queue]
        active = sum(1 for lane in self._lanes.values() if lane.queue or lane.running)
        share = max(1, self.workers // max(1, active))
        for key, lane in sorted(busy, key=lambda pair: pair[1].queue[0][0]):
            while lane.queue and lane.running < share and self.running < self.workers:
                opens = self._opens(key, lane, now)
                if opens > now:
                    soonest = min(soonest or FAR, opens)
                    break
                job = heapq.heappop(lane.queue)[2]
                job.lead_s = lane.lead_s
                self._give_slot(job, lane)
                self._begin(job, lane)
        return soonest

    def abandon(self) -> list[Job]:
        """Return the jobs that have not begun, and forget them: nothing new is started."""
        left = [job for _, _, job in self._unseen]
        self._unseen.clear()
        for lane in self._lanes.values():
            left += [job for _, _, job in lane.queue]
            lane.queue.clear()
        return left

    def abandon_too_late(self) -> list[tuple[Job, datetime]]:
        """Return the jobs whose lanes open only when it is too late for them, with that moment, and forget them."""
        left = []
        for lane in self._lanes.values():
            opens = max(filter(None, (lane.closed_until, lane.slots[0] if lane.slots else None)), default=None)
            if opens is None:
                continue
            late = [entry for entry in lane.queue if opens > (self.latest(entry[2].credential) or FAR)]
            if late:
                left += [(job, opens) for _, _, job in late]
                lane.queue = [entry for entry in lane.queue if entry not in late]
                heapq.heapify(lane.queue)
        return left

    def finished(self) -> list[tuple[Job, Outcome]]:
        """Return what was finished since the last call; jobs that go on are queued again.

        Raises:
            BaseException: What ends the process (KeyboardInterrupt and the like).
        """
        while True:
            try:
                job, result = self._finished.get_nowait()
            except Empty:
                done, self._done = self._done, []
                return done
            self.running -= 1
            if job.lane:
                self._lanes[job.lane].running -= 1
                self._lead(self._lanes[job.lane], job, result)
            if isinstance(result, BaseException):
                raise result
            if isinstance(result, Ready):
                if job.observed is not None:
                    job.observed = self.judge(job.observed)
                    job.shared_with = job.observed.situation.shared_with
                self.add(job)
            elif not self._again(job, result):
                self._done.append((job, result))

    # ---------------------------------------------------------------------------------------------- inside

    def _opens(self, key: str, lane: Lane, now: datetime) -> datetime:
        """Return when the lane lets the next request through, reserving slots when it has none."""
        closed_until = max(filter(None, (lane.closed_until, self.observer.cooldowns.known(key))), default=now)
        if closed_until > now:
            return closed_until
        pace = self.budget.pace(key)
        if pace is None:
            return now
        lead = timedelta(seconds=lane.lead_s)
        while lane.slots and lane.slots[0] + timedelta(seconds=pace.slack_s) < now:
            # A slot that was missed is not made up for: two requests at once would be a burst.
            lane.slots.popleft()
        if not lane.slots:
            try:
                lane.slots.extend(self.budget.reserve(key, pace, len(lane.queue), lead_s=lane.lead_s))
            except RotatorError as error:
                return self._without_budget(lane, error, now)
            lane.failures = 0
        return lane.slots[0] - lead

    def _give_slot(self, job: Job, lane: Lane) -> None:
        pace = self.budget.pace(job.lane)
        job.slot = lane.slots.popleft() if lane.slots else None
        job.slot_ends = job.slot + timedelta(seconds=pace.slack_s) if job.slot and pace else None

    def _without_budget(self, lane: Lane, error: RotatorError, now: datetime) -> datetime:
        lane.failures += 1
        lane.closed_until = now + timedelta(seconds=BUDGET_RETRY_S)
        if lane.failures >= BUDGET_TRIES:
            lane.failures = 0
            for _, _, job in lane.queue:
                self._done.append((job, outcomes.of_error(job.credential.name, error)))
            lane.queue.clear()
        return lane.closed_until

    def _begin(self, job: Job, lane: Lane | None) -> None:
        self.running += 1
        if lane is not None:
            lane.running += 1
        else:
            job.lane = ""
        self.executor.submit(self._work, job)

    def _work(self, job: Job) -> None:
        result: Outcome | Ready | BaseException
        try:
            result = self._run(job)
        except Exception as error:  # noqa: BLE001 - a defect in the work on one credential must not stop the others
            result = outcomes.of_error(job.credential.name, Defect.of(error))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that owns the dispatcher, which raises it
            result = error
        self._finished.put((job, result))
        self.notify()

    def _run(self, job: Job) -> Outcome | Ready:
        observed = job.observed
        latest = self.latest(job.credential)
        if latest and self.clock.now() > latest:
            return outcomes.Deferred(job.credential.name, "no_time_left", None)
        if observed is None or self.clock.now() - observed.at > timedelta(seconds=GOOD_FOR_S):
            try:
                observed = self.observer.observe(
                    job.credential,
                    horizon_s=job.horizon_s,
                    force=job.force,
                    start_at=job.start_at,
                    shared_with=job.shared_with,
                )
            except StoreUnavailable as error:
                self._away[job.credential.store] = self.clock.now() + timedelta(seconds=AWAY_S)
                return outcomes.of_error(job.credential.name, error)
            except RotatorError as error:
                return outcomes.of_error(job.credential.name, error)
            if observed.situation.stored.version != job.version:
                # Not the document that was compared with the others': that is done first, where they are known.
                job.version, job.start_at = observed.situation.stored.version, None
                return self._ready(job, replace(observed, situation=replace(observed.situation, start_at=None)))
        decision = policy.decide(observed.situation)
        if isinstance(decision, policy.Due) and job.lane != observed.provider_key:
            return self._ready(job, observed)
        job.observed = None
        leave_by = min(filter(None, (job.slot_ends, latest)), default=None)
        return self.rotation.run(observed, leave_at=job.slot, leave_by=leave_by)

    @staticmethod
    def _ready(job: Job, observed: Observed) -> Ready:
        decision = policy.decide(observed.situation)
        job.observed = observed
        job.deadline = decision.deadline if isinstance(decision, policy.Due) else job.deadline
        return Ready()

    @staticmethod
    def _lead(lane: Lane, job: Job, result: Outcome | Ready | BaseException) -> None:
        """Begin earlier after a missed slot, and later again, little by little, after a request that left.

        A miss says that the lead its job began with was too short. Those that began with the same lead and missed with
        it say nothing new: counted one by one, a moment's trouble made the lead so long that the threads spent their
        time waiting for slots, and the budget could not be used.
        """
        if isinstance(result, outcomes.Deferred) and result.reason == "slot_missed":
            lane.lead_s = min(LONGEST_LEAD_S, max(FIRST_LEAD_S, lane.lead_s, 2 * job.lead_s))
        elif isinstance(result, outcomes.Rotated):
            lane.lead_s *= SHORTER

    def _again(self, job: Job, outcome: Outcome) -> bool:
        if not isinstance(outcome, outcomes.Deferred) or outcome.retry_at is None:
            return False
        if outcome.retry_at > self.clock.now() or job.rounds + 1 >= ROUNDS:
            return False
        job.rounds += 1
        # What was forced once is not forced again; a request that missed its slot was never sent.
        job.force = job.force and outcome.reason == "slot_missed"
        job.observed = None
        self.add(job)
        return True
