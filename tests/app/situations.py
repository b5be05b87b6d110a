"""Credentials brought into each state that `status` and `explain` tell of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.record_changes import mark
from rotator.records import Claim, Hold, Lease, StateRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.app.stage import Stage


class Crash(BaseException):
    """The process is gone; no `except Exception` holds it up."""


def fresh(stage: Stage) -> None:
    stage.ready()


def due(stage: Stage) -> None:
    stage.ready()
    stage.until_due()


def of_unknown_expiry(stage: Stage) -> None:
    stage.ready()
    stage.write(expires_at=None, expires_in=None)


def in_doubt(stage: Stage) -> None:
    """The reply was lost with five minutes left, and rotator tries again in the last quarter of the margin."""
    stage.ready()
    stage.advance(3600 - 300)
    stage.face().fault("drop_after_processing")
    stage.cli("once", "--horizon", "60s")
    stage.advance(61)  # the pause after a failure


def in_doubt_for_a_person(stage: Stage) -> None:
    stage.provider("acme", on_doubt="operator")
    in_doubt(stage)


def given_up(stage: Stage) -> None:
    in_doubt(stage)
    stage.cli("resolve", "alpha", "--discard")


def in_doubt_twice(stage: Stage) -> None:
    stage.provider("acme", replay={"window": "30s"})
    stage.ready()
    stage.until_due()
    stage.face().fault("drop_before_processing", times=2)
    stage.cli("once")


def in_doubt_elsewhere(stage: Stage) -> None:
    """Another machine's claim is open; what it received may lie in that machine's escrow."""
    stage.ready()
    claim = Claim(stage.digest(), "rotation", stage.clock.now(), holder="other/1/x", place="file:elsewhere")
    stage.change_record(lambda record: replace(record, presented=(claim,)))


def latched(stage: Stage) -> None:
    stage.ready()
    stage.until_due()
    stage.face().revoke(1)
    stage.cli("once")


def cooling_down(stage: Stage) -> None:
    stage.ready()
    stage.until_due()
    stage.face().fault("rate_limited", wait_s=600)
    stage.cli("once")


def cooling_down_after_a_failure(stage: Stage) -> None:
    stage.ready()
    stage.until_due()
    stage.face().fault("unavailable", wait_s=600)
    stage.cli("once")


def cooling_down_beside_another(stage: Stage) -> None:
    """The provider asked another credential of the same client to wait."""
    stage.ready("alpha", "beta")
    stage.until_due()
    stage.face().fault("rate_limited", wait_s=600)
    stage.cli("once", "--name", "beta")
    del stage.config["credentials"][1]


def misconfigured(stage: Stage) -> None:
    stage.ready()
    stage.until_due()
    stage.face().settings.clients.clear()
    stage.cli("once")


def without_refresh_token(stage: Stage) -> None:
    stage.ready()
    stage.write(refresh_token=None)


def missing(stage: Stage) -> None:
    stage.credential()


def held(stage: Stage) -> None:
    stage.ready()
    stage.until_due()
    ends = stage.clock.now() + timedelta(seconds=20)
    stage.change_record(lambda record: replace(record, lease=Lease("other/1/x", 1, ends), fence=1))


def stale(stage: Stage) -> None:
    """The store shows the token of the rotation before, as an eventually consistent one does for a while."""
    stage.ready()
    old = stage.document()
    stage.until_due()
    stage.cli("once")
    stage.write(**old)


def put_back(stage: Stage) -> None:
    """Somebody restored an old version long after it was replaced."""
    stale(stage)
    stage.advance(16 * 60)


def waiting_in_escrow(stage: Stage) -> None:
    """A holder died between escrow and store; its lease is over."""
    stage.ready()
    stage.until_due()
    crash_before_the_write(stage)
    stage.advance(60)


def crash_before_the_write(stage: Stage, *names: str) -> None:
    """Run a pass that dies when it is about to write the document back."""
    app = stage.app()
    store = app.stores["main"]

    def crash(*_: object, **__: object) -> None:
        raise Crash

    store.compare_and_swap = crash  # type: ignore[method-assign]  # this instance only
    for credential in [app.credential(name) for name in names or ("alpha",)]:
        try:
            app.passes.run([credential], horizon_s=900.0)
        except Crash:
            continue
        raise AssertionError("nothing was about to be written")


def with_hold(stage: Stage, *, reason: str, action: str = "", person: bool = False) -> None:
    stage.ready()
    stage.until_due()
    now = stage.clock.now()
    hold = Hold(stage.digest(), now + timedelta(seconds=300), now, reason, "", action, person=person)
    stage.change_record(lambda record: replace(record, hold=hold))


def settled(digest: str, now: object) -> Callable[[StateRecord], StateRecord]:
    """Return the change that marks a token's claim settled."""
    return lambda record: mark(record, digest, "settled")
