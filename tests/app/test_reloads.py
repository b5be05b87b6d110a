"""A reload while credentials are worked on: none is left behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from rotator.stores.local import LocalSecretStore
from tests.app.daemons import expiring, running
from tests.app.stage import poll

if TYPE_CHECKING:
    import pytest

    from tests.app.stage import Stage


def test_what_is_looked_at_while_a_reload_waits_is_rotated_after_it(
    real_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It turns out to be due when nothing new is begun any more: its turn is the new dispatcher's."""
    stage = real_stage
    stage.ready()
    expiring(stage, in_s=600)
    app = stage.app("daemon", pause_s=0.3)
    real, looking, go = LocalSecretStore.read, threading.Event(), threading.Event()

    def slow(self: Any, secret: str) -> Any:
        if threading.current_thread().name.startswith("rotate"):
            looking.set()
            go.wait(10)
        return real(self, secret)

    monkeypatch.setattr(LocalSecretStore, "read", slow)
    with running(stage, app) as daemon:
        expiring(stage)
        assert looking.wait(20)
        daemon.daemon.request_reload()
        poll(lambda: not daemon.daemon._reloading, "the reload begins")
        go.set()
        poll(lambda: daemon.noted("reloaded"), "the reload")
        poll(lambda: daemon.rotated("alpha"), "its rotation")
