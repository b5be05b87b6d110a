"""`rotator demo`: the whole job, with a summary that can be trusted."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rotator import outcomes
from rotator.cli import commands, demo, terminal
from rotator.clocks import SystemClock
from tests.app.stage import CANARIES

if TYPE_CHECKING:
    import pytest

SUMMARY = re.compile(
    r"rotations         (\d+) \(each credential at least (\d+)\)\n"
    r"tokens lost       0\n"
    r"reuse detections  0\n"
    r"deferred          .+\n"
    r"left in escrow    0\n"
    r"audit events      \d+\n$"
)


def test_the_demo_ends_well() -> None:
    """The shortest demo rotates each token at least twice, loses none, shows no secret, and ends with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "rotator", "demo", "--seconds", "5", "--credentials", "6"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    summary = SUMMARY.search(done.stdout)
    assert summary, done.stdout
    assert int(summary[2]) >= 2
    assert done.stdout.count("auth0-1: rotated, expires 20") >= 2
    assert not any(canary in done.stdout for canary in CANARIES)


def test_the_demo_on_a_terminal_shows_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal a live table takes the place of the lines, and the summary follows."""
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    monkeypatch.setattr(terminal, "is_coloured", lambda: True)
    monkeypatch.setattr(terminal, "console", lambda: Console(file=screen, force_terminal=True, width=120))

    code = commands.run(["demo", "--seconds", "6", "--credentials", "2"])

    out = capsys.readouterr().out
    assert code == 0, out
    assert "WHAT TO DO" in screen.getvalue()
    assert "dailypay-2" in screen.getvalue()
    assert ": rotated" not in out
    assert SUMMARY.search(out), out


def test_a_demo_that_loses_a_token_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A login that was revoked behind the demo's back shows as lost, with what a person would do, and the code is 1."""

    def instead(app: Any, tally: demo.Tally, console: object, seconds: int) -> None:
        [credential] = app.credentials
        stored = app.stores["local"].read(credential.secret)
        lost = app.surroundings.clock.now()
        document = type(stored.content)({**stored.content.fields, "refresh_token": 7})
        app.stores["local"].compare_and_swap(credential.secret, document, expected=stored.version, write_id="x")
        tally.tell(outcomes.Fresh(credential.name, lost))
        tally.tell(outcomes.Deferred(credential.name, "held", None))
        tally.tell(outcomes.Failed(credential.name, "unusable", "it has no refresh_token", "put"))

    monkeypatch.setattr(demo, "_run", instead)

    code = demo.run_demo(5, 1)

    out, err = capsys.readouterr()
    assert code == 1
    assert "tokens lost       1: auth0-1\n" in out
    assert "deferred          held 1\n" in out
    assert "needs a person    auth0-1: it has no refresh_token\n" in out
    assert err == "rotator: rotated fewer than 2 times: auth0-1\n"
    assert ": fresh" not in out


def test_the_interrupt_key_ends_the_demo_with_its_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGINT stops the daemon and sums up what was done so far."""
    import os
    import signal
    import threading

    first = threading.Event()
    tell = demo.Tally.tell

    def interrupting(tally: demo.Tally, outcome: Any) -> None:
        tell(tally, outcome)
        if not first.is_set():
            first.set()
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(demo.Tally, "tell", interrupting)
    before, began = signal.getsignal(signal.SIGINT), SystemClock().monotonic_s()

    code = demo.run_demo(20, 1)

    assert SystemClock().monotonic_s() - began < 18
    out, err = capsys.readouterr()
    assert "tokens lost       0\n" in out
    assert (code, err) == (130, "rotator: interrupted before the time was up\n")
    assert signal.getsignal(signal.SIGINT) is before
