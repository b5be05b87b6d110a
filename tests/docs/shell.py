"""Runs the shell blocks of a page as somebody who pastes them: one bash, in a folder like a fresh clone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TIME_S = 120.0
"""For all steps of one name together; they take some ten seconds. The sandbox stops by itself after ten minutes."""

PORT = re.compile(r"\b(?:8765|9464)\b")
"""The ports that pages name; each becomes one that is free."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clone_in(folder: Path) -> Path:
    """Make a folder like a fresh clone after `make demo`: `.venv` with the interpreter and the command of this run."""
    if not all(map(shutil.which, ("bash", "curl", "openssl"))):
        pytest.skip("the steps need bash, curl and openssl")
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (folder / "config").mkdir()
    for name, arguments in {"python": "", "rotator": " -m rotator"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    return folder


def on_free_ports(script: str) -> str:
    """Return the script with other ports than the page names, each the same throughout."""
    ports = {port: str(free_port()) for port in set(PORT.findall(script))}
    return PORT.sub(lambda found: ports[found[0]], script)


def run_in_bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a session of its own; what it started in the background ends with it, however it ends."""
    environment = {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"PYTHONPATH": str(ROOT)}
    for name in [name for name in environment if name.startswith("ROTATOR_")]:
        del environment[name]
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
        pytest.fail(f"the steps take longer than {TIME_S:.0f} s:\n{out}\n{err}")
    return subprocess.CompletedProcess(shell.args, shell.returncode, out, err)


def bash_accepts(script: str) -> str:
    """Return what `bash -n` has to say against a script; empty when it can be read."""
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr if done.returncode else ""
