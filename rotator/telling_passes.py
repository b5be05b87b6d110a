"""How a run that ends tells: once, after its pass, and within a time that is said."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rotator.bounded import bounded
from rotator.sightings import view_of_pass
from rotator.told import Couriers, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rotator.errors import RotatorError
    from rotator.model import Credential
    from rotator.observe import Observed
    from rotator.outcomes import Outcome
    from rotator.wiring import App

WITHIN_S = 15.0
"""After a pass: long enough for one delivery that takes its whole deadline, and for the state before and after it."""

HURRIED_S = 3.0

LEAST_S = 1.0
"""Less is not begun: who says that he sends, and ends, keeps others from telling for two minutes."""


@dataclass(slots=True)
class PassTelling:
    """Gathers what one pass sees, and tells. For one thread.

    Args:
        note: Called in any thread, with a short text and facts.
    """

    app: App
    note: Callable[..., Any]
    _looked_at: dict[str, tuple[Credential, Observed | RotatorError]] = field(default_factory=dict)
    _couriers: Couriers | None = None

    def seen(self, credential: Credential, observed: Observed | RotatorError) -> None:
        """Take over what a look found."""
        self._looked_at[credential.name] = credential, observed

    def done(self, outcome: Outcome) -> None:
        """Tell of a rotation while the pass goes on."""
        told = self.app.told
        if told is None or not (told.of_rotations or told.own):
            return
        if self._couriers is None:
            surroundings = self.app.surroundings
            self._couriers = Couriers(told, surroundings.clock, surroundings.ids, self.note)
        if outcome.name in self._looked_at:
            self._couriers.became(self._looked_at[outcome.name][0], outcome)

    def finish(
        self, results: Sequence[Outcome], *, within_s: float = WITHIN_S, hurried: bool = False, last: bool = True
    ) -> None:
        """Tell of cases, and wait for all messages, at most so long. What is not told by then the next run tells.

        Args:
            hurried: Somebody wants the process to end.
            last: The process ends now, and with it whatever a notifier has begun.
        """
        told, clock = self.app.told, self.app.surroundings.clock
        if told is None:
            return
        within_s = min(within_s, HURRIED_S) if hurried else within_s
        ends_s = clock.monotonic_s() + within_s
        if told.of_cases and within_s >= LEAST_S:
            self._announce_within(results, within_s)
        if self._couriers is not None:
            self._couriers.close(ends_s - clock.monotonic_s())
            self._couriers = None
        if last:
            told.close()

    def _announce_within(self, results: Sequence[Outcome], within_s: float) -> None:
        try:  # a state that hangs must not hold up the end of a run
            in_time = bounded(lambda: self._announce(results, within_s), within_s)
        except Exception as error:  # noqa: BLE001 - a plug-in's defect must not change how a run ends
            self.note("open cases cannot be told now", problem=type(error).__name__)
            return
        if not in_time:
            self.note("open cases were not told in time; the next run tells them")

    def _announce(self, results: Sequence[Outcome], within_s: float) -> None:
        app, told = self.app, self.app.told
        if told is None:
            return
        surroundings = app.surroundings
        announcer = told.announcer(app.state, surroundings.clock, surroundings.ids, surroundings.randomness, self.note)
        view = view_of_pass(
            self._looked_at.values(),
            results,
            told.entries.since(),
            place_of(app.escrow),
            told.of_cases,
            surroundings.clock.now(),
        )
        # A round leaves the state some time to write what was taken.
        announcer.announce(view, within_s=max(LEAST_S, within_s - 3.0))


def warned(text: str, **facts: Any) -> None:
    """Print what there is to say about the telling, as a line on stderr."""
    told = ", ".join(f"{name}: {value}" for name, value in facts.items())
    with contextlib.suppress(OSError, ValueError):  # a closed stderr changes nothing about the pass
        sys.stderr.write(f"rotator: warning: {text}{f' ({told})' if told else ''}\n")
