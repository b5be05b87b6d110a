"""The units for systemd: checked by its own tools, and their very commands run."""

from __future__ import annotations

import base64
import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parent.parent.parent / "deploy" / "systemd"
SERVICES = ("rotator.service", "rotator-once.service")
NAMES = (*SERVICES, "rotator-once.timer")
PROGRAM = "/opt/rotator/bin/rotator"
MOST_EXPOSED = 15
"""In tenths: systemd 252 says 1.1 of 10; other versions weigh differently."""

PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
"""linux/prctl.h, since Linux 6.3: what `MemoryDenyWriteExecute` comes to."""


def directives(name: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", (UNITS / name).read_text(), re.MULTILINE)


def analyzed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on the units, as if their program were installed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        # Only the system itself brings it, never a package of Python's; every other test of the units runs without.
        pytest.skip("this system is not run by systemd, whose own tool judges the units")
    for name in NAMES:
        text = (UNITS / name).read_text().replace(PROGRAM, sys.executable)
        (folder / name).write_text(text)
    command = [program, *arguments, *(str(folder / name) for name in NAMES if arguments[0] == "verify")]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, check=False)


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """Neither an unknown key nor a value that it ignores."""
    done = analyzed(tmp_path, "verify")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_the_sandbox_is_tight(tmp_path: Path, name: str) -> None:
    """What the service needs is the network and little else."""
    done = analyzed(tmp_path, "security", "--no-pager", "--offline=true", f"--threshold={MOST_EXPOSED}", name)
    assert done.returncode == 0, done.stdout


def test_both_services_have_one_sandbox() -> None:
    """What the daemon may not do, a pass may not do either."""

    def sandbox(name: str) -> list[str]:
        text = (UNITS / name).read_text()
        lines = text[text.index("DynamicUser") :].partition("[Install]")[0].splitlines()
        return [line for line in lines if "=" in line]

    assert sandbox(SERVICES[0]) == sandbox(SERVICES[1])


def deny_write_execute() -> None:
    """Give up memory that can be written and run, as the units do; where the kernel cannot, go on without."""
    ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)


def test_a_pass_runs_by_the_very_command_of_its_unit(tmp_path: Path) -> None:
    """With the configuration beside it and the key where systemd puts it, in a state directory that is empty."""
    [command] = directives("rotator-once.service", "ExecStart")
    words = command.replace("/etc/rotator/rotator.yaml", str(UNITS / "rotator.yaml")).split()
    assert words.pop(0) == PROGRAM
    [credential] = directives("rotator-once.service", "LoadCredential")
    key = tmp_path / "credentials" / credential.partition(":")[0]
    key.parent.mkdir()
    key.write_text(base64.b64encode(bytes(32)).decode())
    key.chmod(0o400)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, "-m", "rotator", *words],
        cwd=state,
        env={**os.environ, "CREDENTIALS_DIRECTORY": str(key.parent), "ACME_CLIENT_SECRET": "x"},
        preexec_fn=deny_write_execute,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr  # nobody has put a token set: a person is needed
    assert "payroll" in done.stdout
    assert "rotator put" in done.stdout


def test_an_exit_code_that_needs_nobody_is_no_failure() -> None:
    """75 is temporary; a faulty configuration starts no second time."""
    assert directives("rotator-once.service", "SuccessExitStatus") == ["75"]
    assert directives("rotator.service", "RestartPreventExitStatus") == ["2"]
