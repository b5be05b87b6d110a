"""Runs what is due on a pool of threads, each request at its slot of the provider's budget.

A job is looked at first, which needs no budget; what turns out to be due waits in the lane of its provider and client.
A lane waits for its own slots and cooldown, and for those of its store's write quota, without holding a thread, and
takes no more than its share of the threads, so one provider's trouble does not delay another's.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from rotator import outcomes, policy
from rotator.budget import AHEAD_S
from rotator.errors import Defect, RotatorError, StoreUnavailable
from rotator.gates import Gate
from rotator.job import FAR, Job, LaneKey, Ready
from rotator.lanes import Lane
from rotator.rotation import GOOD_FOR_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from rotator.budget import Budget
    from rotator.limits import Pace
    from rotator.model import Credential
    from rotator.observe import Observed, Observer
    from rotator.outcomes import Outcome
    from rotator.ports import Clock
    from rotator.rotation import Rotation

ROUNDS = 4
"""How often one job may ask to be run again at once (a replay window, a missed slot) before it waits for the next
pass."""

AWAY_S = 15.0
"""After a store did not answer, nobody asks it again for so long: the looks of its credentials would hold the threads
that those of other stores need."""

FREE_S = 1.0
"""A rotation that begins so long after the last one of the same store takes no slot of its write quota: a fleet that
never comes near the quota does not pay for sharing it."""

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Dispatcher:
    """Keeps lanes and threads busy. To be used from one thread; only the jobs run in others.

    Args:
        executor: Where jobs run.
        notify: Called from a worker's thread whenever a job is done.
        latest: When a request for a credential may leave at the latest; None is at any time.
        quotas: By store, the key and pace of the budget for its writes, where it has one.
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
    quotas: Mapping[str, tuple[str, Pace]] = field(default_factory=dict)
    judge: Callable[[Observed], Observed] = lambda observed: observed
    running: int = 0
    _unseen: list[tuple[tuple[datetime, str], int, Job]] = field(default_factory=list)
    _lanes: dict[LaneKey, Lane] = field(default_factory=dict)
    _gates: dict[str, Gate] = field(default_factory=dict)
    _wrote_at: dict[str, datetime] = field(default_factory=dict)
    _finished: SimpleQueue[tuple[Job, Outcome | Ready | BaseException]] = field(default_factory=SimpleQueue)
    _away: dict[str, datetime] = field(default_factory=dict)
    _done: list[tuple[Job, Outcome]] = field(default_factory=list)
    _added: int = 0

    def add(self, job: Job) -> None:
        """Queue a job; one that was looked at and is due goes straight into its lane.

        What was read in bulk has to be read again. Where its turn comes at once that is done first, without a slot: a
        slot does not wait for a slow store. Behind others it is done when its turn comes, for it would be old by then.
        """
        self._added += 1
        entry = (job.order, self._added, job)
        observed = job.observed
        if observed is None or not isinstance(policy.decide(observed.situation), policy.Due):
            heapq.heappush(self._unseen, entry)
            return
        self.budget.learn(observed.provider_key, job.credential.provider.rate_limit)
        if observed.in_bulk and self._turn_comes_soon(observed.provider_key, job.credential.store):
            heapq.heappush(self._unseen, entry)
            return
        self.rotation.warm_up(job.credential.provider)
        job.lane = observed.provider_key
        self._lanes.setdefault(job.needs, Lane()).add(job)

    def _turn_comes_soon(self, key: str, store: str) -> bool:
        pace, ahead = self.budget.pace(key), len(self._lanes.get((key, store), ()))
        return ahead + len(self._unseen) < self.workers if pace is None else ahead * pace.interval_s <= GOOD_FOR_S

    @property
    def waiting(self) -> int:
        """How many jobs have not begun."""
        return len(self._unseen) + sum(map(len, self._lanes.values()))

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
        share = max(1, self.workers // max(1, len(self._lanes)))
        busy = [(lane.order, key) for key, lane in self._lanes.items() if len(lane)]
        for _, key in sorted(busy):
            lane = self._lanes[key]
            while len(lane) and lane.running < share and self.running < self.workers:
                opens = self._opens(key, lane, now)
                if opens > now:
                    soonest = min(soonest or FAR, opens)
                    break
                job = lane.take(now, self._interval_s(key))
                self._give_slots(job)
                self._begin(job, lane)
            if not (len(lane) or lane.running):
                del self._lanes[key]
        return soonest

    def abandon(self) -> list[Job]:
        """Return the jobs that have not begun, and forget them: nothing new is started."""
        left = [job for _, _, job in self._unseen]
        self._unseen.clear()
        for lane in self._lanes.values():
            left += lane.clear()
        self._lanes = {key: lane for key, lane in self._lanes.items() if lane.running}
        return left

    def abandon_too_late(self) -> list[tuple[Job, datetime]]:
        """Return the jobs whose lanes open only when it is too late for them, with that moment, and forget them."""
        left = []
        for (key, store), lane in self._lanes.items():
            gates = [self._gates.get(one) for one in (key, self.quotas[store][0] if store in self.quotas else "")]
            opens = max(filter(None, (gate.known_to_open() for gate in gates if gate)), default=None)
            if opens is None:
                continue
            late = {job.credential.name for job in lane.jobs if opens > (self.latest(job.credential) or FAR)}
            left += [(job, opens) for job in lane.clear(late)] if late else []
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
                self._ended(job, result)
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

    def _opens(self, key: LaneKey, lane: Lane, now: datetime) -> datetime:
        """Return when the lane lets the next request through, reserving slots when it has none.

        The provider's budget first: what is reserved of the store's for a lane that has to wait anyway is lost to
        others.
        """
        provider, store = key
        cooldowns = self.observer.cooldowns
        paused = max(
            filter(None, (cooldowns.known(provider), cooldowns.opens_at(provider, now, begun=lane.running))),
            default=now,
        )
        if paused > now:
            return paused
        pace = self.budget.pace(provider)
        wanted = len(lane)
        opens = self._through(provider, pace, wanted, lane, now)
        if opens > now or store not in self.quotas:
            return opens
        quota, writes = self.quotas[store]
        if now - self._wrote_at.get(quota, NEVER) >= timedelta(seconds=FREE_S):
            return opens
        wanted = wanted if pace is None else min(wanted, 1 + int(AHEAD_S / pace.interval_s))
        return self._through(quota, writes, wanted, lane, now)

    def _through(self, key: str, pace: Pace | None, wanted: int, lane: Lane, now: datetime) -> datetime:
        """Return when the gate of a budget opens; after too many failures without the state its jobs are given up."""
        gate = self._gates.get(key)
        if gate is None:
            if pace is None:
                return now
            gate = self._gates[key] = Gate()

        def reserve() -> list[datetime]:
            if pace is None:
                raise AssertionError("a gate without a pace needs no slots")
            return self.budget.reserve(key, pace, wanted, lead_s=gate.lead_s)

        opens = gate.opens(now, pace, reserve)
        error = gate.given_up()
        if error is not None:
            self._done += [(job, outcomes.of_error(job.credential.name, error)) for job in lane.clear()]
        return opens

    def _interval_s(self, key: LaneKey) -> float:
        """Return how far apart the jobs of a lane begin."""
        paces = [self.budget.pace(key[0]), self.quotas[key[1]][1] if key[1] in self.quotas else None]
        return max((pace.interval_s for pace in paces if pace), default=0.0)

    def _give_slots(self, job: Job) -> None:
        gate = self._gates.get(job.lane)
        job.slot, job.slot_ends, job.lead_s = None, None, 0.0
        if gate is not None:
            job.lead_s = gate.lead_s
            job.slot, job.slot_ends = gate.take(self.budget.pace(job.lane))
        quota = self.quotas.get(job.credential.store)
        if quota is not None:
            self._wrote_at[quota[0]] = self.clock.now()
            if quota[0] in self._gates:
                self._gates[quota[0]].take(quota[1])

    def _ended(self, job: Job, result: Outcome | Ready | BaseException) -> None:
        """Note what a job that had its slot says of the lead, and drop what is idle: a fleet may have a lane each."""
        lane, gate = self._lanes[job.needs], self._gates.get(job.lane)
        lane.running -= 1
        if gate is not None and isinstance(result, outcomes.Deferred) and result.reason == "slot_missed":
            gate.missed(job.lead_s)
        elif gate is not None and isinstance(result, outcomes.Rotated):
            gate.kept()
        elif gate is not None and job.slot is not None and outcomes.sent_nothing(result):
            gate.give_back(job.slot)
        if not (lane.running or len(lane)):
            del self._lanes[job.needs]
            if gate is not None and gate.idle:
                del self._gates[job.lane]

    def _begin(self, job: Job, lane: Lane | None) -> None:
        self.running += 1
        job.begun_at = job.begun_at or self.clock.now()
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
        if observed is None or observed.in_bulk or self.clock.now() - observed.at > timedelta(seconds=GOOD_FOR_S):
            away_until = self._away.get(job.credential.store)
            if away_until and away_until > self.clock.now():
                return outcomes.Deferred(job.credential.name, "store_unavailable", away_until)
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
            if observed.situation.stored.version != job.version and job.pinned:
                return outcomes.changed(job.credential.name)
            if observed.situation.stored.version != job.version:
                # Not the document that was compared with the others': that is done first, where they are known.
                job.version, job.start_at = observed.situation.stored.version, None
                return self._ready(job, replace(observed, situation=replace(observed.situation, start_at=None)))
        job.key = observed.provider_key
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
