"""What the daemon remembers of its credentials: enough to place each in time, nothing that the stores know better."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, assert_never

from rotator import outcomes
from rotator.agenda import Agenda, Taken
from rotator.grants import GrantIndex
from rotator.job import Job
from rotator.looks import Sight, Unseen
from rotator.schedule import Planned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rotator.board import Board
    from rotator.budget import Budget
    from rotator.limits import Pace
    from rotator.model import Credential
    from rotator.outcomes import Outcome
    from rotator.ports import Clock

PERSON_S = 300.0
"""When to look again at what a person has to mend: a read costs the provider nothing, and what was mended (a right, an
operator's word, another credential's login) is seen nowhere else."""

LEAST_PAUSE_S = 5.0
"""Between two looks at what was put off, however little time its access token has left."""

URGENT_S = 300.0
"""Until all credentials were looked at once, only those are rotated whose access tokens end within so long: before
that it is not known which of them share a grant."""

PUT_OFF_S = 5.0
"""How often those that wait for the first look of all are asked whether they can wait on."""

FOREVER_S = 366 * 86_400.0


@dataclass(slots=True)
class Watched:
    """A credential of the fleet.

    Args:
        version: Of the document that was seen last; empty before the first look.
        busy: A job for it waits or runs.
    """

    credential: Credential
    version: str = ""
    lane: str = ""
    deadline: datetime | None = None
    busy: bool = False


@dataclass(slots=True)
class Fleet:
    """For one thread.

    Args:
        pause_s: Between two looks at what says nothing about when to come again.
        quotas: By store, the key and pace of the budget for its writes, where it has one.
        parts: Among how many shards the budgets are shared: this one plans with its part, or it would begin too late.
        board: Where others look at what is known, if anybody does: it takes some memory for each credential.
    """

    clock: Clock
    budget: Budget
    pause_s: float
    quotas: Mapping[str, tuple[str, Pace]] = field(default_factory=dict)
    parts: int = 1
    board: Board | None = None
    agenda: Agenda = field(default_factory=Agenda)
    grants: GrantIndex = field(default_factory=GrantIndex)
    watched: dict[str, Watched] = field(default_factory=dict)
    _unseen: set[str] = field(default_factory=set)
    _put_off: list[Taken] = field(default_factory=list)
    _put_off_until: datetime | None = None

    def __len__(self) -> int:
        return len(self.watched)

    @property
    def unseen(self) -> int:
        """How many credentials were not looked at yet, not even in vain."""
        return len(self._unseen)

    def change(self, credentials: Iterable[Credential]) -> list[Credential]:
        """Watch these credentials and no others; return those that have to be looked at.

        One that is configured as before keeps its place.
        """
        before, self.watched = self.watched, {}
        new = []
        for credential in credentials:
            known = before.pop(credential.name, None)
            if known is not None and known.credential == credential:
                known.credential = credential  # its sources of secrets are the new configuration's
                self.watched[credential.name] = known
                if credential.name not in self._unseen and not (self.board and self.board.watch(credential)):
                    continue
            else:
                self.watched[credential.name] = Watched(credential)
                self.agenda.forget(credential.name)
                self._unseen.add(credential.name)
                if self.board:
                    self.board.watch(credential)
            new.append(credential)
        for name in before:
            self.agenda.forget(name)
            self.grants.forget(name)
            self._unseen.discard(name)
            if self.board:
                self.board.forget(name)
        return new

    def of_store(self, store: str) -> list[tuple[Credential, str]]:
        """Return the store's credentials that no job is about, with their versions. Callable from any thread."""
        return [
            (one.credential, one.version)
            for one in list(self.watched.values())
            if one.credential.store == store and not one.busy
        ]

    # ---------------------------------------------------------------------------------------------- what is seen

    def place(self, seen: Sight | Unseen) -> None:
        """Take over what a look found; one that could not be read is looked at by a job, which tells why."""
        name = seen.credential.name
        watched = self.watched.get(name)
        self._unseen.discard(name)
        if watched is None or watched.credential is not seen.credential or watched.busy:
            return  # gone or changed meanwhile, or a job is about to tell something newer
        now = self.clock.now()
        if isinstance(seen, Unseen):
            self._plan(watched, now, None)
            return
        watched.version, watched.lane, watched.deadline = seen.version, seen.lane, seen.deadline
        self.grants.enter(name, seen.newest, seen.spent)
        self.budget.learn(seen.lane, seen.credential.provider.rate_limit)
        self._plan(watched, seen.look_at or now, seen.refresh_at)
        if self.board:
            self.board.lanes[seen.lane] = seen.credential.provider.name
            self.board.seen(seen)

    def jobs(self) -> list[Job]:
        """Return the jobs that are due."""
        now = self.clock.now()
        due = self.agenda.take_due(now)
        if not self._unseen or self._put_off_until is None or now >= self._put_off_until:
            due, self._put_off = self._put_off + due, []
            self._put_off_until = now + timedelta(seconds=PUT_OFF_S)
        jobs = []
        for taken in due:
            name, start_at, at = taken
            watched = self.watched.get(name)
            if watched is None or watched.busy:
                continue
            if self._unseen and not self._urgent(watched, now):
                self._put_off.append(taken)
                continue
            watched.busy = True
            jobs.append(
                Job(
                    watched.credential,
                    deadline=watched.deadline,
                    start_at=start_at,
                    version=watched.version,
                    shared_with=self.grants.sharer(name),
                    due_at=datetime.fromtimestamp(at, UTC),
                )
            )
        return jobs

    def abandoned(self, job: Job) -> None:
        """Plan a job anew that was queued and did not begin."""
        watched = self.watched.get(job.credential.name)
        if watched is not None:
            watched.busy = False
            self._plan(watched, self.clock.now(), None)

    def next_at(self) -> datetime | None:
        """Return when `jobs` has something next; None when nothing is planned."""
        return min(filter(None, (self.agenda.next_at(), self._put_off_until if self._put_off else None)), default=None)

    def _urgent(self, watched: Watched, now: datetime) -> bool:
        return watched.deadline is not None and watched.deadline - now < timedelta(seconds=URGENT_S)

    # ---------------------------------------------------------------------------------------------- what was done

    def done(self, job: Job, outcome: Outcome) -> None:
        """Plan the next look after a job."""
        watched = self.watched.get(job.credential.name)
        if watched is None:
            return
        watched.busy = False
        if watched.credential is not job.credential:
            self._plan(watched, self.clock.now(), None)  # changed by a reload meanwhile: look at it anew
            return
        watched.version = job.version or watched.version
        if job.key:
            watched.lane = job.key
            self.budget.learn(job.key, job.credential.provider.rate_limit)
            pace = self.budget.pace(job.key)
            if pace is not None:
                self.agenda.pace(job.key, self.parts * pace.interval_s)
        refresh_at = None
        match outcome:
            case outcomes.Rotated(expires_at=expires_at, version=version, next_at=next_at, digest=digest):
                watched.version, watched.deadline = version, expires_at
                self.grants.rotated(job.credential.name, digest)
                at = next_at or self._in(self.pause_s)
                refresh_at = next_at
            case outcomes.Fresh(until=until, expires_at=expires_at):
                watched.deadline = expires_at
                # What its budget wanted to start now and cannot start yet leaves the others their turns.
                at, refresh_at = until, None if job.start_at else until
            case outcomes.Deferred(retry_at=retry_at):
                at = self._while_it_lasts(watched, retry_at or self._in(self.pause_s))
            case outcomes.Failed(retry_at=retry_at):
                at = retry_at or self._in(PERSON_S)
            case _:
                assert_never(outcome)
        self._plan(watched, at, refresh_at)
        if self.board:
            if job.key:
                self.board.lanes[job.key] = job.credential.provider.name
            self.board.done(job.credential, outcome, at, now=self.clock.now())
            if job.begun_at and job.due_at:
                self.board.lag((job.begun_at - job.due_at).total_seconds())

    def _while_it_lasts(self, watched: Watched, at: datetime) -> datetime:
        """Return `at`, or half of the time that the access token has left, if that is sooner.

        A store that was away for some seconds just when a refresh fell due must not cost the token: the usual pause is
        as long as the least margin. Looking costs reads only; whether anything may be sent is decided then.
        """
        now = self.clock.now()
        if watched.deadline is None or watched.deadline <= now:
            return at
        return min(at, now + max(timedelta(seconds=LEAST_PAUSE_S), (watched.deadline - now) / 2))

    def _plan(self, watched: Watched, at: datetime, refresh_at: datetime | None) -> None:
        """Plan the next look; a refresh that is known to come takes part in its budgets."""
        name = watched.credential.name
        at = min(max(at, self.clock.now()), self._in(FOREVER_S))
        planned = Planned(name, refresh_at, watched.deadline) if refresh_at and watched.deadline else None
        budgets = {}
        pace, quota = self.budget.pace(watched.lane), self.quotas.get(watched.credential.store)
        if pace:
            budgets[watched.lane] = self.parts * pace.interval_s
        if quota:
            budgets[quota[0]] = self.parts * quota[1].interval_s
        self.agenda.plan(name, at, planned=planned, budgets=budgets)

    def _in(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)
