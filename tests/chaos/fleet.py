"""Real rotator processes on one configuration, killed, paused and cut off for a while, then left in peace."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import yaml

from rotator import policy
from rotator.clocks import SystemClock, SystemIds, SystemRandom
from rotator.config.load import load_config
from rotator.documents import stored_tokens
from rotator.errors import RotatorError
from rotator.model import Malformed, RateLimit
from rotator.observe import Observed
from rotator.operations import Operations
from rotator.rotation import AFTER_THE_ANSWER_S
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer, auth0_face, dailypay_face
from rotator.wiring import App, Surroundings, build
from tests.chaos.proxy import CHANCES, PROVIDER_CHANCES, Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from rotator.testing.sandbox import FaceSettings
    from tests.chaos.backends import Backend

TIMEOUT_S = 2
LEASE_S = TIMEOUT_S + AFTER_THE_ANSWER_S
PACE = RateLimit(8, 1.0)
TOLD_S = 6
"""How long a refusal tells its client to wait."""

SECRET_ENV = "CHAOS_CLIENT_SECRET"

PROVIDERS: dict[str, dict[str, Any]] = {
    "strict": {"replay": "never", "on_doubt": "operator"},
    "lasttry": {"replay": "never", "on_doubt": "wait_then_replay"},
    "graceful": {"replay": "until_successor_used", "rate_limit": {"requests": PACE.requests, "per": f"{PACE.per_s}s"}},
}
"""One provider for each way of handling a doubt; the last one also has a budget."""


def faces(lifetime_s: int) -> list[FaceSettings]:
    """The tenants behind the providers."""
    return [
        auth0_face("strict", lifetime_s=lifetime_s),
        auth0_face("lasttry", token_path="/lasttry/token", lifetime_s=lifetime_s),
        dailypay_face("graceful", lifetime_s=lifetime_s, grace_window_s=86_400, rate_limit=PACE),
    ]


@dataclass(slots=True, eq=False)
class Replica:
    """One process of rotator. Times are wall-clock."""

    process: subprocess.Popen[bytes]
    kind: Literal["run", "once"]
    began_s: float
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
        daemons: How many `run` there are at any time.
        logins: The newest login, by credential, whose tokens a person surely put.
    """

    folder: Path
    backend: Backend
    server: SandboxServer
    proxy: Proxy
    seed: int
    credentials: int
    daemons: int = 2
    blows: list[Blow] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)
    exits: Counter[tuple[str, int]] = field(default_factory=Counter)
    logins: dict[str, int] = field(default_factory=dict)
    persons: int = 0
    _random: random.Random = field(init=False)
    _files: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.folder.mkdir(exist_ok=True)
        self.file.write_text(yaml.safe_dump(self._config(), sort_keys=False))
        app = self.app()
        for credential in app.credentials:
            self._log_in(app, credential.name)

    # ------------------------------------------------------------------------------------------ configuration

    @property
    def file(self) -> Path:
        return self.folder / "rotator.yaml"

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit.jsonl"

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, SECRET_ENV: DEFAULT_CLIENT_SECRET, **self.backend.env}

    def _config(self) -> dict[str, Any]:
        names = list(PROVIDERS)
        providers = {
            name: {
                "profile": "generic",
                "token_endpoint": self.proxy.url + self.server.face(name).settings.token_path,
                "timeout": f"{TIMEOUT_S}s",
                **more,
            }
            for name, more in PROVIDERS.items()
        }
        credentials = [
            {
                "name": f"{names[number % len(names)]}-{number}",
                "provider": names[number % len(names)],
                "client_id": DEFAULT_CLIENT_ID,
                "client_secret": {"env": SECRET_ENV},
            }
            for number in range(self.credentials)
        ]
        return {
            "version": 1,
            **self.backend.config,
            "audit": [{"type": "jsonl", "path": str(self.audit_file)}],
            "workers": 8,
            "providers": providers,
            "credentials": credentials,
        }

    def app(self) -> App:
        """The parts, in this process."""
        surroundings = Surroundings(self.env, SystemClock(), SystemIds(), SystemRandom())
        return build(load_config(self.file, self.env), "once", surroundings)

    # -------------------------------------------------------------------------------------------------- chaos

    def chaos(self, seconds: float, *, long_pauses: bool) -> None:
        """Let everything go wrong for so long."""
        self.proxy.chances = dict(PROVIDER_CHANCES)
        self.server.face("graceful").fault("rate_limited", times=None, probability=0.04, seed=self.seed, wait_s=TOLD_S)
        self.server.face("graceful").fault("unavailable", times=None, probability=0.03, seed=self.seed + 1, wait_s=1.0)
        ends_s = time.time() + seconds
        app = self.app()
        while time.time() < ends_s:
            self._keep_running()
            for other in self.backend.proxies.values():
                # A store that is down for a moment: nothing gets through.
                other.chances = {"reset_before": 1.0} if self._random.random() < 0.05 else dict(CHANCES)
            if self._random.random() < 0.15:
                self._person(app)
            self._strike(long_pauses=long_pauses, left_s=ends_s - time.time())
            time.sleep(self._random.uniform(0.1, 0.6))

    def heal(self) -> None:
        """Take every fault back and wake who sleeps."""
        self.server.face("graceful").clear_faults()
        for proxy in (self.proxy, *self.backend.proxies.values()):
            proxy.calm()
        for replica in self.replicas:
            self._resume(replica)
        self._keep_running()

    def _keep_running(self) -> None:
        now_s = time.time()
        for replica in list(self.replicas):
            if not replica.alive:
                self.exits[replica.kind, replica.process.returncode] += 1
                self.replicas.remove(replica)
            elif replica.paused_s and now_s >= replica.resume_s:
                self._resume(replica)
        running = sum(replica.kind == "run" for replica in self.replicas)
        for _ in range(running, self.daemons):
            self._start("run")
        if not any(replica.kind == "once" for replica in self.replicas):
            force = ["--force"] if self._random.random() < 0.3 else []
            self._start("once", "--json", "--horizon", "3s", *force)

    def _person(self, app: App) -> None:
        """Somebody logs in anew for a credential that asks for it, while everything goes on; stores may fail them."""
        name = self._random.choice([credential.name for credential in app.credentials])
        with contextlib.suppress(RotatorError):
            [(_, observed)] = app.passes.look([app.credential(name)])
            asks = isinstance(observed, Observed) and isinstance(
                policy.decide(observed.situation), policy.InDoubt | policy.Latched
            )
            if asks or self._random.random() < 0.1:
                self._log_in(app, name)
                self.persons += 1

    def _log_in(self, app: App, name: str) -> None:
        credential = app.credential(name)
        face = self.server.face(credential.provider.name)
        answer = face.login(DEFAULT_CLIENT_ID)
        Operations(app).put(credential, json.dumps(answer))
        self.logins[name] = face.family_of(answer["refresh_token"])

    def _strike(self, *, long_pauses: bool, left_s: float) -> None:
        awake = [one for one in self.replicas if one.alive and not one.paused_s and time.time() - one.began_s > 0.5]
        if not awake:
            return
        victim = self._random.choice(awake)
        drawn = self._random.random()
        if drawn < 0.18:
            now_s = time.time()
            victim.process.kill()
            self.blows.append(Blow(victim.process.pid, now_s, None))
        elif drawn < 0.38:
            self._pause(victim, self._random.uniform(0.2, TIMEOUT_S * 2.0))
        elif drawn < 0.42 and long_pauses and left_s > LEASE_S:
            self._pause(victim, LEASE_S + self._random.uniform(1.0, 8.0))

    def _pause(self, replica: Replica, seconds: float) -> None:
        replica.paused_s = time.time()
        replica.resume_s = replica.paused_s + seconds
        replica.process.send_signal(signal.SIGSTOP)

    def _resume(self, replica: Replica) -> None:
        if replica.paused_s:
            self.blows.append(Blow(replica.process.pid, replica.paused_s, time.time()))
            replica.paused_s = None
            replica.process.send_signal(signal.SIGCONT)

    def _start(self, *arguments: str) -> None:
        self._files += 1
        name = f"{self._files:03}-{arguments[0]}"
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "rotator", "-c", str(self.file), *arguments],
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.replicas.append(Replica(process, arguments[0], time.time()))  # type: ignore[arg-type]  # run or once

    def end(self) -> list[int]:
        """Stop the daemons in order, wait for the rest, and return how the daemons ended."""
        for replica in self.replicas:
            self._resume(replica)
            if replica.kind == "run" and replica.alive:
                replica.process.terminate()
        return [self._ended(one) for one in self.replicas if one.kind == "run"]

    def _ended(self, replica: Replica) -> int:
        return replica.process.wait(timeout=LEASE_S)

    def kill_all(self) -> None:
        """Leave no process behind, whatever happened."""
        for replica in self.replicas:
            if replica.alive:
                replica.process.kill()
            replica.process.wait()

    # ------------------------------------------------------------------------------------------------ in peace

    def look(self, app: App) -> dict[str, tuple[Observed, policy.Decision]]:
        """What the next pass would do about each credential."""
        seen = {}
        for credential, observed in app.passes.look(app.credentials):
            assert isinstance(observed, Observed), f"{credential.name}: {observed}"
            seen[credential.name] = (observed, policy.decide(observed.situation))
        return seen

    def settled(self, app: App, within_s: float) -> dict[str, policy.Decision]:
        """Run on until nothing is left to do at once, or the time is up; return what is still to be done then.

        A pause after a failure and a doubt that waits for its moment, or for a person, are at rest.
        """
        ends_s = time.time() + within_s
        while True:
            self._keep_running()
            restless = {
                name: decision
                for name, (_, decision) in self.look(app).items()
                if isinstance(decision, policy.Due | policy.Recover | policy.Held | policy.Stale)
                or (isinstance(decision, policy.CoolingDown) and decision.until < soon(app, ends_s))
            }
            if not restless or time.time() > ends_s:
                return restless
            time.sleep(0.3)

    def expired_in_peace(self, app: App, seconds: float) -> set[str]:
        """Watch credentials that are fresh now for so long; return those whose access token ends in the store."""
        fresh = {name for name, (_, decision) in self.look(app).items() if isinstance(decision, policy.Fresh)}
        expired = set()
        ends_s = time.time() + seconds
        while time.time() < ends_s:
            self._keep_running()
            for name, (observed, _) in self.look(app).items():
                tokens = stored_tokens(observed.situation.stored, observed.situation.credential.provider)
                assert not isinstance(tokens, Malformed)
                if name in fresh and tokens.expires_at and tokens.expires_at < observed.at:
                    expired.add(name)
            time.sleep(0.5)
        return expired


def soon(app: App, ends_s: float) -> Any:
    """The end of the time to settle in, as an instant."""
    now = app.surroundings.clock.now()
    return now + timedelta(seconds=ends_s - time.time() - 1.0)
