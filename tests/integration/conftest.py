"""Whole deployments: the parts as wiring builds them, on emulators over HTTP and the sandbox authorization server."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from rotator import aws_session
from rotator.clocks import SystemIds, SystemRandom
from rotator.config.load import load_config
from rotator.operations import Operations
from rotator.testing.memory import VirtualClock
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer
from rotator.testing.vault_double import VaultDouble
from rotator.wiring import Surroundings, build
from tests.servers import create_state_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rotator.outcomes import Outcome
    from rotator.wiring import App

KEY = base64.b64encode(bytes(range(32))).decode()


@dataclass
class Deployment:
    """One configured fleet and what its calls cost."""

    app: App
    sandbox: SandboxServer
    clock: VirtualClock
    calls: Counter[str] = field(default_factory=Counter)

    def seed(self) -> None:
        """Log in for every credential and put the answers, then forget what that cost."""
        for credential in self.app.credentials:
            face = self.sandbox.face(credential.provider.name)
            Operations(self.app).put(credential, json.dumps(face.login(DEFAULT_CLIENT_ID)))
        self.calls.clear()

    def pass_(self, **options: Any) -> list[Outcome]:
        return self.app.passes.run(self.app.credentials, horizon_s=0.0, **options)

    def document(self, name: str) -> dict[str, Any]:
        credential = self.app.credential(name)
        content = self.app.stores[credential.store].read(credential.secret).content
        return dict(content.fields)  # type: ignore[union-attr]


PROVIDERS = """
providers:
  auth0: {{profile: auth0, domain: sandbox.example, token_endpoint: "{auth0}"}}
  dailypay: {{profile: dailypay, environment: uat, token_endpoint: "{dailypay}"}}
"""


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def sandbox(clock: VirtualClock) -> Iterator[SandboxServer]:
    with SandboxServer(clock=clock) as server:
        yield server


@pytest.fixture
def deploy(
    tmp_path: Path, clock: VirtualClock, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Deployment]]:
    """Return a function that builds the parts from a configuration without its `providers`."""
    monkeypatch.setattr(aws_session, "_SHARED", [])
    env = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SEAL_KEY": KEY,
        "CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def built(text: str) -> Deployment:
        endpoints = {name: face.token_endpoint for name, face in sandbox.faces.items()}
        audit = f"audit: [{{type: jsonl, path: {tmp_path}/audit.jsonl}}]\n"
        settings = load_config("version: 1\n" + audit + PROVIDERS.format(**endpoints) + text, env)
        app = build(settings, "once", Surroundings(env, clock, SystemIds(), SystemRandom()))
        return Deployment(app, sandbox, clock)

    return built  # type: ignore[return-value]


def counted(deployment: Deployment, client: Any) -> None:
    """Count every call that a boto3 client makes."""

    def note(model: Any, **_: object) -> None:
        deployment.calls[model.name] += 1

    client.meta.events.register("before-call", note)


@pytest.fixture
def table(ministack_url: str, new_name: Callable[[str], str]) -> str:
    """A state table."""
    return create_state_table(ministack_url, new_name("rotator-state"))


@pytest.fixture
def vault() -> Iterator[VaultDouble]:
    with VaultDouble() as double:
        yield double
