"""One pass over credentials: look at each, refresh what is due, tell what became of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator import outcomes, policy
from rotator.clocks import new_event
from rotator.dispatch import Dispatcher, Job
from rotator.errors import RotatorError
from rotator.grants import GrantIndex
from rotator.observe import Observed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from rotator.budget import Budget
    from rotator.model import Credential
    from rotator.observe import Observer
    from rotator.outcomes import Outcome
    from rotator.ports import Clock
    from rotator.rotation import Rotation

NEVER = threading.Event()
"""For passes that nothing stops."""


@dataclass(frozen=True, slots=True)
class Passes:
    """Runs passes. One at a time."""

    observer: Observer
    rotation: Rotation
    budget: Budget
    clock: Clock
    workers: int

    def look(
        self,
        credentials: Sequence[Credential],
        *,
        horizon_s: float = 0.0,
        force: bool = False,
        index: GrantIndex | None = None,
    ) -> list[tuple[Credential, Observed | RotatorError]]:
        """Read every credential, in parallel, and find those that share a grant. Spends nothing, writes nothing.

        Args:
            index: What was read of other credentials before; entered into. A fresh one if None.
        """

        def read(credential: Credential) -> Observed | RotatorError:
            try:
                return self.observer.observe(credential, horizon_s=horizon_s, force=force)
            except RotatorError as error:
                return error

        with ThreadPoolExecutor(self.workers, thread_name_prefix="look") as pool:
            seen = list(zip(credentials, pool.map(read, credentials), strict=True))
        index = GrantIndex() if index is None else index
        for credential, observed in seen:
            if isinstance(observed, Observed):
                index.add(credential.name, observed.situation.stored, observed.situation.record)
        return [(credential, _with_sharer(index, observed)) for credential, observed in seen]

    def run(
        self,
        credentials: Sequence[Credential],
        *,
        horizon_s: float,
        force: bool = False,
        stop: threading.Event = NEVER,
        until: datetime | None = None,
        tell: Callable[[Outcome], None] = lambda _: None,
    ) -> list[Outcome]:
        """Make one pass.

        Args:
            stop: When set, nothing new is started; what is in flight is finished.
            until: Nothing new is started after this instant; what is left is deferred.
            tell: Called with each outcome as it comes.
        """
        results: list[Outcome] = []

        def done(outcome: Outcome) -> None:
            results.append(outcome)
            tell(outcome)

        bell = new_event()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="rotate") as pool:
            dispatcher = Dispatcher(
                self.rotation, self.observer, self.budget, self.clock, pool, bell.set, workers=self.workers
            )
            for credential, observed in self.look(credentials, horizon_s=horizon_s, force=force):
                outcome = self._begin(dispatcher, credential, observed)
                if outcome:
                    done(outcome)
            while dispatcher.waiting or dispatcher.running:
                bell.clear()
                opens = dispatcher.pump()
                for _, outcome in dispatcher.finished():
                    done(outcome)
                if stop.is_set() or (until and (opens or self.clock.now()) > until):
                    for job in dispatcher.abandon():
                        done(outcomes.Deferred(job.credential.name, "no_time_left", opens))
                self._wait(dispatcher, bell, opens)
        return results

    def until_in(self, seconds: float) -> datetime:
        """Return the instant `seconds` from now."""
        return self.clock.now() + timedelta(seconds=seconds)

    def _begin(
        self, dispatcher: Dispatcher, credential: Credential, observed: Observed | RotatorError
    ) -> Outcome | None:
        """Queue what asks for an action; return the outcome of what asks for none."""
        if isinstance(observed, RotatorError):
            return outcomes.of_error(credential.name, observed)
        decision = policy.decide(observed.situation)
        if not isinstance(decision, policy.Due | policy.Recover | policy.InDoubt):
            return outcomes.of_decision(credential.name, decision)
        situation = observed.situation
        dispatcher.add(
            Job(
                credential,
                observed.provider_key,
                deadline=decision.deadline if isinstance(decision, policy.Due) else None,
                observed=observed,
                force=situation.force,
                horizon_s=situation.horizon_s,
                shared_with=situation.shared_with,
            )
        )
        return None

    def _wait(self, dispatcher: Dispatcher, bell: threading.Event, opens: datetime | None) -> None:
        """Wait for a job to finish or for the next slot."""
        left_s = None if opens is None else max(0.0, (opens - self.clock.now()).total_seconds())
        if dispatcher.running:
            bell.wait(left_s)
        elif dispatcher.waiting and left_s:
            self.clock.sleep(left_s)


def _with_sharer(index: GrantIndex, observed: Observed | RotatorError) -> Observed | RotatorError:
    return observed if isinstance(observed, RotatorError) else index.marked(observed)
