"""A command on this machine that gets each notice as JSON on its standard input."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

from rotator.errors import NotDelivered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rotator.notices import Notice

PASSED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
"""What a program needs to find its way. All else stays here: rotator's environment holds client secrets and keys."""


class Command:
    """`notifier.Notifier`: runs the command once for each notice; exit code 0 is a delivery. Thread-safe.

    In a process group of its own, which is killed when the deadline is over. What it prints is thrown away: it may
    print what it likes, and nobody waits for a pipe that a child of it keeps open.

    Args:
        command: The program and its arguments; no shell reads them.
        env: This process's environment.
        passed: Names of further variables that the command gets.
    """

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], passed: Sequence[str] = ()) -> None:
        self._name = name
        self._command = list(command)
        self._env = {variable: env[variable] for variable in (*PASSED, *passed) if variable in env}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._lock = threading.Lock()

    def deliver(self, notice: Notice, *, deadline_s: float) -> None:
        """See `Notifier.deliver`."""
        process = self._started(notice)
        try:
            process.communicate(notice.json().encode() + b"\n", timeout=deadline_s)
        except subprocess.TimeoutExpired:
            raise NotDelivered(
                f"notifier {self._name}: still running after {deadline_s:.0f} s, and was killed",
                hint="let the command end sooner, or put its work in the background",
            ) from None
        finally:
            with self._lock:
                self._running.discard(process)
                if process.returncode is None:
                    _kill(process)
            if process.returncode is None:
                process.communicate()
        if process.returncode:
            raise NotDelivered(
                f"notifier {self._name}: exit code {process.returncode}", hint="run the command by hand to see why"
            )

    def close(self) -> None:
        """See `Notifier.close`: kills what runs."""
        with self._lock:
            self._closed = True
            for process in self._running:
                _kill(process)

    def _started(self, notice: Notice) -> subprocess.Popen[bytes]:
        facts = {
            "ROTATOR_NOTICE_ID": notice.id,
            "ROTATOR_NOTICE_TYPE": notice.type,
            "ROTATOR_NOTICE_KIND": notice.kind or "",
            "ROTATOR_CREDENTIAL": notice.credential,
        }
        with self._lock:  # so that `close` misses none
            if self._closed:
                raise NotDelivered(f"notifier {self._name}: closed")
            try:
                process = subprocess.Popen(  # noqa: S603 - the operator's own command, and no shell
                    self._command,
                    env={**self._env, **facts},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:  # ValueError: a name with a zero byte in it
                why = error.strerror if isinstance(error, OSError) else "an argument holds a zero byte"
                raise NotDelivered(
                    f"notifier {self._name}: cannot be run: {why}", hint="check the path and its permissions"
                ) from None
            self._running.add(process)
        return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process with its children. It was not waited for, so its number is no other's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
