"""A function under Lambda's own runtime: its interface client for Python, below the emulator of Lambda's interface.

Each instance is one sandbox of Lambda: a process that is started by its first event and answers one event at a time. A
time-out ends the process, as Lambda does; `kill` ends it as a lost machine does.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.servers import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping

HANDLER = "rotator.aws_lambda.handler"
ROOT = Path(__file__).parent.parent.parent
SAM = Path(sys.executable).parent.parent / "sam"
READY_WITHIN_S = 20.0
ANSWER_WITHIN_S = 300.0


class FunctionFailed(Exception):
    """The function ended with an error; `told` is what Lambda hands to the caller."""

    def __init__(self, told: Any) -> None:
        super().__init__(json.dumps(told)[:2000])
        self.told = told


class SandboxGone(Exception):
    """The process was ended before it had answered."""


def emulator(folder: Path) -> Path:
    """Return the emulator's program, made executable; skips the test where it is not at hand."""
    name = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}.get(platform.machine(), "none")
    found = next(SAM.glob(f"lib/python*/site-packages/samcli/local/rapid/{name}"), None)
    if found is None:
        pytest.skip(f"the emulator of Lambda's interface is not in {SAM.name}: `make test` installs it")
    program = folder / "aws-lambda-rie"
    if not program.exists():
        shutil.copyfile(found, program)
        program.chmod(0o755)
    return program


def runtime_client(folder: Path) -> Path:
    """Return a folder with Lambda's runtime for Python and nothing else of its environment."""
    made = folder / "runtime"
    if not made.exists():
        made.mkdir()
        for pattern in ("awslambdaric", "runtime_client*", "simplejson", "snapshot_restore_py*"):
            for found in SAM.glob(f"lib/python*/site-packages/{pattern}"):
                (made / found.name).symlink_to(found)
    return made


@dataclass
class Function:
    """One sandbox of a function.

    Args:
        folder: Holds the program and the log.
        env: What the function finds in its environment.
        timeout_s: After which Lambda ends it.
        task: The folder of its code.
    """

    folder: Path
    env: Mapping[str, str]
    handler: str = HANDLER
    timeout_s: int = 60
    task: Path = ROOT
    python: str = sys.executable
    _process: subprocess.Popen[bytes] | None = None
    _ports: list[int] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def log(self) -> Path:
        """What the function and the emulator wrote, of all processes."""
        return self.folder / "function.log"

    def start(self) -> None:
        """Start the emulator; the function itself is started by the first event. One that runs is ended."""
        self.kill()
        self._ports = [_free_port(), _free_port()]
        address, runtime = (f"{LOOPBACK}:{port}" for port in self._ports)
        command = [
            str(emulator(self.folder)), "--runtime-interface-emulator-address", address,
            "--runtime-api-address", runtime, self.python, "-m", "awslambdaric", self.handler,
        ]  # fmt: skip
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": f"{self.task}{os.pathsep}{runtime_client(self.folder)}",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self.timeout_s),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "LAMBDA_TASK_ROOT": str(self.task),
            **self.env,
        }
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, cwd=self.task, env=environment, stdout=log, stderr=log)
        self._process = process
        ends = time.monotonic() + READY_WITHIN_S
        while process.returncode is None and not _listens(self._ports[0]):
            assert time.monotonic() < ends, self.log.read_text()
            assert process.poll() in (None, -signal.SIGKILL), self.log.read_text()  # another thread may have killed it
            time.sleep(0.005)

    def invoke(self, event: Any) -> Any:
        """Return the function's answer to an event.

        Raises:
            FunctionFailed: It raised, or took longer than Lambda allows.
            SandboxGone: Its process was ended meanwhile.
        """
        url = f"http://{LOOPBACK}:{self._ports[0]}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(url, json.dumps(event).encode())
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:
                text = answer.read().decode()
        except OSError as error:
            raise SandboxGone(str(error)) from None
        try:
            told = json.loads(text)
        except ValueError:
            raise FunctionFailed({"errorMessage": text}) from None  # the emulator's own words, as for a time-out
        if isinstance(told, dict) and "errorType" in told:
            raise FunctionFailed(told)
        return told

    def kill(self) -> None:
        """End emulator and function at once, whatever they are doing."""
        process, self._process = self._process, None  # at once: another thread may start the next one
        if process is not None:
            for pid in (*_descendants(process.pid), process.pid):  # the function has a process group of its own
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(10)


def _descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])  # behind the name, which may hold anything
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found[1:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
