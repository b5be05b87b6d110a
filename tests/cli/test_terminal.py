"""Colours and widths, on real pseudo-terminals: what is sent to which terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.pseudo_terminal import Session, on_terminal

if TYPE_CHECKING:
    from tests.app.stage import Stage

LONG = "payroll-export-for-the-northern-branch-2026"
COLOUR = re.compile(r"\x1b\[[0-9;]+m")
SILENT = [{"NO_COLOR": "0"}, {"TERM": "dumb"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}]
COMMANDS = [["plan"], ["check", "--live"], ["once"], ["explain", "alpha"], ["-h"], ["status", "--nonsense"]]
ASKED = [*((["status"], env) for env in SILENT), *((command, {"NO_COLOR": "1"}) for command in COMMANDS)]


@pytest.fixture
def fleet(real_stage: Stage) -> Stage:
    real_stage.ready("alpha", "beta", LONG)
    real_stage.face().revoke(real_stage.face().family_of(real_stage.document()["refresh_token"]))
    assert real_stage.cli("once", "--force", "--name", "alpha").code == 1
    return real_stage


def run(stage: Stage, *arguments: str, columns: int = 80, piped: bool = False, **env: str) -> Session:
    return on_terminal(["-c", str(stage.file), *arguments], columns=columns, env=env, pipe_stdout=piped)


@pytest.mark.parametrize(("command", "env"), ASKED, ids=str)
def test_who_asks_for_no_colour_gets_no_escape_sequence(fleet: Stage, command: list[str], env: dict[str, str]) -> None:
    """Neither on stdout nor on stderr: no colour, no bold heading, no cursor that moves; FORCE_COLOR or not."""
    assert "\x1b" not in run(fleet, *command, **env).screen


def test_a_terminal_gets_colours(fleet: Stage) -> None:
    """Where nobody asks for none, states are coloured; an empty NO_COLOR asks for nothing."""
    assert "\x1b[31mlatched\x1b[0m" in run(fleet, "status").screen
    assert "\x1b[31mlatched\x1b[0m" in run(fleet, "status", NO_COLOR="").screen


def test_colours_change_nothing_else(fleet: Stage) -> None:
    """Without its colours the screen is the one that a terminal without colours shows."""
    coloured, plain = (run(fleet, "status", **env).screen for env in ({}, {"NO_COLOR": "1"}))
    times = re.compile(r"(in )?\d+[smhd]( ago)?")
    assert times.sub("", COLOUR.sub("", coloured)) == times.sub("", plain)


@pytest.mark.parametrize("command", [["status"], ["plan"]], ids=" ".join)
def test_a_pipe_is_wide_and_plain(fleet: Stage, command: list[str]) -> None:
    """Beside a narrow terminal stdout in a pipe has whole names and no escapes; FORCE_COLOR adds colours alone."""
    fleet.provider("acme", rate_limit={"requests": 1, "per": "1h"})
    fleet.save()
    plain = run(fleet, *command, columns=40, piped=True).piped
    assert LONG in plain
    forced = run(fleet, *command, columns=40, piped=True, FORCE_COLOR="1").piped
    assert "\x1b" not in plain
    assert "\x1b[" in forced
    assert [line.split()[:2] for line in COLOUR.sub("", forced).splitlines()][:4] == [
        line.split()[:2] for line in plain.splitlines()
    ][:4]


@pytest.mark.parametrize("columns", [60, 80, 132])
def test_names_are_whole_on_a_narrow_terminal(fleet: Stage, columns: int) -> None:
    """A name of 43 characters, and the command for another, can be copied from the screen; no line is wider."""
    screen = run(fleet, "status", columns=columns, NO_COLOR="1").screen
    lines = screen.replace("\r\n", "\n").split("\n")
    assert max(map(len, lines)) <= columns
    assert any(line.startswith(LONG) for line in lines)
    assert "rotator put alpha" in " ".join(screen.split())


@pytest.mark.parametrize("columns", [60, 80, 132])
def test_a_plan_fits_the_terminal(fleet: Stage, columns: int) -> None:
    """Table and chart are no wider than the terminal; provider and client are folded, and not cut."""
    fleet.provider("acme", rate_limit={"requests": 1, "per": "1h"})
    fleet.save()
    lines = run(fleet, "plan", columns=columns, NO_COLOR="1").screen.split("\r\n")
    table = lines[: next(number for number, line in enumerate(lines) if "refreshes per" in line)]
    assert max(map(len, table)) <= columns
    assert "…" not in "".join(table)


def test_the_demo_without_escape_sequences_tells_lines() -> None:
    """On a terminal that wants none, the demo has lines in place of the table that is drawn anew."""
    session = on_terminal(["demo", "--seconds", "5", "--credentials", "1"], env={"NO_COLOR": "1"})
    assert "\x1b" not in session.screen
    assert "auth0-1: rotated, expires " in session.screen


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("command", ["status", "status --json", "once --force", "plan", "explain beta"])
def test_who_stops_reading_is_no_error(fleet: Stage, command: str, buffered: bool) -> None:
    """`rotator status | head -1` ends without a word, with the exit code of what was found; a pass goes on."""
    line = f'"{sys.executable}" -m rotator -c "{fleet.file}" {command} | true; exit ${{PIPESTATUS[0]}}'
    env = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    before = fleet.version(LONG)
    done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, check=False)
    alive = {"explain beta", "plan"}
    assert (done.returncode, done.stderr) == (0 if command in alive else 1, "")
    assert (fleet.version(LONG) != before) == (command == "once --force")
