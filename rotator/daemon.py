"""`rotator run`: one ticking loop over an agenda that can be rebuilt from the stores at any time.

APScheduler rings the bell, and nothing else: whether its jobs are late, merged or lost, the loop looks at the agenda
and at the stores and misses nothing. One job per credential was rejected: a late one-shot job is dropped for good.
"""

from __future__ import annotations

import contextlib
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_never

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from rotator import outcomes, policy
from rotator.agenda import Agenda
from rotator.bell import Bell
from rotator.clocks import SystemClock
from rotator.dispatch import Dispatcher, Job
from rotator.errors import RotatorError
from rotator.grants import GrantIndex
from rotator.observe import Observed
from rotator.passes import planned_of
from rotator.schedule import Planned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rotator.model import Credential
    from rotator.outcomes import Outcome
    from rotator.wiring import App

CHANGE_CHECK_S = 180.0
"""How often versions are listed to notice what a person put. A listing of versions costs no read of a value."""

PERSON_S = 300.0
"""When to look again at what a person has to mend: a read costs the provider nothing, and what was mended (a right, an
operator's word, another credential's login) is seen nowhere else."""

LEAST_PAUSE_S = 5.0
"""Between two looks at what was put off, however little time its access token has left."""

LONGEST_SLEEP_S = 37.0
"""The bell rings at least so often, so that a suspended machine or a clock that jumped is noticed. A prime: it does
not fall into step with other minutely work."""

RINGS = 1_000
"""How many rings may be on their way at once. With the scheduler's one, a ring due while the last one has not quite
ended is dropped, and the loop sleeps on to its longest."""

FOREVER_S = 366 * 86_400.0


@contextlib.contextmanager
def scheduling() -> Iterator[BackgroundScheduler]:
    """Run APScheduler's thread for the length of the block."""
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.start()
    try:
        yield scheduler
    finally:
        # Waits for a ring under way: one that a shutdown overtakes ends in a traceback about a job it cannot find.
        scheduler.remove_all_jobs()
        scheduler.shutdown(wait=False)


@dataclass(slots=True)
class Watched:
    """What the daemon remembers of a credential: enough to place it, nothing that the stores do not know better."""

    credential: Credential
    version: str = ""
    lane: str = ""
    deadline: datetime | None = None
    busy: bool = False


@dataclass(slots=True)
class Daemon:
    """The loop. To be run in one thread; workers and the bell are others.

    Args:
        app: The parts.
        reload: Called on SIGHUP; returns new parts, or raises ConfigError and the old ones stay.
        tell: Called with every outcome.
        note: Called with a short text and facts, for the operational log.
        change_check_s: How often versions are listed.
    """

    app: App
    reload: Callable[[], App]
    tell: Callable[[Outcome], None]
    note: Callable[..., Any]
    change_check_s: float = CHANGE_CHECK_S
    _bell: Bell = field(default_factory=Bell)
    _stopping: bool = False
    _reloading: bool = False
    _agenda: Agenda = field(default_factory=Agenda)
    _watched: dict[str, Watched] = field(default_factory=dict)
    _grants: GrantIndex = field(default_factory=GrantIndex)

    def stop(self) -> None:
        """Start nothing new, finish what is in flight, and let `run` return. Callable from a signal handler."""
        self._stopping = True
        self._bell.ring()

    def request_reload(self) -> None:
        """Reload the configuration before the next step. Callable from a signal handler."""
        self._reloading = True
        self._bell.ring()

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT stop, SIGHUP reloads. To be called in the main thread."""
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        signal.signal(signal.SIGINT, lambda *_: self.stop())
        signal.signal(signal.SIGHUP, lambda *_: self.request_reload())

    def run(self) -> None:
        """Run until stopped."""
        with scheduling() as scheduler:
            self._loop(scheduler)

    # ---------------------------------------------------------------------------------------------- the loop

    def _loop(self, scheduler: BackgroundScheduler) -> None:
        with contextlib.ExitStack() as pools:
            dispatcher = self._dispatcher(pools)
            self._look_at(self.app.credentials)
            next_check = self._in(self.change_check_s)
            self._log("running", credentials=len(self._watched))
            while True:
                if self._reloading:
                    dispatcher = self._reloaded(dispatcher, pools)
                for job, outcome in dispatcher.finished():
                    self._done(job, outcome)
                if self._stopping:
                    dispatcher.abandon()
                    if not dispatcher.running:
                        self.app.observer.cooldowns.flush()
                        return
                    self._bell.wait(LONGEST_SLEEP_S)
                    continue
                if self.app.surroundings.clock.now() >= next_check:
                    self._check_changes()
                    next_check = self._in(self.change_check_s)
                self._queue_due(dispatcher)
                opens = dispatcher.pump()
                ring_at = min(filter(None, (opens, next_check, self._agenda.next_at())))
                self._ring_at(scheduler, ring_at)
                self._bell.wait(LONGEST_SLEEP_S)

    def _ring_at(self, scheduler: BackgroundScheduler, at: datetime) -> None:
        """Ask for the bell at an instant of our clock; the scheduler goes by the machine's.

        The wait ends by itself should the bell be lost.
        """
        left = at - self.app.surroundings.clock.now()
        if left <= timedelta(0):
            self._bell.ring()
            return
        scheduler.add_job(
            self._bell.ring,
            DateTrigger(run_date=SystemClock().now() + left, timezone="UTC"),
            id="bell",
            replace_existing=True,
            misfire_grace_time=None,
            coalesce=True,
            max_instances=RINGS,
        )

    def _dispatcher(self, pools: contextlib.ExitStack) -> Dispatcher:
        app = self.app
        pool = pools.enter_context(ThreadPoolExecutor(app.settings.workers, thread_name_prefix="rotate"))
        return Dispatcher(
            app.rotation,
            app.observer,
            app.budget,
            app.surroundings.clock,
            pool,
            self._bell.ring,
            workers=app.settings.workers,
            judge=self._judged,
        )

    def _judged(self, observed: Observed) -> Observed:
        return self._grants.judged(observed)  # a reload begins a new index

    def _queue_due(self, dispatcher: Dispatcher) -> None:
        for name, start_at in self._agenda.take_due(self.app.surroundings.clock.now()):
            watched = self._watched[name]
            watched.busy = True
            sharer = self._grants.sharer(name)
            dispatcher.add(
                Job(
                    watched.credential,
                    deadline=watched.deadline,
                    start_at=start_at,
                    version=watched.version,
                    shared_with=sharer,
                )
            )

    def _done(self, job: Job, outcome: Outcome) -> None:
        """Tell an outcome and plan the next look."""
        with contextlib.suppress(OSError, ValueError):  # a closed stderr must not end the daemon
            self.tell(outcome)
        watched = self._watched.get(job.credential.name)
        if watched is None or watched.credential is not job.credential:
            return  # gone, or changed by a reload meanwhile
        watched.busy = False
        refresh_at = None
        match outcome:
            case outcomes.Rotated(expires_at=expires_at, version=version, next_at=next_at, digest=digest):
                watched.version, watched.deadline = version, expires_at
                self._grants.rotated(job.credential.name, digest)
                at = next_at or self._in(self.app.surroundings.pause_s)
                refresh_at = next_at
            case outcomes.Fresh(until=until):
                # What its budget wanted to start now and cannot start yet leaves the others their turns.
                at, refresh_at = until, None if job.start_at else until
            case outcomes.Deferred(retry_at=retry_at):
                at = self._while_it_lasts(watched, retry_at or self._in(self.app.surroundings.pause_s))
            case outcomes.Failed(retry_at=retry_at):
                at = retry_at or self._in(PERSON_S)
            case _:
                assert_never(outcome)
        self._plan(watched, at, refresh_at)

    def _while_it_lasts(self, watched: Watched, at: datetime) -> datetime:
        """Return `at`, or half of the time that the access token has left, if that is sooner.

        A store that was away for some seconds just when a refresh fell due must not cost the token: the usual pause is
        as long as the least margin. Looking costs reads only; whether anything may be sent is decided then.
        """
        now = self.app.surroundings.clock.now()
        if watched.deadline is None or watched.deadline <= now:
            return at
        return min(at, now + max(timedelta(seconds=LEAST_PAUSE_S), (watched.deadline - now) / 2))

    # ------------------------------------------------------------------------------------- what is watched

    def _look_at(self, credentials: Iterable[Credential]) -> None:
        """Read credentials and plan them; one that cannot be read is looked at again soon.

        In slices, so that a wish to stop is heard between them.
        """
        waiting = list(credentials)
        slice_ = 4 * self.app.settings.workers
        for begin in range(0, len(waiting), slice_):
            if self._stopping:
                return
            for credential, observed in self.app.passes.look(waiting[begin : begin + slice_], index=self._grants):
                self._place(credential, observed)

    def _place(self, credential: Credential, observed: Observed | RotatorError) -> None:
        watched = self._watched.get(credential.name)
        if watched is None or watched.credential is not credential:
            watched = self._watched[credential.name] = Watched(credential)
        at = self.app.surroundings.clock.now()
        refresh_at = None
        if isinstance(observed, Observed):
            situation = observed.situation
            watched.version = situation.stored.version
            watched.lane = observed.provider_key
            planned = planned_of(observed)
            watched.deadline = planned.deadline if planned else None
            decision = policy.decide(situation)
            if isinstance(decision, policy.Fresh):
                at = refresh_at = decision.until
        self._plan(watched, at, refresh_at)

    def _plan(self, watched: Watched, at: datetime, refresh_at: datetime | None) -> None:
        """Plan the next look; a refresh that is known to come takes part in its provider's budget."""
        name = watched.credential.name
        at = min(max(at, self.app.surroundings.clock.now()), self._in(FOREVER_S))
        planned = Planned(name, refresh_at, watched.deadline) if refresh_at and watched.deadline else None
        pace = self.app.budget.pace(watched.lane)
        budgets = {watched.lane: pace.interval_s} if pace else {}
        self._agenda.plan(name, at, planned=planned, budgets=budgets)

    def _check_changes(self) -> None:
        """List versions, store by store, and look at what changed; a store that fails is asked again next time.

        Also the moment to write pauses that the state did not take: the next look at their provider may be far.
        """
        self.app.observer.cooldowns.flush()
        by_store: dict[str, list[Watched]] = {}
        for watched in self._watched.values():
            by_store.setdefault(watched.credential.store, []).append(watched)
        for store, members in by_store.items():
            try:
                listed = self.app.stores[store].versions([watched.credential.secret for watched in members])
            except RotatorError as error:
                self._log("change check failed", store=store, error=str(error))
                continue
            changed = [
                watched.credential
                for watched in members
                if not watched.busy
                and (seen := listed.get(watched.credential.secret))
                and seen.version != watched.version
            ]
            if changed:
                self._log("changed in the store", credentials=[credential.name for credential in changed])
                self._look_at(changed)

    def _reloaded(self, dispatcher: Dispatcher, pools: contextlib.ExitStack) -> Dispatcher:
        """Take over a new configuration once nothing is in flight; a faulty one changes nothing."""
        self._reloading = False
        try:
            app = self.reload()
        except RotatorError as error:
            self._log("the new configuration is faulty; the old one stays", problems=str(error))
            return dispatcher
        dispatcher.abandon()
        while dispatcher.running:
            self._bell.wait(LONGEST_SLEEP_S)
            for job, outcome in dispatcher.finished():
                self._done(job, outcome)
        self.app.trail.close()
        self.app.observer.cooldowns.flush()
        app.observer.cooldowns.take_over(self.app.observer.cooldowns)
        self.app = app
        self._agenda = Agenda()
        self._watched.clear()
        self._grants = GrantIndex()
        self._look_at(app.credentials)
        self._log("reloaded", credentials=len(self._watched))
        pools.close()  # no thread of it works any more, and the new one may be larger
        return self._dispatcher(pools)

    def _log(self, text: str, **facts: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # a closed stderr must not end the daemon
            self.note(text, **facts)

    def _in(self, seconds: float) -> datetime:
        return self.app.surroundings.clock.now() + timedelta(seconds=seconds)
