"""One pass over credentials: look at each, refresh what is due, tell what became of it."""

from __future__ import annotations

import contextlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from rotator import outcomes, policy
from rotator.addresses import normal
from rotator.bell import Bell, Stop
from rotator.dispatch import Dispatcher
from rotator.documents import stored_tokens
from rotator.errors import Defect, RotatorError
from rotator.grants import GrantIndex
from rotator.job import Job
from rotator.model import Malformed
from rotator.observe import Observed, ProviderReads
from rotator.progress import many, unwatched
from rotator.rotation import GOOD_FOR_S
from rotator.schedule import Planned, latest_starts, timing

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from datetime import datetime

    from rotator.budget import Budget
    from rotator.limits import Pace
    from rotator.model import Credential
    from rotator.observe import Observer
    from rotator.outcomes import Outcome
    from rotator.ports import Clock
    from rotator.progress import Progress
    from rotator.rotation import Rotation

LISTEN_S = 1.0
"""How long a pass waits at most before it looks whether it is to stop."""


BULK_FROM = 8
"""Fewer credentials than these are read singly: a rotation then begins with what was read, without reading again."""

MOST_TOGETHER = 100


class Watcher(Protocol):
    """Follows one pass, in its thread. Raises nothing."""

    def seen(self, credential: Credential, observed: Observed | RotatorError) -> None:
        """Take over what was read of a credential, or why it could not be read."""
        ...

    def done(self, outcome: Outcome) -> None:
        """Take over what became of one."""
        ...


@dataclass(frozen=True, slots=True)
class Watchers:
    """Several watchers as one."""

    members: Sequence[Watcher] = ()

    def seen(self, credential: Credential, observed: Observed | RotatorError) -> None:
        """See `Watcher.seen`."""
        for member in self.members:
            member.seen(credential, observed)

    def done(self, outcome: Outcome) -> None:
        """See `Watcher.done`."""
        for member in self.members:
            member.done(outcome)


@dataclass(frozen=True, slots=True)
class Passes:
    """Runs passes. One at a time.

    Args:
        parts: Among how many shards the budgets are shared.
    """

    observer: Observer
    rotation: Rotation
    budget: Budget
    clock: Clock
    workers: int
    quotas: Mapping[str, tuple[str, Pace]] = field(default_factory=dict)
    parts: int = 1

    def look(
        self,
        credentials: Sequence[Credential],
        *,
        horizon_s: float = 0.0,
        force: bool = False,
        index: GrantIndex | None = None,
        among: Sequence[Credential] = (),
        progress: Progress = unwatched,
    ) -> list[tuple[Credential, Observed | RotatorError]]:
        """Read every credential, in parallel, and find those that share a grant. Spends nothing, writes nothing.

        Args:
            index: What was read of other credentials before; entered into. A fresh one if None.
            among: Others that are not asked for. Those of the same providers are read as well, only to see whether one
                of them shares a grant with one that is.
        """
        endpoints = {normal(credential.provider.token_endpoint) for credential in credentials}
        asked = {credential.name for credential in credentials}
        others = [one for one in among if normal(one.provider.token_endpoint) in endpoints and one.name not in asked]
        seen = self._read([*credentials, *others], horizon_s, force=force, progress=progress)
        index = GrantIndex() if index is None else index
        for credential, observed in seen:
            if isinstance(observed, Observed):
                self.budget.learn(observed.provider_key, credential.provider.rate_limit)
                index.add(credential, observed.situation.stored, observed.situation.record)
        return [(credential, _with_sharer(index, observed)) for credential, observed in seen[: len(credentials)]]

    def _read(
        self, credentials: Sequence[Credential], horizon_s: float, *, force: bool, progress: Progress
    ) -> list[tuple[Credential, Observed | RotatorError]]:
        """Read credentials: a few singly, so that they can be acted on at once, many with few calls."""
        providers = ProviderReads(self.observer.cooldowns, self.clock, GOOD_FOR_S)

        def singly(credential: Credential) -> list[Observed | RotatorError]:
            try:
                return [self.observer.observe(credential, horizon_s=horizon_s, force=force)]
            except RotatorError as error:
                return [error]

        def read(several: Sequence[Credential]) -> list[Observed | RotatorError]:
            try:
                if len(several) == 1:
                    return singly(several[0])
                return self.observer.observe_many(several, providers, horizon_s=horizon_s, force=force)
            except Exception as error:  # noqa: BLE001 - a defect in the work on one must not stop the work on the others
                return [Defect.of(error)] * len(several)

        chunks = list(self._chunks(credentials, singly=len(credentials) < BULK_FROM))
        doing, count = f"reading {many(len(credentials), 'credential')}", len(credentials)
        progress(doing, 0, count)
        found: dict[str, Observed | RotatorError] = {}
        with ThreadPoolExecutor(self.workers, thread_name_prefix="look") as pool:
            for chunk, results in zip(chunks, pool.map(read, chunks), strict=True):
                found |= {one.name: observed for one, observed in zip(chunk, results, strict=True)}
                progress(doing, len(found), count)
        return [(credential, found[credential.name]) for credential in credentials]

    def _chunks(self, credentials: Sequence[Credential], *, singly: bool) -> Iterator[list[Credential]]:
        """Cut into what one call of each store, or of the state, reads."""
        by_store: dict[str, list[Credential]] = {}
        for credential in credentials:
            by_store.setdefault(credential.store, []).append(credential)
        for store, members in by_store.items():
            yield from cut(members, 1 if singly else self._chunk(store, len(members)))

    def _chunk(self, store: str, count: int) -> int:
        """Return how many to read together: whole calls of the store, and no thread idle while another has several."""
        batch = self.observer.stores[store].batch
        share = math.ceil(count / self.workers / batch) * batch
        return min(share, chunk_of(self.observer, store))

    def run(
        self,
        credentials: Sequence[Credential],
        *,
        horizon_s: float,
        force: bool = False,
        stop: Stop | None = None,
        until: datetime | None = None,
        answers_by: datetime | None = None,
        among: Sequence[Credential] = (),
        compared: Mapping[str, str] | None = None,
        seen: Callable[[Credential, Observed | RotatorError], None] = lambda _, __: None,
        tell: Callable[[Outcome], None] = lambda _: None,
        progress: Progress = unwatched,
    ) -> list[Outcome]:
        """Make one pass.

        Args:
            stop: When wanted, nothing new is started; what is in flight is finished.
            until: Nothing new is started, and no request leaves, after this instant; what is left is deferred.
            answers_by: No request leaves whose answer may come after this instant, for then the process ends.
            among: As for `look`.
            compared: By credential, the version of its document that was compared with those of all others already;
                another one is left to who compares (`changed`).
            seen: Called with each credential that is asked for, and what was read of it or why it could not be.
            tell: Called with each outcome as it comes.
        """
        results: list[Outcome] = []

        def done(outcome: Outcome) -> None:
            results.append(outcome)
            tell(outcome)

        def latest(credential: Credential) -> datetime | None:
            by = answers_by - timedelta(seconds=credential.provider.timeout_s) if answers_by else None
            return min(filter(None, (until, by)), default=None)

        ends = max(filter(None, map(latest, credentials)), default=None)
        stop = stop or Stop()
        pinned = compared or {}
        index = GrantIndex()
        bell = Bell()
        with contextlib.closing(bell), ThreadPoolExecutor(self.workers, thread_name_prefix="rotate") as pool:
            dispatcher = Dispatcher(
                self.rotation,
                self.observer,
                self.budget,
                self.clock,
                pool,
                bell.ring,
                workers=self.workers,
                latest=latest,
                quotas=self.quotas,
                judge=index.judged,
            )
            looked = self.look(
                credentials, horizon_s=horizon_s, force=force, among=among, index=index, progress=progress
            )
            for credential, observed in self._started_early(looked):
                seen(credential, observed)
                outcome = _changed(observed, pinned) or self._begin(dispatcher, credential, observed, pinned)
                if outcome:
                    done(outcome)
            settled = len(results)
            while not dispatcher.idle:
                jobs = len(looked) - settled
                progress(f"rotating {many(jobs, 'credential')}", len(results) - settled, jobs)
                over = stop.wanted or (ends is not None and self.clock.now() > ends)
                opens = None if over else dispatcher.pump()
                if over:
                    for job in dispatcher.abandon():
                        done(outcomes.Deferred(job.credential.name, "no_time_left", None))
                else:
                    for job, at in dispatcher.abandon_too_late():
                        done(outcomes.Deferred(job.credential.name, "no_time_left", at))
                self._wait(dispatcher, bell, opens)
                for _, outcome in dispatcher.finished():
                    done(outcome)
        self.observer.cooldowns.flush()  # the process may end now, and its memory with it
        return results

    def until_in(self, seconds: float) -> datetime:
        """Return the instant `seconds` from now."""
        return self.clock.now() + timedelta(seconds=seconds)

    def _started_early(
        self, seen: list[tuple[Credential, Observed | RotatorError]]
    ) -> list[tuple[Credential, Observed | RotatorError]]:
        """Note with each credential of a limited budget when it has to start so that all keep their deadlines."""
        lanes: dict[str, list[Planned]] = {}
        for _, observed in seen:
            if isinstance(observed, Observed) and self.budget.pace(observed.provider_key):
                planned = planned_of(observed)
                if planned:
                    lanes.setdefault(observed.provider_key, []).append(planned)
        starts: dict[str, datetime] = {}
        for key, members in lanes.items():
            pace = self.budget.pace(key)
            if pace:
                starts |= latest_starts(members, self.parts * pace.interval_s)
        return [
            (
                credential,
                replace(observed, situation=replace(observed.situation, start_at=starts[credential.name]))
                if isinstance(observed, Observed) and credential.name in starts
                else observed,
            )
            for credential, observed in seen
        ]

    @staticmethod
    def _begin(
        dispatcher: Dispatcher, credential: Credential, observed: Observed | RotatorError, pinned: Container[str]
    ) -> Outcome | None:
        """Queue what asks for an action; return the outcome of what asks for none."""
        if isinstance(observed, RotatorError):
            return outcomes.of_error(credential.name, observed)
        situation = observed.situation
        decision = policy.decide(situation)
        if not policy.asks_for_action(decision):
            return outcomes.of_decision(credential.name, decision)
        dispatcher.add(
            Job(
                credential,
                deadline=decision.deadline if isinstance(decision, policy.Due) else None,
                observed=observed,
                force=situation.force,
                horizon_s=situation.horizon_s,
                start_at=situation.start_at,
                version=situation.stored.version,
                pinned=credential.name in pinned,
                shared_with=situation.shared_with,
            )
        )
        return None

    def _wait(self, dispatcher: Dispatcher, bell: Bell, opens: datetime | None) -> None:
        """Wait for a job to finish or for the next slot; never so long that a wish to stop goes unheard."""
        left_s = LISTEN_S if opens is None else max(0.0, (opens - self.clock.now()).total_seconds())
        if dispatcher.running:
            bell.wait(min(left_s, LISTEN_S))
        elif dispatcher.waiting:
            self.clock.sleep(min(left_s, LISTEN_S))


def planned_of(observed: Observed) -> Planned | None:
    """Return when an observed credential falls due and ends, if both are known."""
    credential = observed.situation.credential
    tokens = stored_tokens(observed.situation.stored, credential.provider)
    if isinstance(tokens, Malformed):
        return None
    when = timing(credential, tokens)
    if when.due_at is None or when.expires_at is None:
        return None
    return Planned(credential.name, when.due_at, when.expires_at)


def chunk_of(observer: Observer, store: str) -> int:
    """Return how many credentials of a store are best read together: as many as the state reads with one call.

    One by one where the store has no bulk read: together they would only wait for each other.
    """
    batch = observer.stores[store].batch
    return batch if batch == 1 else max(batch, min(observer.state.batch, MOST_TOGETHER))


def cut(credentials: Sequence[Credential], size: int) -> Iterator[list[Credential]]:
    """Cut into lists of at most `size`."""
    for begin in range(0, len(credentials), size):
        yield list(credentials[begin : begin + size])


def _changed(observed: Observed | RotatorError, compared: Mapping[str, str]) -> Outcome | None:
    """Return that a document is not the one that was compared, if that is so."""
    if isinstance(observed, RotatorError):
        return None
    name, version = observed.situation.credential.name, observed.situation.stored.version
    if compared.get(name, version) == version:
        return None
    return outcomes.changed(name)


def _with_sharer(index: GrantIndex, observed: Observed | RotatorError) -> Observed | RotatorError:
    return observed if isinstance(observed, RotatorError) else index.marked(observed)
