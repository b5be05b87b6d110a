"""Real processes on one configuration: started, killed, paused and cut off as a plan says, and then left in peace."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rotator.errors import RotatorError
from tests.chaos.deployment import LEASE_S, TOLD_S
from tests.chaos.scenarios import plan, weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.deployment import Program
    from tests.chaos.scenarios import Scenario, Step

TICK_S = 0.05
ONCE_PAUSE_S = 1.0
"""Between two passes of the loop of `once`, for a small fleet."""

UNASKED = 0.1
"""How often a person logs in anew for no reason that anybody knows of."""


@dataclass(slots=True, eq=False)
class Replica:
    """One process. Times are wall-clock."""

    process: subprocess.Popen[bytes]
    kind: Literal["run", "once"]
    slot: int
    paused_s: float | None = None
    resume_s: float = 0.0

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


@dataclass(frozen=True, slots=True)
class Blow:
    """A pause or a kill of a process: from when to when it did not run; a kill has no end."""

    pid: int
    from_s: float
    until_s: float | None


@dataclass(slots=True)
class Fleet:
    """The processes and what was done to them.

    Args:
        blows: Kills and pauses, each once it is over.
        exits: How processes that nobody stopped in order ended.
        lost_before: Logins that were dead when a person logged in anew.
    """

    program: Program
    scenario: Scenario
    seed: int
    blows: list[Blow] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)
    exits: Counter[tuple[str, int]] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    lost_before: int = 0
    defects: list[str] = field(default_factory=list)
    _arguments: set[bytes] = field(default_factory=set)
    _outages: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _once_at_s: float = 0.0
    _files: int = 0

    # -------------------------------------------------------------------------------------------------- chaos

    def chaos(self, seconds: float) -> None:
        """Let everything go wrong that the scenario knows, for so long."""
        deployment = self.program.deployment
        steps = plan(self.scenario, self.seed, seconds, deployment.credentials, LEASE_S)
        deployment.proxy.chances = self.scenario.provider
        self._calm_stores()
        if self.scenario.refusals:
            face = deployment.server.face("graceful")
            face.fault("rate_limited", times=None, probability=0.02, seed=self.seed, wait_s=TOLD_S)
            face.fault("unavailable", times=None, probability=0.03, seed=self.seed + 1, wait_s=1.0)
        began_s = time.time()
        with ThreadPoolExecutor(1, thread_name_prefix="person") as person:
            while (now_s := time.time() - began_s) < seconds:
                self.keep_running()
                while steps and steps[0].at_s <= now_s:
                    step = steps.pop(0)
                    if step.kind == "person":
                        person.submit(self._person, step)
                    elif step.kind == "outage":
                        self._outage(step)
                    else:
                        self._strike(step)
                self._end_outages(time.time())
                time.sleep(TICK_S)

    def heal(self) -> None:
        """Take every fault back and wake who sleeps."""
        deployment = self.program.deployment
        deployment.server.face("graceful").clear_faults()
        self._end_outages(float("inf"))
        for proxy in (deployment.proxy, *deployment.backend.proxies.values()):
            proxy.calm()
        for replica in self.replicas:
            self._resume(replica)
        self.keep_running()

    def keep_running(self) -> None:
        """Start what is not running, and wake whose pause is over."""
        now_s = time.time()
        for replica in list(self.replicas):
            self._look_at_arguments(replica)
            if not replica.alive:
                self.exits[replica.kind, replica.process.returncode] += 1
                self.replicas.remove(replica)
                self._once_at_s = max(self._once_at_s, now_s + self._once_pause_s if replica.kind == "once" else 0.0)
            elif replica.paused_s and now_s >= replica.resume_s:
                self._resume(replica)
        running = {replica.slot for replica in self.replicas}
        for slot in set(range(self.scenario.daemons)) - running:
            self._start("run", slot)
        if self.scenario.once and self.scenario.daemons not in running and now_s >= self._once_at_s:
            self._start("once", self.scenario.daemons)

    @property
    def dead(self) -> set[int]:
        """The process ids of those that were killed."""
        return {blow.pid for blow in self.blows if blow.until_s is None}

    # -------------------------------------------------------------------------------------------------- blows

    def _strike(self, step: Step) -> None:
        victim = next((one for one in self.replicas if one.slot == step.slot and one.alive), None)
        if victim is None or (victim.paused_s and victim.resume_s - victim.paused_s > LEASE_S):
            return  # who sleeps beyond the lease is to wake up again
        if step.kind == "kill":
            now_s = time.time()
            victim.process.kill()
            self.blows.append(Blow(victim.process.pid, now_s, None))
            self.struck["sigkill"] += 1
        elif victim.paused_s is None:
            victim.paused_s = time.time()
            victim.resume_s = victim.paused_s + step.for_s
            victim.process.send_signal(signal.SIGSTOP)
            self.struck["pause beyond the lease" if step.for_s > LEASE_S else "pause"] += 1

    def _resume(self, replica: Replica) -> None:
        if replica.paused_s:
            self.blows.append(Blow(replica.process.pid, replica.paused_s, time.time()))
            replica.paused_s = None
            replica.process.send_signal(signal.SIGCONT)

    def _outage(self, step: Step) -> None:
        """Take the store of the documents away; every other time all that is remote, or all files, with it."""
        backend = self.program.deployment.backend
        ends_s = time.time() + step.for_s
        everything = step.drawn < 0.5
        proxies = list(backend.proxies.values())
        for proxy in proxies if everything else proxies[:1]:
            proxy.chances = {"reset_before": 1.0}
        if proxies:
            self._outages.append((ends_s, self._calm_stores))
        for path in backend.files if everything else backend.files[:1]:
            # Somebody else's long transaction, as a backup or an editor holds it.
            with contextlib.suppress(sqlite3.OperationalError):  # not there yet, or held by one of ours just now
                connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None, timeout=0.5)
                self._outages.append((ends_s, connection.close))
                connection.execute("BEGIN IMMEDIATE")
        self.struck["store outage"] += 1

    def _end_outages(self, now_s: float) -> None:
        over = [outage for outage in self._outages if outage[0] <= now_s]
        self._outages = [outage for outage in self._outages if outage[0] > now_s]
        for _, end in over:
            end()

    def _calm_stores(self) -> None:
        for proxy in self.program.deployment.backend.proxies.values():
            proxy.chances = self.scenario.stores

    def _person(self, step: Step) -> None:
        """Somebody logs in anew for a credential that asks for it, while everything goes on; stores may fail them."""
        program = self.program
        names = program.deployment.names
        name = names[int(step.drawn * len(names))]
        try:
            asks = program.asks(name)
            if asks or step.drawn * len(names) % 1 < UNASKED:
                dead = not program.alive(name, program.stored(name)["refresh_token"])
                program.log_in(name)
                self.lost_before += dead
                self.struck["login by a person"] += 1
        except RotatorError:
            self.struck["person was turned away"] += 1
        except Exception as error:  # noqa: BLE001 - the naive program's stores fail in their own words
            if program.name == "rotator":
                self.defects.append(f"a person's work on {name} failed: {type(error).__name__}")
            self.struck["person was turned away"] += 1

    # ---------------------------------------------------------------------------------------------- processes

    @property
    def _once_pause_s(self) -> float:
        return ONCE_PAUSE_S * weight(self.program.deployment.credentials)

    def _start(self, kind: Literal["run", "once"], slot: int) -> None:
        deployment = self.program.deployment
        self._files += 1
        stem = deployment.folder / f"{self._files:04}-{kind}"
        with stem.with_suffix(".out").open("wb") as out, stem.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                self.program.command(kind),
                env=deployment.env,
                cwd=deployment.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.replicas.append(Replica(process, kind, slot))

    def _look_at_arguments(self, replica: Replica) -> None:
        """Keep what other users of the machine see of a process; it is searched for secrets with everything else."""
        with contextlib.suppress(OSError):
            home = Path(f"/proc/{replica.process.pid}")
            self._arguments |= {(home / "cmdline").read_bytes(), (home / "comm").read_bytes()}

    def end(self) -> list[int]:
        """Stop the daemons in order, wait for the rest, and return how the daemons ended."""
        for replica in self.replicas:
            self._resume(replica)
            if replica.kind == "run" and replica.alive:
                replica.process.terminate()
        codes = [one.process.wait(timeout=LEASE_S + 30.0) for one in self.replicas if one.kind == "run"]
        for replica in self.replicas:
            if replica.kind == "once":
                code = replica.process.wait(timeout=LEASE_S + 30.0)
                self.exits["once", code] += 1
        (self.program.deployment.folder / "arguments").write_bytes(b"\n".join(sorted(self._arguments)))
        return codes

    def kill_all(self) -> None:
        """Leave no process behind, whatever happened."""
        self._end_outages(float("inf"))
        for replica in self.replicas:
            if replica.alive:
                replica.process.kill()
            replica.process.wait()
