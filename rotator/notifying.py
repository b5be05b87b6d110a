"""How a daemon tells: a thread of its own that looks over the board, and couriers for rotations."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rotator.bounded import started
from rotator.sightings import Lookout
from rotator.told import Couriers, place_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.announcing import Announcer
    from rotator.board import Board
    from rotator.model import Credential
    from rotator.outcomes import Outcome
    from rotator.wiring import App

EVERY_S = 30.0
"""How often the board is looked over: a case waits for no longer, and the look over 100,000 lines takes a tenth of a
second."""

ENDING_S = 5.0
"""How long an end of the process waits for messages that are on their way. Cases are told by the next process; messages
about rotations that still wait are lost."""


@dataclass(slots=True)
class Notifying:
    """Started and ended by the daemon's loop, which waits for none of it but at its end.

    Args:
        note: As the daemon's; callable in any thread.
        every_s: Between two looks.
    """

    note: Callable[..., Any]
    every_s: float = EVERY_S
    _app: App | None = None
    _couriers: Couriers | None = None
    _round: _Rounds | None = None

    def follow(self, app: App, board: Board | None) -> None:
        """Tell whom a configuration names; who was told by the one before is told no more, in seconds at most."""
        before = self._app.told if self._app else None
        if before is not None:
            # A notifier that hangs must not hold up the loop; two that tell for some seconds share one record.
            ended = replace(self)
            if not started(threading.Thread(target=ended.close, name="notify-ended", daemon=True)):
                ended.close()
        self._round = self._couriers = None
        told, self._app = app.told, app
        if told is None or board is None:
            return
        if before is not None:
            told.entries.take_over(before.entries)  # what did not change is not looked at again
        surroundings = app.surroundings
        if told.of_rotations or told.own:
            self._couriers = Couriers(told, surroundings.clock, surroundings.ids, self.note)
        if told.of_cases:
            announcer = told.announcer(
                app.state, surroundings.clock, surroundings.ids, surroundings.randomness, self.note
            )
            self._round = _Rounds(app, board, announcer, Lookout(), self.every_s, self.note)
            self._round.start()

    def became(self, credential: Credential, outcome: Outcome) -> None:
        """Tell of a rotation whoever wants to know. Never blocks."""
        if self._couriers is not None:
            self._couriers.became(credential, outcome)

    def close(self) -> None:
        """Tell nobody any more."""
        if self._app is None:
            return
        clock = self._app.surroundings.clock
        ends_s = clock.monotonic_s() + ENDING_S
        if self._round is not None:
            self._round.stop()
        if self._couriers is not None:
            self._couriers.close(ENDING_S)
        if self._round is not None:
            self._round.join(ends_s - clock.monotonic_s())
        if self._app.told is not None:
            self._app.told.close()
        self._round = self._couriers = None


@dataclass(slots=True)
class _Rounds:
    """Rounds in a thread that ends with the process, whatever a notifier or a state does."""

    app: App
    board: Board
    announcer: Announcer
    lookout: Lookout
    every_s: float
    note: Callable[..., Any]
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        thread = threading.Thread(target=self._run, name="notify", daemon=True)
        if started(thread):
            self._thread = thread
        else:
            self.note("nobody is told of cases: the system allows no further thread")

    def stop(self) -> None:
        self._stopping.set()

    def join(self, within_s: float) -> None:
        if self._thread is not None:
            self._thread.join(max(0.0, within_s))

    def _run(self) -> None:
        while not self._stopping.wait(self.every_s):
            try:
                self._make()
            except Exception as error:  # noqa: BLE001 - a defect here must not end the telling for good
                with contextlib.suppress(OSError, ValueError):
                    self.note("open cases cannot be told now", problem=type(error).__name__)

    def _make(self) -> None:
        told = self.app.told
        if told is None:
            return
        view = self.lookout.view(
            self.board,
            told.entries.since(),
            place_of(self.app.escrow),
            told.of_cases,
            self.app.surroundings.clock.now(),
        )
        self.announcer.announce(view)
