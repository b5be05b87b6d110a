"""The daemon tells: of a grant's death and its end, once among two, and no notifier stands in its way."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from rotator.sightings import Lookout
from rotator.testing.sandbox import DEFAULT_CLIENT_ID
from tests.app.daemons import expiring
from tests.app.stage import Stage, poll
from tests.notify.daemons import HOOK_KEY, hook, messages, running
from tests.notify.receiver import Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Callable

DIED = ("case.opened", "grant_dead", "alpha")
LIVES = ("case.over", "grant_dead", "alpha")


@pytest.fixture
def look_again(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Wait until all daemons together have looked at their boards so many times more."""
    looks: list[int] = []
    view = Lookout.view

    def counted(*arguments: Any) -> Any:
        looks.append(1)
        return view(*arguments)

    def wait(times: int) -> None:
        until = len(looks) + times
        poll(lambda: len(looks) >= until, "further looks")

    monkeypatch.setattr(Lookout, "view", counted)
    return wait


@pytest.fixture
def stage(real_stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("HOOK_KEY", HOOK_KEY)
    hook(real_stage, receiver)
    return real_stage


def dead(stage: Stage) -> None:
    """A credential that is due, with a grant that somebody revoked."""
    stage.ready()
    expiring(stage, in_s=5)
    stage.face().revoke(1)


def login_anew(stage: Stage) -> None:
    stage.write(**stage.face().login(DEFAULT_CLIENT_ID), issued_at=int(time.time()), expires_at=int(time.time()) + 3600)


def test_a_dead_grant_is_told_once_and_once_when_it_lives_again(
    stage: Stage, receiver: Receiver, look_again: Callable[[int], None]
) -> None:
    """One message when it died, with what to do; one when a person has logged in anew; however often it is looked."""
    dead(stage)
    with running(stage) as daemon:
        poll(lambda: DIED in messages(receiver), "the message")
        poll(lambda: daemon.failed("alpha"), "the dead grant")
        look_again(5)
        login_anew(stage)
        poll(lambda: LIVES in messages(receiver), "the end")
        look_again(5)

    told = messages(receiver)
    assert told.count(DIED) == 1
    assert told.count(LIVES) == 1
    assert [one for one in told if one[1] == "grant_dead"] == [DIED, LIVES]
    opened = json.loads(receiver.bodies[told.index(DIED)])["data"]
    assert opened["title"] == "alpha: its grant is dead"
    assert (opened["provider"], opened["store"]) == ("acme", "main")
    assert opened["detail"].startswith("the provider rejected the refresh token")
    assert opened["action"].endswith("rotator put alpha")


def test_a_restart_tells_nothing_again(stage: Stage, receiver: Receiver, look_again: Callable[[int], None]) -> None:
    """What one process told, the next one knows; it tells the end."""
    dead(stage)
    with running(stage):
        poll(lambda: DIED in messages(receiver), "the message")
        poll(lambda: told_at(stage), "the note of it")
    with running(stage) as daemon:
        poll(lambda: daemon.failed("alpha"), "the dead grant, seen again")
        look_again(5)
        login_anew(stage)
        poll(lambda: LIVES in messages(receiver), "the end")
    assert messages(receiver).count(DIED) == 1


def told_at(stage: Stage) -> Any:
    body = stage.records().get("notify/cases", ({}, 0))[0]
    return all("told_at" in case for case in body["cases"]) if body and body.get("cases") else None


def test_of_two_daemons_one_tells(stage: Stage, receiver: Receiver, look_again: Callable[[int], None]) -> None:
    """Two replicas on one state, both of which see the dead grant: one message, and one end."""
    dead(stage)
    with running(stage) as one, running(stage) as other:
        poll(lambda: one.failed("alpha") and other.failed("alpha"), "both see it")
        poll(lambda: DIED in messages(receiver), "the message")
        look_again(20)
        login_anew(stage)
        poll(lambda: LIVES in messages(receiver), "the end")
        look_again(20)
    told = [one for one in messages(receiver) if one[1] == "grant_dead"]
    assert told == [DIED, LIVES]


def test_a_hanging_notifier_holds_up_no_rotation(stage: Stage, receiver: Receiver) -> None:
    """While a receiver hangs, for cases and for rotations, others are rotated in time, and the end comes in seconds."""
    receiver.hangs = True
    stage.config["on_rotated"] = ["hook"]
    stage.config["notify"] = ["hook"]
    dead(stage)
    stage.ready("beta", "gamma")
    with running(stage) as daemon:
        poll(lambda: receiver.requests, "a message that hangs")
        for _ in range(3):
            for name in ("beta", "gamma"):
                before, began = daemon.rotated(name), time.monotonic()
                expiring(stage, name)
                poll(lambda name=name, before=before: daemon.rotated(name) > before, f"a rotation of {name}")
                assert time.monotonic() - began < 5
        began = time.monotonic()
    assert time.monotonic() - began < 12
    assert stage.is_live("beta")


def test_sigterm_ends_it_while_a_command_hangs(stage: Stage, receiver: Receiver) -> None:
    """The process ends cleanly within seconds, with a notifier under way that ignores everything."""
    receiver.hangs = True
    dead(stage)
    stage.config["on_rotated"] = ["hook"]
    stage.config["notify"] = ["hook"]
    stage.ready("beta")
    expiring(stage, "beta")
    process = stage.spawn("run")
    poll(lambda: receiver.requests, "a message that hangs")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    ended = stage.ended(process)
    assert ended.code == 0
    assert time.monotonic() - began < 15
    assert "Traceback" not in ended.err


def test_readers_are_told_of_rotations_without_a_token(stage: Stage, receiver: Receiver) -> None:
    """Whoever is named under `on_rotated` gets one message a rotation; a credential's own names go before it."""
    stage.config["on_rotated"] = ["hook"]
    stage.credential("quiet", on_rotated=[])
    stage.seed("quiet")
    stage.ready("alpha")
    expiring(stage, "alpha")
    expiring(stage, "quiet")
    with running(stage) as daemon:
        poll(lambda: daemon.rotated("alpha") and daemon.rotated("quiet"), "both rotations")
        poll(lambda: receiver.requests, "the message")
    assert messages(receiver) == [("rotated", "", "alpha")]
    [body] = receiver.bodies
    data = json.loads(body)["data"]
    assert (data["secret"], data["version"], data["store"]) == ("alpha", stage.version("alpha"), "main")
    assert data["expires_at"].endswith("Z")
    stored = stage.document("alpha")
    assert not [name for name in ("access_token", "refresh_token") if stored[name] in body]


def test_a_state_that_is_away_stops_no_rotation(stage: Stage, receiver: Receiver, tmp_path: Any) -> None:
    """Where the record of cases cannot be read, that is noted, and everything else goes on."""
    dead(stage)
    stage.ready("beta")
    with running(stage) as daemon:
        poll(lambda: told_at(stage), "the first case told")
        state = stage.app().state
        _, revision = state.read("notify/cases")
        state.compare_and_swap("notify/cases", {"format": 2}, expected=revision)
        poll(lambda: daemon.noted("open cases cannot be told now"), "the note")
        expiring(stage, "beta")
        poll(lambda: daemon.rotated("beta"), "a rotation")
    problem = daemon.noted("open cases cannot be told now")[0]["problem"]
    assert problem.startswith("the state record notify/cases cannot be read: ValueError")


def test_a_reload_takes_new_notifiers_and_keeps_what_is_known(stage: Stage, receiver: Receiver) -> None:
    """Notifiers that come with a reload are told of what was the case before; those that are gone are not."""
    del stage.config["notifiers"]
    dead(stage)
    with running(stage) as daemon, receiving() as second:
        poll(lambda: daemon.failed("alpha"), "the dead grant")
        hook(stage, second)
        daemon.daemon.request_reload()
        poll(lambda: DIED in messages(second), "the message")
        hook(stage, receiver)
        daemon.daemon.request_reload()
        poll(lambda: len(daemon.noted("reloaded")) == 2, "the second reload")
        login_anew(stage)
        poll(lambda: LIVES in messages(receiver), "the end")
        assert LIVES not in messages(second)
