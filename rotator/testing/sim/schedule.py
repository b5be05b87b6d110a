"""One thread of control and one clock for all simulated processes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from greenlet import greenlet

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

START = datetime(2026, 1, 1, tzinfo=UTC)


class Crash(BaseException):
    """The simulated process is gone; no `except Exception` of the code under test holds it up."""


@dataclass(slots=True)
class Process:
    """A simulated process: what runs and where, when it goes on, and how its clock is off.

    Args:
        mode: How it is started again; empty for a person, who is not.
    """

    name: str
    body: Callable[[], None]
    host: str = ""
    mode: str = ""
    skew_s: float = 0.0
    wakes_at_s: float = 0.0
    crash_now: bool = False
    over: bool = False
    crashed: bool = False
    fiber: greenlet | None = None


@dataclass(slots=True)
class Scheduler:
    """Runs one process at a time, chosen by chance among those whose time has come."""

    chance: random.Random
    now_s: float = 0.0
    processes: list[Process] = field(default_factory=list)
    current: Process | None = None
    steps: int = 0

    def start(self, process: Process) -> None:
        """Add a process; it begins when it is first chosen."""
        process.wakes_at_s = max(process.wakes_at_s, self.now_s)
        process.fiber = greenlet(process.body)
        self.processes.append(process)

    def run(self, until_s: float, after_step: Callable[[Process], None]) -> None:
        """Run until the time is over or nothing is left to run."""
        while True:
            alive = [process for process in self.processes if not process.over]
            if not alive:
                return
            ready = [process for process in alive if process.wakes_at_s <= self.now_s]
            if not ready:
                soonest_s = min(process.wakes_at_s for process in alive)
                if soonest_s > until_s:
                    self.now_s = until_s
                    return
                self.now_s = soonest_s
                continue
            chosen = ready[0] if len(ready) == 1 else self.chance.choice(ready)
            self.steps += 1
            self._step(chosen)
            after_step(chosen)

    def _step(self, process: Process) -> None:
        self.current = process
        fiber = process.fiber
        if fiber is None:
            raise AssertionError("started without a fiber")
        try:
            fiber.switch()
        except Crash:
            process.over = process.crashed = True
        self.current = None
        if fiber.dead:
            process.over = True

    def pause(self, seconds: float) -> None:
        """Called by the running process: let others go on, for at least so long."""
        process = self.running()
        if not process.crash_now:
            process.wakes_at_s = self.now_s + max(0.0, seconds)
            parent = greenlet.getcurrent().parent
            if parent is None:
                raise AssertionError("only a simulated process pauses")
            parent.switch()
        if process.crash_now:
            process.crash_now = False
            raise Crash

    def running(self) -> Process:
        """Return the process that runs."""
        if self.current is None:
            raise AssertionError("nothing runs")
        return self.current

    def end(self) -> None:
        """Let every process that is left crash: what a suspended greenlet holds on its stack is never collected."""
        for process in self.processes:
            if process.fiber and not process.fiber.dead:
                process.crash_now = True
                self.current = process
                with contextlib.suppress(Crash):
                    process.fiber.throw(Crash)
        self.current = None
        self.processes.clear()

    def kill(self, process: Process) -> None:
        """Let a process that waits crash when it would go on; it goes on at once."""
        process.crash_now = True
        process.wakes_at_s = self.now_s


class SimClock:
    """The clock of one process: the world's, off by its skew."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        self._scheduler = scheduler
        self._process = process

    def now(self) -> datetime:
        """Return the process's wall clock."""
        return START + timedelta(seconds=self._scheduler.now_s + self._process.skew_s)

    def monotonic_s(self) -> float:
        """Return the world's seconds."""
        return self._scheduler.now_s

    def sleep(self, seconds: float) -> None:
        """Let others go on meanwhile."""
        self._scheduler.pause(seconds)
