"""`rotator once` and `rotator run` as processes: signals, exit codes, and a kill in the middle of a request."""

from __future__ import annotations

import json
import signal
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rotator.testing.memory import VirtualClock
from tests.app.stage import CANARIES, WAIT_S, Stage, poll

if TYPE_CHECKING:
    import subprocess


def short_lived(stage: Stage, lifetime_s: int = 6) -> None:
    stage.face().settings.lifetime_s = lifetime_s


def log_line(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """Read the daemon's log up to the line of this event."""
    assert process.stderr
    for line in process.stderr:
        if line.startswith("{") and json.loads(line).get("event") == event:
            return dict(json.loads(line))
    raise AssertionError(f"the process ended without {event}")


def without_waiting(stage: Stage) -> Stage:
    """The same machine an hour later, as seen by commands in this process."""
    later = VirtualClock(stage.clock.now() + timedelta(hours=1))
    made = Stage(stage.folder, stage.server, later, stage.capture)
    made.config = stage.config
    return made


# --------------------------------------------------------------------------------------------------------- once


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_pass_finishes_what_is_in_flight(real_stage: Stage, number: signal.Signals) -> None:
    """The request in flight is finished and written back, nothing new is begun, and the code is 130."""
    stage = real_stage
    stage.config["workers"] = 1
    stage.provider("acme", timeout="30s")
    stage.ready("alpha", "beta", "gamma")
    go = threading.Event()
    held = stage.face().fault("delay_before_reply", delay_s=WAIT_S, until=go)
    process = stage.spawn("once", "--force", "--json")
    poll(lambda: held.hits, "the first request")

    process.send_signal(number)
    go.set()
    ended = stage.ended(process)

    assert ended.code == 130
    assert [one["name"] for one in ended.json["rotated"]] == ["alpha"]
    assert {one["name"]: one["reason"] for one in ended.json["deferred"]} == {
        "beta": "no_time_left",
        "gamma": "no_time_left",
    }
    assert stage.face().report.requests == 1
    assert stage.is_live()


def test_a_signal_ends_a_wait_for_a_slot(real_stage: Stage) -> None:
    """A pass that waits for the provider's next slot ends at a signal, long before the slot."""
    stage = real_stage
    stage.provider("acme", rate_limit={"requests": 1, "per": "10m"})
    stage.ready("alpha", "beta")
    process = stage.spawn("once", "--force", "--json")
    poll(lambda: "rotation.succeeded" in stage.event_names() + stage.event_names("beta"), "the first rotation")

    process.terminate()
    ended = stage.ended(process)

    assert ended.code == 130
    assert (len(ended.json["rotated"]), len(ended.json["deferred"])) == (1, 1)


# ---------------------------------------------------------------------------------------------------------- kill


def killed_in_mid_request(stage: Stage, command: str, fault: str) -> None:
    go = threading.Event()
    held = stage.face().fault(fault, delay_s=WAIT_S, until=go)  # type: ignore[arg-type]  # one of the delays
    process = stage.spawn(*command.split())
    poll(lambda: held.hits, "the request")
    process.kill()
    process.wait(WAIT_S)
    go.set()
    if fault == "delay_before_reply":
        poll(lambda: stage.face().report.replies_lost_after_processing, "the lost reply")
    else:
        poll(lambda: stage.face().report.processed, "the request processed")


@pytest.mark.parametrize("fault", ["delay_before_processing", "delay_before_reply"])
@pytest.mark.parametrize("command", ["once --force", "run"])
def test_a_kill_in_mid_request_leaves_a_doubt_and_no_second_request(
    real_stage: Stage, monkeypatch: pytest.MonkeyPatch, command: str, fault: str
) -> None:
    """After SIGKILL the next pass waits for the lease, then tells the doubt and sends nothing by itself."""
    stage = real_stage
    stage.provider("acme", timeout="10s", on_doubt="operator")
    stage.ready()
    now = int(stage.clock.now().timestamp())
    stage.write(issued_at=now - 3600, expires_at=now + 60)
    killed_in_mid_request(stage, command, fault)
    at_once = stage.cli("once", "--json")
    later = without_waiting(stage)
    monkeypatch.setattr("rotator.wiring.SystemClock", lambda: later.clock)

    after_the_lease = later.cli("once", "--json")

    assert at_once.code == 75
    assert [one["reason"] for one in at_once.json["deferred"]] == ["held"]
    assert after_the_lease.code == 1
    assert [one["reason"] for one in after_the_lease.json["failed"]] == ["in_doubt"]
    assert stage.face().report.requests == 1
    assert "rotation.in_doubt" in stage.event_names()


def test_after_a_kill_a_provider_with_replay_is_recovered(real_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the successor was never used and the provider allows the replay, the next pass gets it back."""
    stage = real_stage
    stage.provider("acme", timeout="10s", replay="until_successor_used")
    stage.face().settings.grace_window_s = 7200
    stage.ready()
    killed_in_mid_request(stage, "once --force", "delay_before_reply")
    later = without_waiting(stage)
    monkeypatch.setattr("rotator.wiring.SystemClock", lambda: later.clock)

    ended = later.cli("once", "--json")

    assert (ended.code, [one["name"] for one in ended.json["rotated"]]) == (0, ["alpha"])
    assert later.is_live()
    assert stage.face().report.families_revoked == 0


# --------------------------------------------------------------------------------------------------------- run


def test_the_daemon_rotates_until_it_is_told_to_stop(real_stage: Stage) -> None:
    """Short-lived tokens are rotated again and again, none is lost, and SIGTERM ends the daemon with 0."""
    stage = real_stage
    short_lived(stage)
    stage.ready("alpha", "beta")
    process = stage.spawn("run")
    poll(lambda: stage.face().report.rotations >= 4, "four rotations")

    process.terminate()
    ended = stage.ended(process)

    assert (ended.code, ended.out) == (0, "")
    assert stage.is_live("alpha")
    assert stage.is_live("beta")
    assert stage.face().report.spent_twice == ()
    assert not any(canary in ended.err for canary in CANARIES)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_finishes_what_is_in_flight(real_stage: Stage, number: signal.Signals) -> None:
    """A signal in mid-request lets that request end and its tokens be written, begins nothing new, and ends with 0."""
    stage = real_stage
    stage.config["workers"] = 1
    stage.provider("acme", timeout="30s")
    short_lived(stage, 1)
    stage.ready("alpha", "beta")
    go = threading.Event()
    held = stage.face().fault("delay_before_reply", delay_s=WAIT_S, until=go)
    process = stage.spawn("run")
    poll(lambda: held.hits, "the first request")

    process.send_signal(number)
    go.set()
    ended = stage.ended(process)

    assert ended.code == 0
    assert stage.face().report.requests == 1
    assert stage.is_live("alpha")
    assert stage.is_live("beta")


def test_sighup_picks_up_a_new_credential(real_stage: Stage) -> None:
    """After SIGHUP the daemon keeps a credential that was added to the file."""
    stage = real_stage
    stage.ready("alpha")
    process = stage.spawn("run")
    log_line(process, "running")
    stage.credential("beta")
    stage.seed("beta")
    now = int(stage.clock.now().timestamp())
    stage.write("beta", issued_at=now - 3600, expires_at=now + 10)

    process.send_signal(signal.SIGHUP)
    line = log_line(process, "reloaded")
    poll(lambda: "rotation.succeeded" in stage.event_names("beta"), "a rotation of the new credential")
    process.terminate()

    assert line["credentials"] == 2
    assert stage.ended(process).code == 0
    assert stage.is_live("beta")


def test_a_broken_configuration_leaves_the_old_one_running(real_stage: Stage) -> None:
    """SIGHUP with a faulty file is told in the log, and the daemon goes on with what it had."""
    stage = real_stage
    short_lived(stage)
    stage.ready("alpha")
    process = stage.spawn("run")
    log_line(process, "running")
    stage.file.write_text("version: 1\nstores: 7\n")

    process.send_signal(signal.SIGHUP)
    line = log_line(process, "the new configuration is faulty; the old one stays")
    done = stage.face().report.rotations
    poll(lambda: stage.face().report.rotations > done, "a rotation after the reload")
    process.terminate()

    assert "stores" in line["problems"]
    assert stage.ended(process).code == 0
    assert stage.is_live("alpha")


def test_a_daemon_with_a_faulty_configuration_does_not_start(real_stage: Stage) -> None:
    """A faulty file ends `run` with 2 and its problems, without a traceback."""
    stage = real_stage
    stage.credential(provider="nobody")

    ended = stage.ended(stage.spawn("run"))

    assert (ended.code, ended.out) == (2, "")
    assert "there is no provider 'nobody'" in ended.err
    assert "Traceback" not in ended.err


def test_the_log_of_the_daemon_tells_each_outcome(real_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is rotated, put off or needs a person has its line, with name and reason."""
    stage = real_stage
    stage.ready("alpha", "dead")
    stage.credential("slow", provider="other")
    stage.provider("other", face="dailypay")
    stage.seed("slow", face="dailypay")
    stage.face("dailypay").fault("rate_limited", wait_s=600, times=None)
    now = int(stage.clock.now().timestamp())
    for name in ("alpha", "dead", "slow"):
        stage.write(name, issued_at=now - 3600, expires_at=now + 20)
    stage.face().revoke(2)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    process = stage.spawn("run")
    poll(lambda: stage.face("dailypay").report.requests, "the slow one")
    poll(lambda: "rotation.failed" in stage.event_names("dead"), "the dead one")
    poll(lambda: "rotation.succeeded" in stage.event_names("alpha"), "the good one")

    process.terminate()
    lines = [json.loads(line) for line in stage.ended(process).err.splitlines()]

    told = {(line["event"], line.get("name"), line.get("reason")) for line in lines}
    assert {
        ("rotated", "alpha", None),
        ("deferred", "slow", "rate_limited"),
        ("needs a person", "dead", "latched"),
    } <= told
    assert any(line["event"] == "configuration" and "local state" in line["problem"] for line in lines)
