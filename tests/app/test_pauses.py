"""Promise 5 across the lives of one daemon: what its memory alone knows of a provider's pause is not lost with it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rotator.errors import StoreDenied
from rotator.ledger import provider_key
from rotator.testing.sandbox import DEFAULT_CLIENT_ID
from tests.app.daemons import expiring, running
from tests.app.stage import poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from rotator.wiring import App
    from tests.app.stage import Stage


def key_of(stage: Stage) -> str:
    return provider_key(stage.face().token_endpoint, DEFAULT_CLIENT_ID)


def told_to_wait(stage: Stage, app: App) -> datetime:
    """A 429 that says an hour, which the state does not take."""
    until = stage.clock.now() + timedelta(hours=1)
    with refusing(app.state):
        app.observer.cooldowns.note(key_of(stage), until, "429")
        assert stage.app().state.read(key_of(stage))[0] is None
    return until


@contextmanager
def refusing(state: Any) -> Iterator[None]:
    def refused(*_: object, **__: object) -> int:
        raise StoreDenied("state: not now")

    state.compare_and_swap = refused
    try:
        yield
    finally:
        del state.compare_and_swap


def shared(stage: Stage) -> datetime | None:
    return stage.app().observer.cooldowns.record(key_of(stage)).cooldown_until


def test_a_new_configuration_keeps_to_the_pauses_of_the_old_one(real_stage: Stage) -> None:
    """After SIGHUP the pause that only the memory knew of is in the new state, and nothing is sent."""
    stage = real_stage
    stage.ready()
    app = stage.app("daemon", pause_s=0.3)
    with running(stage, app, check_s=3600.0) as daemon:
        until = told_to_wait(stage, app)
        expiring(stage)
        stage.config["state"]["path"] = str(stage.folder / "another-state.db")
        daemon.daemon.request_reload()
        poll(lambda: daemon.noted("reloaded"), "the reload")
        poll(lambda: daemon.of("alpha"), "a look at alpha")

    assert shared(stage) == until
    assert stage.face().report.requests == 0


def test_a_daemon_writes_the_pauses_that_it_knows_before_it_ends(real_stage: Stage) -> None:
    """What the state did not take is written at the latest when the daemon is stopped."""
    stage = real_stage
    stage.ready()
    app = stage.app("daemon", pause_s=0.3)
    with running(stage, app, check_s=3600.0):
        until = told_to_wait(stage, app)

    assert shared(stage) == until


def test_a_daemon_writes_a_pause_long_before_it_looks_at_that_provider_again(real_stage: Stage) -> None:
    """The other replicas learn of it with the next listing of versions, not an hour later."""
    stage = real_stage
    stage.ready()
    app = stage.app("daemon", pause_s=0.3)
    with running(stage, app, check_s=0.2):
        until = told_to_wait(stage, app)
        poll(lambda: shared(stage) == until, "the pause in the state")
