"""A stage for whole programs: a configuration file, local stores in a folder, and the sandbox behind real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from rotator.cli import commands
from rotator.clocks import SystemClock, SystemIds, SystemRandom
from rotator.config.load import load_config
from rotator.documents import parse_document
from rotator.errors import RotatorError
from rotator.ledger import SecretLedger
from rotator.metrics import Meters
from rotator.model import Document
from rotator.operations import Operations
from rotator.records import StateRecord, digest_of
from rotator.redact import Secret
from rotator.testing.memory import VirtualClock
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer, auth0_face, dailypay_face
from rotator.wiring import App, Surroundings, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rotator.model import Mode
    from rotator.observe import Observed
    from rotator.ports import Clock
    from rotator.testing.sandbox import Face

WAIT_S = 20.0
"""How long a poll waits for an event before the test fails."""

CANARIES = ("sandbox_at_", "sandbox_rt_", DEFAULT_CLIENT_SECRET, "canary")
"""Every token of the sandbox begins with one of the first two."""


def poll(event: Callable[[], Any], what: str, *, within_s: float = WAIT_S) -> Any:
    """Return what `event` returns as soon as that is true."""
    ends = time.monotonic() + within_s
    while not (value := event()):
        assert time.monotonic() < ends, f"did not happen: {what}"
        time.sleep(0.01)
    return value


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Stage:
    """One machine with rotator on it.

    Args:
        config: What the configuration file says; written before each command.
        env: What rotator's processes find in the environment beside the usual.
    """

    folder: Path
    server: SandboxServer
    clock: Clock
    capture: pytest.CaptureFixture[str]
    config: dict[str, Any] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=lambda: {"CLIENT_SECRET": DEFAULT_CLIENT_SECRET})
    meters: Meters | None = None

    def __post_init__(self) -> None:
        self.config = {
            "version": 1,
            "stores": {"main": {"type": "local", "path": str(self.folder / "secrets.db")}},
            "state": {"type": "local", "path": str(self.folder / "state.db")},
            "escrow": {"type": "file", "path": str(self.folder / "escrow")},
            "audit": [{"type": "jsonl", "path": str(self.audit_file)}],
            "workers": 4,
            "providers": {},
            "credentials": [],
        }
        self.provider("acme")

    # -------------------------------------------------------------------------------------------- configuration

    @property
    def file(self) -> Path:
        return self.folder / "rotator.yaml"

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit.jsonl"

    def provider(self, name: str, *, face: str = "auth0", **more: Any) -> dict[str, Any]:
        entry = {"profile": "generic", "token_endpoint": self.server.face(face).token_endpoint, "timeout": "2s", **more}
        self.config["providers"][name] = entry
        return entry

    def credential(self, name: str = "alpha", *, provider: str = "acme", **more: Any) -> dict[str, Any]:
        """Configure a credential; `client_id=None` leaves a key out."""
        entry = {
            "name": name,
            "provider": provider,
            "client_id": DEFAULT_CLIENT_ID,
            "client_secret": {"env": "CLIENT_SECRET"},
            **more,
        }
        entry = {key: value for key, value in entry.items() if value is not None}
        self.config["credentials"].append(entry)
        return entry

    def save(self) -> Path:
        self.file.write_text(yaml.safe_dump(self.config, sort_keys=False))
        return self.file

    # -------------------------------------------------------------------------------------------- what is there

    def face(self, name: str = "auth0") -> Face:
        return self.server.face(name)

    def seed(self, name: str = "alpha", *, face: str = "auth0", **fields: Any) -> dict[str, Any]:
        """A person logs in and puts the token set."""
        answer = {**self.face(face).login(DEFAULT_CLIENT_ID), **fields}
        app = self.app("operator")
        Operations(app).put(app.credential(name), json.dumps(answer))
        return answer

    def ready(self, *names: str, **more: Any) -> None:
        """Configure and seed credentials."""
        for name in names or ("alpha",):
            self.credential(name, **more)
            self.seed(name)

    def fleet(self, *names: str) -> None:
        """Configure and seed many, with parts that are built once: each that are built keep an audit file open."""
        for name in names:
            self.credential(name)
        app = self.app("operator")
        for name in names:
            Operations(app).put(app.credential(name), json.dumps(self.face().login(DEFAULT_CLIENT_ID)))

    def app(self, mode: Mode = "once", *, clock: Clock | None = None, pause_s: float = 60.0) -> App:
        env = {**os.environ, **self.env}
        settings = load_config(self.save(), env)
        if mode == "daemon" and settings.http and self.meters is None:
            self.meters = Meters(clock or self.clock)
        meters = self.meters if mode == "daemon" else None
        surroundings = Surroundings(env, clock or self.clock, SystemIds(), SystemRandom(), pause_s, meters)
        return build(settings, mode, surroundings)

    def document(self, name: str = "alpha") -> dict[str, Any]:
        app = self.app()
        credential = app.credential(name)
        content = app.stores[credential.store].read(credential.secret).content
        assert isinstance(content, Document)
        return dict(content.fields)

    def version(self, name: str = "alpha") -> str:
        app = self.app()
        credential = app.credential(name)
        return app.stores[credential.store].read(credential.secret).version

    def write(self, name: str = "alpha", **fields: Any) -> None:
        """Somebody edits the document; a field set to None goes."""
        app = self.app()
        credential = app.credential(name)
        store = app.stores[credential.store]
        stored = store.read(credential.secret)
        assert isinstance(stored.content, Document)
        merged = {key: value for key, value in {**stored.content.fields, **fields}.items() if value is not None}
        store.compare_and_swap(credential.secret, Document(merged), expected=stored.version, write_id=merged_id(merged))

    def records(self) -> dict[str, tuple[Any, int]]:
        """Return every record of the state with its revision."""
        state = self.app().state
        return {key: state.read(key) for key in state.keys("")}

    def ledger(self, name: str = "alpha") -> SecretLedger:
        app = self.app()
        credential = app.credential(name)
        ledger = SecretLedger(app.state, app.stores[credential.store].read(credential.secret).identity, app.retrier)
        ledger.load()
        return ledger

    def change_record(self, change: Callable[[StateRecord], StateRecord], name: str = "alpha") -> None:
        self.ledger(name).change(change)

    def record(self, name: str = "alpha") -> StateRecord:
        return self.ledger(name).record

    def digest(self, name: str = "alpha") -> str:
        return digest_of(Secret(self.document(name)["refresh_token"]))

    def observed(self, name: str = "alpha", **look: Any) -> Observed:
        app = self.app()
        [(_, observed)] = app.passes.look([app.credential(name)], **look)
        assert not isinstance(observed, RotatorError)
        return observed

    def is_live(self, name: str = "alpha", face: str = "auth0") -> bool:
        """Whether the stored refresh token is the newest one that the provider accepts."""
        token = self.document(name)["refresh_token"]
        at = self.face(face)
        return at.live_refresh_token(at.family_of(token)) == Secret(token)

    @property
    def events(self) -> list[dict[str, Any]]:
        if not self.audit_file.exists():
            return []
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]

    def event_names(self, name: str = "alpha") -> list[str]:
        return [event["event"] for event in self.events if event["credential"] == name]

    # ----------------------------------------------------------------------------------------------- time

    def advance(self, seconds: float) -> None:
        cast("VirtualClock", self.clock).advance(seconds)

    def until_due(self, name: str = "alpha") -> None:
        """Let time pass until the access token has half a minute left."""
        self.advance(max(0.0, self.document(name)["expires_at"] - self.clock.now().timestamp() - 30))

    # -------------------------------------------------------------------------------------------- commands

    def cli(self, *arguments: str, config: Path | None = None, save: bool = True) -> Ended:
        """Run a command in this process."""
        if save:
            self.save()
        self.capture.readouterr()
        code = commands.run(["-c", str(config or self.file), *arguments])
        out, err = self.capture.readouterr()
        return Ended(code, out, err)

    def spawn(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command as a process; the stage ends what is left of it."""
        process = subprocess.Popen(
            [sys.executable, "-m", "rotator", "-c", str(self.save()), *arguments],
            env={**os.environ, **self.env, **(env or {})},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def end_processes(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    @staticmethod
    def ended(process: subprocess.Popen[str]) -> Ended:
        """Wait for a process to end."""
        out, err = process.communicate(timeout=WAIT_S * 2)
        return Ended(process.returncode, out, err)


def merged_id(fields: Mapping[str, Any]) -> str:
    return f"edit-{len(json.dumps(dict(fields)))}-{time.monotonic_ns()}"


def is_document(text: str) -> bool:
    return isinstance(parse_document(text), Document)


@pytest.fixture
def stage(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage on which time passes only when a test says so, for commands in this process and for the sandbox."""
    clock = VirtualClock()
    with SandboxServer([auth0_face(lifetime_s=3600), dailypay_face(lifetime_s=3600)], clock=clock) as server:
        made = Stage(tmp_path, server, clock, capsys)
        monkeypatch.setattr("rotator.wiring.SystemClock", lambda: clock)
        monkeypatch.setenv("CLIENT_SECRET", DEFAULT_CLIENT_SECRET)
        monkeypatch.chdir(tmp_path)
        yield made
        assert server.failures == ()


@pytest.fixture
def real_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage in real time, for processes."""
    monkeypatch.setenv("CLIENT_SECRET", DEFAULT_CLIENT_SECRET)
    monkeypatch.chdir(tmp_path)
    with SandboxServer([auth0_face(lifetime_s=3600), dailypay_face(lifetime_s=3600)]) as server:
        made = Stage(tmp_path, server, SystemClock(), capsys)
        try:
            yield made
        finally:
            made.end_processes()
        assert server.failures == ()
