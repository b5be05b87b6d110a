"""The front page holds: its first steps run as they stand, and it names the commands and exit codes that exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from rotator.audit.events import EventName
from rotator.cli.commands import rotator
from rotator.cli.context import Exit

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
STEP = re.compile(r"<!-- tested: first credential -->\n```sh\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"\brotator(?: -c \S+)? ((?:escrow |audit )?[a-z]+)\b")
TIME_S = 120.0
"""For all steps together; they take some ten seconds. The sandbox of the page would stop after ten minutes."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def commands_in(page: str) -> set[str]:
    """Return what follows `rotator` in code spans and code blocks."""
    fenced = re.compile(r"^```\w*\n.*?^```", re.DOTALL | re.MULTILINE)
    code = [*fenced.findall(page), *re.findall(r"^ {4}.*$|`[^`\n]+`", fenced.sub("", page), re.MULTILINE)]
    return {found for text in code for found in COMMAND.findall(text)}


def existing_commands() -> set[str]:
    """Return the commands of the CLI, those of a group with the group's name before them."""
    names: set[str] = set()
    for name, command in rotator.commands.items():
        below = command.commands if isinstance(command, click.Group) else {}
        names |= {f"{name} {one}" for one in below} or {name}
    return names


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder like a fresh clone after `make demo`: `.venv` with the interpreter and the command of this run."""
    if not all(map(shutil.which, ("bash", "curl"))):
        pytest.skip("the first steps need bash and curl")
    (tmp_path / "config").mkdir()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, arguments in {"python": "", "rotator": " -m rotator"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    return tmp_path


def run_in_bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a session of its own; what it started in the background ends with it, however it ends."""
    environment = {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"PYTHONPATH": str(ROOT)}
    environment.pop("ROTATOR_CONFIG", None)
    shell = subprocess.Popen(
        ["bash", "-c", f"set -e -o pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n{script}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = shell.communicate(timeout=TIME_S)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)  # the shell still lives, so that its number is no other group's
        out, err = shell.communicate()
        pytest.fail(f"the first steps take longer than {TIME_S:.0f} s:\n{out}\n{err}")
    return subprocess.CompletedProcess(shell.args, shell.returncode, out, err)


def test_the_first_steps_run_as_they_stand(clone: Path) -> None:
    """All marked blocks, pasted in order into one shell, succeed, rotate both credentials and show a doubt."""
    steps = STEP.findall(README)
    assert len(steps) == 6
    script = "".join(steps).replace("8765", str(free_port()))

    ended = run_in_bash(script, clone)

    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    events = [json.loads(line) for line in (clone / "var" / "audit.jsonl").read_text(encoding="utf-8").splitlines()]
    succeeded = [
        (event["credential"], event["actor"]["mode"]) for event in events if event["event"] == "rotation.succeeded"
    ]
    assert succeeded == [("payroll-export", "daemon"), ("reports", "once"), ("reports", "once")]
    assert [event["credential"] for event in events if event["event"] == "rotation.in_doubt"] == ["reports"]
    assert "exit code 75" in ended.stdout
    assert re.search(r"^config/rotator\.yaml: 2 credentials can be rotated$", ended.stdout, re.MULTILINE)
    assert re.search(r"^sandbox_at_\w+$", ended.stdout, re.MULTILINE)


def test_every_command_on_the_page_exists() -> None:
    """No `rotator <command>` in the page's code is unknown to the command line."""
    assert commands_in(README) - existing_commands() == set()


def test_every_command_is_on_the_page() -> None:
    """The command line has no command that the page does not show."""
    assert existing_commands() - commands_in(README) == set()


def test_every_option_on_the_page_exists() -> None:
    """Each `--option` beside a command in the table of commands is one of that command's."""
    rows = re.findall(r"^\| (`rotator .*?`) \|", README, re.MULTILINE)
    shown = {name for row in rows for name in re.findall(r"`rotator ([a-z]+)", row)}
    assert shown == set(rotator.commands)
    for row in rows:
        for name, rest in re.findall(r"`rotator ((?:escrow |audit )?[a-z]+)(.*?)`", row):
            command: click.Command = rotator
            for part in name.split():
                assert isinstance(command, click.Group)
                command = command.commands[part]
            known = {option for parameter in command.params for option in parameter.opts}
            assert set(re.findall(r"--[a-z-]+", rest)) <= known, name


def test_every_exit_code_is_on_the_page() -> None:
    """The table of exit codes lists those that exist, and no other."""
    table = README.split("| exit code |", 1)[1].split("\n\n", 1)[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == sorted(Exit)


def test_every_audit_event_is_on_the_page() -> None:
    """The page names each event that can be recorded, and no other."""
    named = set(re.findall(r"`((?:rotation|escrow|credential|refresh_token)\.[a-z_]+)`", README)) - {"rotation.py"}
    assert named == set(EventName.__args__)


def test_every_file_on_the_page_exists() -> None:
    """Each path into the repository that the page names is there, `make` targets included."""
    paths = set(re.findall(r"`((?:config|rotator|tests|deploy)/[\w./-]+)`", README)) - {"config/rotator.yaml"}
    assert len(paths) >= 5
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z]+)\b(?=`|  )", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
