"""The daemon's loop, in a thread: what it notices by itself, and what does not kill it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.bell import Bell
from rotator.daemon import Daemon, scheduling
from rotator.errors import ConfigError, Problem, StoreUnavailable
from rotator.fleet import FOREVER_S
from rotator.limits import RateLimit
from rotator.rotation import Rotation
from rotator.testing.sandbox import DEFAULT_CLIENT_ID
from tests.app.daemons import expiring, running
from tests.app.situations import Crash
from tests.app.stage import WAIT_S, Stage, poll

if TYPE_CHECKING:
    from rotator.observe import Observed
    from rotator.outcomes import Outcome
    from rotator.wiring import App


def test_what_a_person_puts_is_noticed_without_a_restart(real_stage: Stage) -> None:
    """A dead grant is left alone until a person puts a new token set, which the daemon notices and keeps fresh."""
    stage = real_stage
    stage.ready()
    expiring(stage)
    stage.face().revoke(1)
    with running(stage) as daemon:
        poll(lambda: daemon.of("alpha"), "the dead grant told")
        assert isinstance(daemon.of("alpha")[0], outcomes.Failed)
        now = int(stage.clock.now().timestamp())
        stage.write(**stage.face().login(DEFAULT_CLIENT_ID), issued_at=now - 3600, expires_at=now + 10)
        poll(lambda: daemon.rotated("alpha"), "a rotation of what was put")

    assert stage.is_live()
    assert {"credentials": ["alpha"]} in daemon.noted("changed in the store")
    assert stage.face().report.requests == 2


def test_a_secret_that_comes_later_is_noticed(real_stage: Stage) -> None:
    """A credential whose secret does not exist at the start is rotated once somebody seeds it."""
    stage = real_stage
    stage.ready("alpha")
    stage.credential("beta")
    with running(stage) as daemon:
        poll(lambda: daemon.of("beta"), "the missing secret told")
        stage.seed("beta")
        expiring(stage, "beta")
        poll(lambda: daemon.rotated("beta"), "its first rotation")

    assert stage.is_live("beta")


def test_a_store_that_is_away_for_a_while_does_not_kill_the_loop(
    real_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is away the failures are told; once it is back the daemon goes on by itself."""
    stage = real_stage
    stage.ready()
    app = stage.app("daemon", pause_s=0.3)
    store: Any = app.stores["main"]

    def away(*_: object) -> Any:
        raise StoreUnavailable("store main: no answer")

    monkeypatch.setattr("rotator.retrying.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("rotator.dispatch.AWAY_S", 1.0)
    store.read = store.versions = away
    store.read_many = lambda secrets: dict.fromkeys(secrets, StoreUnavailable("store main: no answer"))
    with running(stage, app) as daemon:
        poll(lambda: daemon.of("alpha"), "the failure told")
        poll(lambda: daemon.noted("change check failed"), "the failed listing noted")
        expiring(stage)
        del store.read, store.versions
        poll(lambda: daemon.rotated("alpha"), "a rotation")

    first = daemon.of("alpha")[0]
    assert isinstance(first, outcomes.Deferred)
    assert first.reason == "store_unavailable"
    assert daemon.noted("change check failed")[0]["store"] == "main"
    assert stage.is_live()


def test_a_provider_that_is_down_is_tried_again(real_stage: Stage) -> None:
    """After a 503 the daemon waits as told and then rotates, without anybody's help."""
    stage = real_stage
    stage.ready()
    expiring(stage)
    stage.face().fault("unavailable", wait_s=1)
    with running(stage) as daemon:
        poll(lambda: daemon.rotated("alpha"), "a rotation")

    assert isinstance(daemon.of("alpha")[0], outcomes.Deferred)
    assert stage.face().report.sent_too_early == 0


def test_two_documents_with_one_grant_are_refused_by_the_daemon(real_stage: Stage) -> None:
    """Documents that hold one refresh token, from the start or by a later edit, are told and never sent."""
    stage = real_stage
    stage.ready("alpha", "beta", "gamma")
    stage.write("beta", refresh_token=stage.document("alpha")["refresh_token"])
    for name in ("alpha", "beta"):
        expiring(stage, name)
    with running(stage) as daemon:
        poll(lambda: daemon.of("alpha") and daemon.of("beta"), "both told")
        now = int(stage.clock.now().timestamp())
        token = stage.document("alpha")["refresh_token"]
        stage.write("gamma", refresh_token=token, issued_at=now - 3600, expires_at=now + 10)
        poll(lambda: daemon.of("gamma"), "the third told")

    assert {type(outcome) for outcome in daemon.told} == {outcomes.Failed}
    assert stage.face().report.requests == 0


def test_the_daemon_keeps_to_the_budget(real_stage: Stage) -> None:
    """With many credentials due at once the provider refuses none for its rate."""
    stage = real_stage
    stage.provider("acme", rate_limit={"requests": 5, "per": "1s"}, timeout="10s")
    names = [f"credential-{number}" for number in range(10)]
    stage.ready(*names)
    for name in names:
        expiring(stage, name, in_s=30)
    stage.face().settings.rate_limit = RateLimit(requests=5, per_s=1.0)
    with running(stage) as daemon:
        poll(lambda: all(daemon.rotated(name) for name in names), "all rotated")

    assert stage.face().report.rejected_over_rate == 0


class SlowBell(Bell):
    """A bell whose first ring does not end before the second one has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.rung = 0
        self.ended: list[int] = []
        self.again = threading.Event()

    def ring(self) -> None:
        self.rung += 1
        if self.rung == 1:
            self.again.wait(WAIT_S)
        else:
            self.again.set()
        super().ring()
        self.ended.append(self.rung)  # both may end at once


def test_a_ring_is_not_lost_while_the_last_one_has_not_ended(real_stage: Stage) -> None:
    """A bell that falls due while its last ring is still under way rings once more."""
    real_stage.ready()
    app = real_stage.app("daemon")
    bell = SlowBell()
    daemon = Daemon(app, lambda: app, lambda _: None, lambda *_, **__: None, _bell=bell)
    with scheduling() as scheduler:
        for ring in (1, 2):
            daemon._ring_at(scheduler, app.surroundings.clock.now() + timedelta(milliseconds=20))
            poll(lambda ring=ring: bell.rung >= ring, f"ring {ring}", within_s=5.0)
        bell.again.set()
    poll(lambda: len(bell.ended) == 2, "the rings' end")
    bell.close()


def test_a_reload_waits_for_what_is_in_flight(real_stage: Stage) -> None:
    """A reload in mid-request finishes that request first, takes over the new file, and loses nothing."""
    stage = real_stage
    stage.provider("acme", timeout="30s")
    stage.ready("alpha")
    expiring(stage)
    go = threading.Event()
    held = stage.face().fault("delay_before_reply", delay_s=WAIT_S, until=go)
    with running(stage) as daemon:
        poll(lambda: held.hits, "the request")
        stage.credential("beta")
        stage.seed("beta")
        daemon.daemon.request_reload()
        go.set()
        poll(lambda: daemon.noted("reloaded"), "the reload")

    assert daemon.noted("reloaded") == [{"credentials": 2}]
    assert daemon.rotated("alpha") == 1
    assert stage.is_live("alpha")
    assert stage.face().report.requests == 1


def test_a_faulty_reload_is_noted(real_stage: Stage) -> None:
    """A configuration that cannot be used is noted with its problems, and the old parts stay."""
    stage = real_stage
    stage.ready()

    def faulty() -> App:
        raise ConfigError([Problem("rotator.yaml:7: workers", "must be at least 1")])

    with running(stage, reload=faulty) as daemon:
        app = daemon.daemon.app
        daemon.daemon.request_reload()
        poll(lambda: daemon.noted("the new configuration is faulty; the old one stays"), "the note")
        assert daemon.daemon.app is app


def test_a_credential_that_left_with_a_reload_is_no_longer_kept(real_stage: Stage) -> None:
    """After a reload without a credential its entries in the heap are skipped."""
    stage = real_stage
    stage.ready("alpha", "beta")
    with running(stage) as daemon:
        del stage.config["credentials"][1]
        daemon.daemon.request_reload()
        poll(lambda: daemon.noted("reloaded"), "the reload")
        expiring(stage)
        poll(lambda: daemon.rotated("alpha"), "the one that stayed")

    assert daemon.noted("reloaded") == [{"credentials": 1}]
    assert daemon.of("beta") == []


def test_stopping_before_the_first_request_starts_nothing(real_stage: Stage) -> None:
    """A daemon that is stopped before it looked around ends at once and sends nothing."""
    stage = real_stage
    stage.ready()
    expiring(stage)
    daemon = Daemon(stage.app("daemon"), lambda: stage.app("daemon"), lambda _: None, lambda *_, **__: None)
    daemon.stop()

    daemon.run()

    assert stage.face().report.requests == 0


def test_a_defect_in_one_job_leaves_the_others_in_work(real_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw, in the work on one credential, is told as that one's failure; the daemon goes on."""
    stage = real_stage
    stage.ready("alpha", "beta")
    for name in ("alpha", "beta"):
        expiring(stage, name)
    real = Rotation._refresh

    def broken(rotation: Rotation, observed: Observed, *args: Any) -> Outcome:
        if observed.situation.credential.name == "alpha":
            raise ZeroDivisionError("canary")
        return real(rotation, observed, *args)

    monkeypatch.setattr(Rotation, "_refresh", broken)
    with running(stage) as daemon:
        poll(lambda: daemon.of("alpha") and daemon.rotated("beta"), "both")

    alpha = daemon.of("alpha")[0]
    assert isinstance(alpha, outcomes.Failed)
    assert alpha.reason == "defect"
    assert "canary" not in alpha.error


def test_the_end_of_the_process_is_not_swallowed(real_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no mere defect (an exit, a crash) in a worker ends the daemon."""
    stage = real_stage
    stage.ready()
    expiring(stage)

    def gone(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(Rotation, "_refresh", gone)
    daemon = Daemon(stage.app("daemon"), lambda: stage.app("daemon"), lambda _: None, lambda *_, **__: None)

    with pytest.raises(Crash):
        daemon.run()


def test_a_log_that_cannot_be_written_does_not_end_the_daemon(real_stage: Stage) -> None:
    """With stderr closed the rotations go on."""
    stage = real_stage
    stage.ready("alpha", "beta")
    for name in ("alpha", "beta"):
        expiring(stage, name)

    def closed(_: Outcome) -> None:
        raise ValueError("I/O operation on closed file")

    with running(stage) as daemon:
        daemon.daemon.tell = closed
        poll(lambda: stage.face().report.rotations == 2, "both rotations")

    assert stage.is_live("alpha")
    assert stage.is_live("beta")


def test_a_far_expiry_is_looked_at_within_a_year(real_stage: Stage) -> None:
    """A token that lives for decades is planned within the bound of the heap, not beyond what a date holds."""
    stage = real_stage
    stage.ready()
    stage.write(expires_at=int(stage.clock.now().timestamp()) + 50 * 366 * 86_400)
    with running(stage) as daemon:
        next_at = daemon.daemon._fleet.next_at()

    assert next_at is not None
    assert (next_at - stage.clock.now()).total_seconds() <= FOREVER_S


def test_a_later_edit_takes_the_place_of_an_earlier_plan(real_stage: Stage) -> None:
    """A document that was edited to last longer is not refreshed at the time that was planned before."""
    stage = real_stage
    stage.ready("alpha", "beta", refresh_before_expiry="10s")
    expiring(stage, "alpha", in_s=13)
    expiring(stage, "beta", in_s=15)
    with running(stage) as daemon:
        expiring(stage, "alpha", in_s=3600)
        poll(lambda: daemon.noted("changed in the store"), "the edit noticed")
        poll(lambda: daemon.rotated("beta"), "the other one, which falls due later")

    assert daemon.of("alpha") == []
    assert stage.face().report.requests == 1


def test_an_edit_that_was_not_noticed_is_seen_when_the_time_comes(real_stage: Stage) -> None:
    """Between two change checks the planned look itself finds that nothing is due any more."""
    stage = real_stage
    stage.ready(refresh_before_expiry="10s")
    expiring(stage, in_s=13)
    with running(stage, check_s=1000) as daemon:
        expiring(stage, in_s=3600)
        poll(lambda: daemon.of("alpha"), "the look")

    assert isinstance(daemon.of("alpha")[0], outcomes.Fresh)
    assert stage.face().report.requests == 0
