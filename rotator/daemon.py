"""`rotator run`: one ticking loop over an agenda that can be rebuilt from the stores at any time.

APScheduler rings the bell, and nothing else: whether its jobs are late, merged or lost, the loop looks at the agenda
and at the stores and misses nothing. One job per credential was rejected: a late one-shot job is dropped for good.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from rotator.bell import Bell
from rotator.clocks import SystemClock
from rotator.discovery import Census, Listing
from rotator.dispatch import Dispatcher
from rotator.errors import RotatorError
from rotator.fleet import Fleet
from rotator.looks import Looks, Swept
from rotator.model import Listed
from rotator.notifying import EVERY_S, Notifying
from rotator.showing import Showing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rotator.job import Job
    from rotator.model import Credential
    from rotator.observe import Observed
    from rotator.outcomes import Outcome
    from rotator.wiring import App

CHANGE_CHECK_S = 180.0
"""How often versions are listed to notice what a person put. A listing of versions costs no read of a value."""

SWEEP_SHARE = 200
LONGEST_CHECK_S = 900.0
"""A listing takes no more than half a hundredth of the time, as long as changes are still noticed every quarter of an
hour: that of 100,000 secrets takes a thousand calls and some seconds of processor time."""

LONGEST_SLEEP_S = 37.0
"""The bell rings at least so often, so that a suspended machine or a clock that jumped is noticed. A prime: it does
not fall into step with other minutely work."""

RINGS = 1_000
"""How many rings may be on their way at once. With the scheduler's one, a ring due while the last one has not quite
ended is dropped, and the loop sleeps on to its longest."""

SOON_S = 0.5
"""Sooner than this the loop waits by itself: a job of the scheduler costs more than the wait."""

MOST_NOTES = 10
"""Of one listing: what is wrong with a label is wrong with all that carry it."""

PROGRESS_S = 5.0
"""How often a long start says how far it is."""


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
class Daemon:
    """The loop. To be run in one thread; workers and the bell are others.

    Args:
        app: The parts.
        reload: Called on SIGHUP; returns new parts, or raises ConfigError and the old ones stay.
        tell: Called with every outcome.
        note: Called with a short text and facts, for the operational log.
        change_check_s: How often versions are listed.
        notify_every_s: How often it is looked whether somebody is to be told of something.
    """

    app: App
    reload: Callable[[], App]
    tell: Callable[[Outcome], None]
    note: Callable[..., Any]
    change_check_s: float = CHANGE_CHECK_S
    notify_every_s: float = EVERY_S
    _bell: Bell = field(default_factory=Bell)
    _stopping: bool = False
    _reloading: bool = False
    _fleet: Fleet = field(init=False)
    _looks: Looks = field(init=False)
    _checks: dict[str, datetime] = field(default_factory=dict)
    _telling_at: datetime | None = None
    _census: Census | None = None
    _unconfirmed: set[str] = field(default_factory=set)
    _showing: Showing = field(init=False)
    _notifying: Notifying = field(init=False)

    def __post_init__(self) -> None:
        surroundings = self.app.surroundings
        parts = self.app.shard.of
        self._fleet = Fleet(surroundings.clock, self.app.budget, surroundings.pause_s, self.app.quotas, parts)
        self._looks = Looks(self.app.observer, self._bell.ring)
        self._showing = Showing(self._log)
        self._notifying = Notifying(self._log, self.notify_every_s)

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
        try:
            self._listen()
            with scheduling() as scheduler:
                self._loop(scheduler)
        finally:
            self._showing.close()
            self._notifying.close()

    # ---------------------------------------------------------------------------------------------- the loop

    def _loop(self, scheduler: BackgroundScheduler) -> None:
        with contextlib.ExitStack() as pools:
            dispatcher = self._dispatcher(pools)
            self._begin(self.change_check_s)
            while True:
                if self._reloading:
                    dispatcher = self._reloaded(dispatcher, pools)
                self._turned()
                for job, outcome in dispatcher.finished():
                    self._done(job, outcome)
                if self._stopping:
                    self._looks.begin_no_more()
                    dispatcher.abandon()
                    if not dispatcher.running:
                        self._stop_looks()
                        self.app.observer.cooldowns.flush()
                        return
                    self._bell.wait(LONGEST_SLEEP_S)
                    continue
                self._see()
                self._check_changes()
                for job in self._fleet.jobs():
                    dispatcher.add(job)
                opens = dispatcher.pump()
                ring_at = min(filter(None, (opens, *self._checks.values(), self._fleet.next_at())), default=None)
                self._wait_until(scheduler, ring_at)

    def _wait_until(self, scheduler: BackgroundScheduler, at: datetime | None) -> None:
        """Wait for the bell, which rings at an instant of our clock at the latest."""
        left_s = (at - self.app.surroundings.clock.now()).total_seconds() if at else LONGEST_SLEEP_S
        if at and left_s >= SOON_S:
            self._ring_at(scheduler, at)
            left_s = LONGEST_SLEEP_S  # should the ring be lost
        self._bell.wait(left_s)

    def _ring_at(self, scheduler: BackgroundScheduler, at: datetime) -> None:
        """Ask for the bell at an instant of our clock; the scheduler goes by the machine's."""
        left = at - self.app.surroundings.clock.now()
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
            quotas=app.quotas,
            judge=self._judged,
        )

    def _judged(self, observed: Observed) -> Observed:
        return self._fleet.grants.judged(observed)

    # ------------------------------------------------------------------------------------- what is watched

    def _begin(self, check_s: float) -> None:
        """Look at what is new in the configuration; at what is not, if it changed, after so many seconds."""
        self._unconfirmed = {rule.name for rule in self.app.rules}
        before = self._census.found if self._census else {}
        known = {name: found for name, found in before.items() if name in self._unconfirmed}
        self._census = Census(self.app.credentials, known)
        self._watch()
        self._checks = dict.fromkeys({one.store for one in self.app.credentials}, self._in(check_s))
        self._checks |= dict.fromkeys(self._unconfirmed, self._in(0.0))
        if self._fleet.board:
            self._fleet.board.keep_listed(self._checks)
        self._telling_at = self._in(PROGRESS_S)

    def _watch(self, listing: Mapping[str, Listed] | None = None) -> None:
        """Watch what is configured and what was found; look at what is new."""
        found = [one for one in self._census.credentials if self.app.shard.holds(one)] if self._census else []
        self._looks.look(self._fleet.change([*self.app.credentials, *found]), listed=True, listing=listing)

    def _see(self) -> None:
        """Take over what was looked at, and say how far the first look is."""
        for found in self._looks.found():
            if isinstance(found, Swept):
                self._swept(found)
            elif isinstance(found, Listing):
                self._listed(found)
            else:
                self._fleet.place(found)
        if self._fleet.board:
            self._fleet.board.starting = bool(self._fleet.unseen or self._unconfirmed)
        if self._telling_at is None:
            return
        if not (self._fleet.unseen or self._unconfirmed):
            self._telling_at = None
            self._log("running", credentials=len(self._fleet))
        elif self.app.surroundings.clock.now() >= self._telling_at:
            self._telling_at = self._in(PROGRESS_S)
            self._log("starting", credentials=len(self._fleet), not_yet_read=self._fleet.unseen)

    def _check_changes(self) -> None:
        """List versions, store by store, in the background; a store that fails is asked again next time.

        Also the moment to write pauses that the state did not take: the next look at their provider may be far.
        """
        now = self.app.surroundings.clock.now()
        rules = {rule.name: rule for rule in self.app.rules}
        for name, at in list(self._checks.items()):
            if at > now:
                continue
            if self._fleet.unseen and name not in self._unconfirmed:
                self._checks[name] = self._in(self.change_check_s)  # it is being read anyway
                continue
            del self._checks[name]  # until the listing is there
            self.app.observer.cooldowns.flush()
            if name in rules:
                self._looks.discover(rules[name], partial(self._fleet.of_store, rules[name].store))
            else:
                self._looks.sweep(name, partial(self._configured_in, name))

    def _configured_in(self, store: str) -> list[tuple[Credential, str]]:
        """Return what no rule's listing goes through."""
        names = {credential.name for credential in self.app.credentials}
        return [pair for pair in self._fleet.of_store(store) if pair[0].name in names]

    def _listed(self, listing: Listing) -> None:
        """Take over what a rule found; the first time after a start or a reload it is what a person means."""
        if self._census is None or listing.rule not in self.app.rules:
            return  # asked before a reload
        if self._fleet.board:
            self._fleet.board.listed(listing.rule.name, listing.error)
        confirmed = listing.rule.name in self._unconfirmed
        if listing.found is not None:
            self._unconfirmed.discard(listing.rule.name)
        changed, notes = self._census.take(listing, confirmed=confirmed)
        for note in notes[:MOST_NOTES]:
            self._log("discovery", problem=note)
        if changed:
            shown = listing.found or {}
            self._watch({name: Listed(one.identity, one.version) for name, one in shown.items() if one.version})
            self._log("discovered", rule=listing.rule.name, credentials=len(self._fleet))

    def _swept(self, swept: Swept) -> None:
        pause_s = min(LONGEST_CHECK_S, max(self.change_check_s, SWEEP_SHARE * swept.took_s))
        self._checks[swept.name] = self._in(pause_s)
        if swept.error is not None:
            self._log("change check failed", store=swept.name, error=str(swept.error))
        if self._fleet.board and swept.name not in {rule.name for rule in self.app.rules}:
            self._fleet.board.listed(swept.name, swept.error)
        if swept.changed:
            self._log("changed in the store", credentials=[credential.name for credential in swept.changed])
            self._looks.look(swept.changed)

    def _reloaded(self, dispatcher: Dispatcher, pools: contextlib.ExitStack) -> Dispatcher:
        """Take over a new configuration once nothing is in flight; a faulty one changes nothing."""
        self._reloading = False
        try:
            app = self.reload()
        except RotatorError as error:
            self._log("the new configuration is faulty; the old one stays", problems=str(error))
            return dispatcher
        while True:
            for job, outcome in dispatcher.finished():
                self._done(job, outcome)
            for job in dispatcher.abandon():  # each time: one that was looked at meanwhile waits for its turn again
                self._fleet.abandoned(job)
            if not dispatcher.running:
                break
            self._turned()
            self._bell.wait(LONGEST_SLEEP_S)
        self._stop_looks()
        self.app.trail.close()
        self.app.observer.cooldowns.flush()
        app.observer.cooldowns.take_over(self.app.observer.cooldowns)
        self.app = app
        self._fleet.budget, self._fleet.quotas = app.budget, app.quotas
        self._looks = Looks(app.observer, self._bell.ring)
        try:
            self._listen()
        except RotatorError as error:
            self._log("nothing is listened at", problems=str(error))
        self._begin(0.0)  # who reloads has changed something, perhaps not in the file alone
        self._log("reloaded", credentials=len(self._fleet))
        pools.close()  # no thread of it works any more, and the new one may be larger
        return self._dispatcher(pools)

    # ------------------------------------------------------------------------------------------- what is shown

    def _listen(self) -> None:
        """Listen where the configuration says.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        try:
            self._showing.follow(self.app, self._cooldowns)
        finally:
            self._fleet.board = self._showing.board
            self._notifying.follow(self.app, self._showing.board)

    def _cooldowns(self) -> Mapping[str, datetime]:
        return self.app.observer.cooldowns.all_known()  # of the parts as they are then

    def _turned(self) -> None:
        """Note that the loop lives: who takes it for hanging may kill the only holder of tokens."""
        if self._fleet.board:
            self._fleet.board.turned(self.app.surroundings.clock.monotonic_s())

    def _stop_looks(self) -> None:
        """Wait for what is being read, which takes as long as its store lets it."""
        ending = threading.Thread(target=self._looks.stop, name="stop-looks")
        ending.start()
        while ending.is_alive():
            ending.join(LONGEST_SLEEP_S)
            self._turned()

    def _done(self, job: Job, outcome: Outcome) -> None:
        self._notifying.became(job.credential, outcome)
        with contextlib.suppress(OSError, ValueError):  # a closed stderr must not end the daemon
            self.tell(outcome)
        self._fleet.done(job, outcome)

    def _log(self, text: str, **facts: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.note(text, **facts)

    def _in(self, seconds: float) -> datetime:
        return self.app.surroundings.clock.now() + timedelta(seconds=seconds)
