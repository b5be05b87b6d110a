"""Daemons in threads that tell a receiver of what is the case."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.daemon import Daemon
from tests.app.stage import WAIT_S, Stage, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rotator.outcomes import Outcome
    from rotator.wiring import App
    from tests.notify.receiver import Receiver

EVERY_S = 0.1
HOOK_KEY = "canary-signing-key-of-the-hook"


@dataclass
class Running:
    """A daemon, and what it told its operator."""

    daemon: Daemon
    told: list[Outcome] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def noted(self, text: str) -> list[dict[str, Any]]:
        return [facts for note, facts in self.notes if note == text]

    def rotated(self, name: str) -> int:
        return sum(isinstance(one, outcomes.Rotated) and one.name == name for one in self.told)

    def failed(self, name: str) -> int:
        return sum(isinstance(one, outcomes.Failed) and one.name == name for one in self.told)


@contextmanager
def running(stage: Stage, *, reload: Callable[[], App] | None = None) -> Iterator[Running]:
    """Run a daemon for the length of the block; at its end it has ended cleanly."""
    made: Running

    def tell(outcome: Outcome) -> None:
        made.told.append(outcome)

    def note(text: str, **facts: Any) -> None:
        made.notes.append((text, facts))

    def app() -> App:
        return stage.app("daemon", pause_s=0.3)

    daemon = Daemon(app(), reload or app, tell, note, change_check_s=0.2, notify_every_s=EVERY_S)
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


def hook(stage: Stage, receiver: Receiver, **more: Any) -> None:
    """Configure the receiver as the one notifier, of cases unless `more` says otherwise."""
    stage.env["HOOK_KEY"] = HOOK_KEY
    stage.config["notifiers"] = {"hook": {"type": "webhook", "url": receiver.url(), "signing_key": {"env": "HOOK_KEY"}}}
    stage.config.update(more)


def messages(receiver: Receiver) -> list[tuple[str, str, str]]:
    """Return type, kind and credential of each message that came in."""
    bodies = [json.loads(body) for body in receiver.bodies]
    return [(one["type"], one["data"].get("kind", ""), one["data"].get("credential", "")) for one in bodies]


def expiring(stage: Stage, name: str = "alpha", *, in_s: int = 10) -> None:
    """Let the stored access token end soon."""
    now = int(stage.clock.now().timestamp())
    stage.write(name, issued_at=now - 3600, expires_at=now + in_s)
