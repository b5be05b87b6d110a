"""(d), (e) and (f): `rotator run` as it is, a process of its own on the AWS stubs: its start, its memory, its idling.

Nothing of its inside is touched: the start is over when it logs so, calls are counted by the stubs, memory and
processor time are the kernel's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotator.daemon import CHANGE_CHECK_S
from tests.benchmarks.alone import ROOT
from tests.benchmarks.fleets import Age, Fleet, fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 16
STARTS_WITHIN_S = 3600.0
SETTLE_S = 3.0
"""What is freed right after the start is freed by then."""

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon that has started.

    Args:
        start_s: From the start of the process to its own word that it runs.
        start_cpu_s: What that took.
    """

    process: subprocess.Popen[str]
    start_s: float
    start_cpu_s: float

    @property
    def cpu_s(self) -> float:
        """Its processor time so far."""
        return cpu_s(self.process.pid)

    def memory_bytes(self, kind: str = "VmRSS") -> int:
        """Return its resident memory; `VmHWM` is the most that it ever was."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith(f"{kind}:")]
        return int(line.split()[1]) * 1024


def cpu_s(process_id: int) -> float:
    """Return the processor time of a process, user and system."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def measure(
    count: int, claims: int, known: bool, discovered: bool = False, idle_s: float = CHANGE_CHECK_S
) -> dict[str, Any]:
    """Return what a daemon of `count` credentials takes to start, to be, and to do nothing.

    Args:
        known: Whether the documents are those that rotator wrote last: a restart. Else all of them have to be read.
        discovered: Whether no credential is configured by itself.
        idle_s: How long it is watched; by default as long as from one check for changes to the next, so that exactly
            one is in it. 0 watches nothing.
    """
    with tempfile.TemporaryDirectory() as folder, fleet("aws", Path(folder)) as made:
        made.seed(count, Age.fresh(claims, known=known))
        with _running(made, count, discovered=discovered) as daemon:
            calls = made.calls()
            time.sleep(SETTLE_S)
            found = {
                "start_s": daemon.start_s,
                "start_cpu_s": daemon.start_cpu_s,
                "calls": calls,
                "rss_bytes": daemon.memory_bytes(),
                "peak_bytes": daemon.memory_bytes("VmHWM"),
            }
            if idle_s:
                cpu, began_s = daemon.cpu_s, time.monotonic()
                time.sleep(idle_s)
                found["idle_cpu_share"] = (daemon.cpu_s - cpu) / (time.monotonic() - began_s)
                after = made.calls()
                found["idle_calls"] = {name: after[name] - calls.get(name, 0) for name in after}
                found["rss_after_bytes"] = daemon.memory_bytes()
    return found


@contextlib.contextmanager
def _running(made: Fleet, count: int, *, discovered: bool) -> Iterator[Running]:
    file = made.folder / "rotator.yaml"
    file.write_text(made.configuration(count, workers=WORKERS, discovered=discovered))
    command = [sys.executable, "-m", "rotator", "-c", str(file), "run"]
    began_s = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ)
    started, lines = threading.Event(), list[str]()

    def listen() -> None:
        for line in process.stderr:  # type: ignore[union-attr]  # it is a pipe
            lines.append(line)
            if line.startswith("{") and json.loads(line).get("event") == "running":
                started.set()
        started.set()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        started.wait(STARTS_WITHIN_S)
        if process.poll() is not None:
            raise AssertionError(f"the daemon ended: {''.join(lines[-5:])}")
        yield Running(process, time.monotonic() - began_s, cpu_s(process.pid))
    finally:
        process.terminate()
        process.wait()
        listener.join()
        process.stderr.close()  # type: ignore[union-attr]  # likewise
