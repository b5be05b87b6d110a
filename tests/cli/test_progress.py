"""The progress bar of long work, on a real pseudo-terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from tests.cli.pseudo_terminal import left_on, on_terminal

if TYPE_CHECKING:
    from tests.app.stage import Stage

SLOW = """
import threading, sys
from rotator.state import local as state
from rotator.stores import local
read = local.LocalSecretStore.read_many
def slowly(self, secrets):
    threading.Event().wait({seconds})
    return read(self, secrets)
local.LocalSecretStore.read_many = slowly
local.BATCH = state.LocalStateStore.batch = 4
from rotator.cli import main
main()
"""
"""A store that takes its time for every four secrets: work that is long, of a length that a test chooses."""

NAMES = [f"payroll-{number:02d}" for number in range(24)]
READING = "reading 24 credentials"


@pytest.fixture
def fleet(real_stage: Stage) -> Stage:
    real_stage.config["workers"] = 1
    real_stage.ready(*NAMES)
    real_stage.save()
    return real_stage


def slow(seconds: float) -> str:
    return SLOW.format(seconds=seconds)


def test_long_work_shows_a_bar_that_is_gone_in_the_end(fleet: Stage) -> None:
    """It says what is done and how far it is; the screen shows nothing of it afterwards, and the result is whole."""
    arguments = ["-c", str(fleet.file), "status"]
    session = on_terminal(arguments, columns=100, env={"NO_COLOR": "1"}, program=slow(0.4))
    assert session.code == 0
    assert READING in session.screen
    assert "━" in session.screen
    assert "50%" in session.screen
    lines = left_on(session.screen, 100)
    assert not any(READING in line or "━" in line for line in lines)
    assert lines[0].startswith("NAME")
    assert [line.split()[0] for line in lines[1:25]] == sorted(NAMES)


def test_short_work_shows_none(fleet: Stage) -> None:
    """What is done at once leaves nothing but its result on the terminal."""
    session = on_terminal(["-c", str(fleet.file), "status"], columns=100, env={"NO_COLOR": "1"})
    assert session.code == 0
    assert "\r" not in session.screen.replace("\r\n", "")


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["plan", "--json"], ["once", "--dry-run"]])
def test_what_is_piped_is_the_same_with_and_without_a_bar(fleet: Stage, arguments: list[str]) -> None:
    """With stdout in a pipe and stderr on a terminal the bar is on the terminal alone; stdout has nothing of it."""
    command = ["-c", str(fleet.file), *arguments]
    watched = on_terminal(command, pipe_stdout=True, program=slow(0.15))
    assert READING in watched.screen
    assert READING not in watched.piped
    assert "\x1b" not in watched.piped
    assert "\r" not in watched.piped
    if "--json" in arguments:
        assert json.loads(watched.piped)
    else:
        assert all(any(line.startswith(name) for line in watched.piped.splitlines()) for name in NAMES)


def test_without_a_terminal_nothing_is_drawn_or_imported(fleet: Stage) -> None:
    """Stderr in a pipe stays empty, however long it takes, and what draws is not even loaded."""
    at_the_end = "import atexit, sys\natexit.register(lambda: print('rich' in sys.modules, file=sys.stderr))\n"
    done = subprocess.run(
        [sys.executable, "-c", at_the_end + slow(0.15), "-c", str(fleet.file), "status"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert READING not in done.stdout


def test_a_dumb_terminal_gets_no_bar(fleet: Stage) -> None:
    """What cannot take a line back is not given one."""
    session = on_terminal(["-c", str(fleet.file), "status"], env={"TERM": "dumb"}, program=slow(0.15))
    assert READING not in session.screen
    assert "\x1b" not in session.screen


def test_lines_and_the_bar_do_not_tear_each_other(fleet: Stage) -> None:
    """Outcomes on stdout and audit events on stderr each stand on lines of their own, though a bar is drawn between."""
    fleet.config["audit"] = [{"type": "jsonl", "path": "-"}]
    fleet.save()
    fleet.face().fault("delay_before_reply", delay_s=0.2, times=len(NAMES))
    columns = 2000
    arguments = ["-c", str(fleet.file), "once", "--force"]
    session = on_terminal(arguments, columns=columns, env={"NO_COLOR": "1"}, cwd=fleet.folder)
    assert session.code == 0
    assert "rotating 24 credentials" in session.screen
    lines = [line for line in left_on(session.screen, columns) if line]
    events = [json.loads(line) for line in lines if line.startswith("{")]
    outcomes = [line for line in lines if not line.startswith("{")]
    assert len([event for event in events if event["event"] == "rotation.succeeded"]) == len(NAMES)
    assert sorted(line.split(":")[0] for line in outcomes) == NAMES
    assert all(": rotated, expires " in line for line in outcomes)


def test_the_interrupt_key_leaves_the_terminal_sane(fleet: Stage) -> None:
    """SIGINT while a bar is drawn ends with 130; the bar is gone, and no escape sequence has to be undone."""
    sent: list[int] = []

    def interrupt(screen: str, process: subprocess.Popen[bytes], _: object) -> None:
        if "━" in screen and not sent:
            sent.append(process.pid)
            os.kill(process.pid, signal.SIGINT)

    session = on_terminal(
        ["-c", str(fleet.file), "status"], columns=100, env={"NO_COLOR": "1"}, program=slow(0.4), seen=interrupt
    )
    assert sent
    assert session.code == 130
    assert [line for line in left_on(session.screen, 100) if line.strip("^C")] == []


@pytest.mark.parametrize("columns", [10, 20, 40, 80, 200])
def test_the_bar_never_takes_the_last_column(fleet: Stage, columns: int) -> None:
    """However narrow the terminal is, the bar fits on one line, so that it can be taken back."""
    session = on_terminal(
        ["-c", str(fleet.file), "check", "--live"], columns=columns, env={"NO_COLOR": "1"}, program=slow(0.15)
    )
    drawn = [part for line in session.screen.split("\r\n") for part in line.split("\r") if READING[:8] in part]
    assert drawn
    assert all(len(part) < columns for part in drawn)


def test_colours_are_reset_after_each_bar(fleet: Stage) -> None:
    """On a terminal with colours the bar has some, hides no cursor, and leaves none of them on."""
    session = on_terminal(["-c", str(fleet.file), "status"], columns=100, program=slow(0.15))
    assert "\x1b[36m" in session.screen
    assert "\x1b[?" not in session.screen
    assert session.screen.rstrip().rpartition("\x1b[")[2].startswith("0m")


def test_a_large_audit_file_shows_how_far_it_is(fleet: Stage) -> None:
    """`audit verify` reads with a bar as well, by the bytes of the file."""
    slowly = (
        "import threading\nfrom rotator.cli import audits\n"
        "link = audits.verify\n"
        "def verify(lines, asked):\n"
        "    return link(lambda: (line for line in lines() if not threading.Event().wait(0.03)), asked)\n"
        "audits.verify = verify\naudits.TOLD_EVERY = 1\n"
        "from rotator.cli import main\nmain()\n"
    )
    arguments = ["-c", str(fleet.file), "audit", "verify", str(fleet.audit_file)]
    session = on_terminal(arguments, columns=200, env={"NO_COLOR": "1"}, program=slowly)
    assert session.code == 0
    assert "reading the audit trail ━" in session.screen
    assert "unbroken" in left_on(session.screen, 200)[0]


def test_the_terminals_own_settings_are_untouched(fleet: Stage) -> None:
    """Nothing is changed that would have to be put back: echo and line editing are as before."""
    before: list[object] = []

    def look(screen: str, process: subprocess.Popen[bytes], _: object) -> None:
        with contextlib.suppress(termios.error, OSError):
            descriptor = os.open(f"/proc/{process.pid}/fd/2", os.O_RDWR | os.O_NOCTTY)
            before.append(termios.tcgetattr(descriptor)[3] & (termios.ECHO | termios.ICANON))
            os.close(descriptor)

    on_terminal(["-c", str(fleet.file), "status"], columns=100, program=slow(0.15), seen=look)
    assert set(before) == {termios.ECHO | termios.ICANON}
