"""Daemons in threads, on a stage."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.daemon import Daemon
from rotator.notifying import EVERY_S
from tests.app.stage import WAIT_S, Stage, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rotator.outcomes import Outcome
    from rotator.wiring import App


@dataclass
class Running:
    """A daemon in a thread, and what it told."""

    daemon: Daemon
    told: list[Outcome] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def noted(self, text: str) -> list[dict[str, Any]]:
        return [facts for note, facts in self.notes if note == text]

    def of(self, name: str) -> list[Outcome]:
        return [outcome for outcome in self.told if outcome.name == name]

    def rotated(self, name: str) -> int:
        return sum(isinstance(outcome, outcomes.Rotated) for outcome in self.of(name))

    def failed(self, name: str) -> int:
        return sum(isinstance(outcome, outcomes.Failed) for outcome in self.of(name))


@contextmanager
def running(
    stage: Stage,
    app: App | None = None,
    *,
    check_s: float = 0.2,
    notify_every_s: float = EVERY_S,
    reload: Callable[[], App] | None = None,
) -> Iterator[Running]:
    """Run the daemon for the length of the block; at its end it has ended cleanly.

    Args:
        app: What it begins with; that of the stage unless given.
        check_s: Between looks for changes in the store.
        notify_every_s: Between looks at what there is to tell notifiers.
        reload: Makes the parts anew on SIGHUP; from the stage's configuration unless given.
    """

    def from_stage() -> App:
        return stage.app("daemon", pause_s=0.3)

    made: Running

    def tell(outcome: Outcome) -> None:
        made.told.append(outcome)

    def note(text: str, **facts: Any) -> None:
        made.notes.append((text, facts))

    daemon = Daemon(
        app or from_stage(), reload or from_stage, tell, note, change_check_s=check_s, notify_every_s=notify_every_s
    )
    made = Running(daemon)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            daemon.run()
        except BaseException as error:  # noqa: BLE001 - shown by the test's thread
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        poll(lambda: made.noted("running") or failures, "the start")
        yield made
    finally:
        daemon.stop()
        thread.join(WAIT_S)
    assert failures == []
    assert not thread.is_alive()


def expiring(stage: Stage, name: str = "alpha", *, in_s: int = 10) -> None:
    """Let the stored access token end soon."""
    now = int(stage.clock.now().timestamp())
    stage.write(name, issued_at=now - 3600, expires_at=now + in_s)
