"""Daemons and passes that tell a receiver of what is the case."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.app import daemons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rotator.wiring import App
    from tests.app.daemons import Running
    from tests.app.stage import Stage
    from tests.notify.receiver import Receiver

EVERY_S = 0.1
HOOK_KEY = "canary-signing-key-of-the-hook"


@contextmanager
def running(stage: Stage, *, reload: Callable[[], App] | None = None) -> Iterator[Running]:
    """Run a daemon that tells soon, for the length of the block; at its end it has ended cleanly."""
    with daemons.running(stage, notify_every_s=EVERY_S, reload=reload) as made:
        yield made


def hook(stage: Stage, receiver: Receiver, **more: Any) -> None:
    """Configure the receiver as the one notifier, of cases unless `more` says otherwise."""
    stage.env["HOOK_KEY"] = HOOK_KEY
    stage.config["notifiers"] = {"hook": {"type": "webhook", "url": receiver.url(), "signing_key": {"env": "HOOK_KEY"}}}
    stage.config.update(more)


def messages(receiver: Receiver) -> list[tuple[str, str, str]]:
    """Return type, kind and credential of each message that came in."""
    bodies = [json.loads(body) for body in receiver.bodies]
    return [(one["type"], one["data"].get("kind", ""), one["data"].get("credential", "")) for one in bodies]
