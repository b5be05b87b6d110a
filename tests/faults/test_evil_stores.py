"""Stores that answer slowly, wrongly or not at all, over HTTP: before the request to the provider, and after it."""

from __future__ import annotations

import base64
import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml

from rotator import aws_session
from rotator.cli import commands
from rotator.retrying import Retrier
from rotator.testing.memory import VirtualClock
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer, auth0_face
from rotator.testing.vault_double import VaultDouble
from rotator.token_endpoint import HttpTokenEndpoint
from rotator.vault_session import VaultSession
from tests.faults.evil_gateway import DRIP_S, DRIPS, EVILS, EvilGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DRIPPING = ("drips its body", "drips its headers")
SLOW = ("is silent", *DRIPPING)
SLOW_TIMEOUT_S = 0.25
"""Of each call to a store that is slow; ten seconds in earnest. The waits of a test are real."""

BOUND_S = 10.0
"""How long a pass may take here; some tenths of a second on a machine that has nothing else to do."""

LIES = ("answers other versions",)
"""What no client can tell from the truth at once; then it is the writes, which name a version, that do not fit."""

UNDETECTED = ("aws", "state", "answers another object")
"""DynamoDB answers an object without known members for an item that does not exist, and for a write that is done."""

SEAL = {"key_env": "SEAL_KEY"}
SEAL_KEY = base64.b64encode(bytes(range(32))).decode()
CANARIES = ("sandbox_at_", "sandbox_rt_", DEFAULT_CLIENT_SECRET, "not-a-secret", SEAL_KEY)


@dataclass
class Deployed:
    """One configured credential on a backend whose every server stands behind a gateway."""

    folder: Path
    server: SandboxServer
    clock: VirtualClock
    capture: pytest.CaptureFixture[str]
    gateways: dict[str, EvilGateway]
    elsewhere: EvilGateway
    config: dict[str, Any]

    def run(self, *arguments: str) -> tuple[int, str, float]:
        """Run a command; return its code, what it said and how long it took."""
        path = self.folder / "rotator.yaml"
        path.write_text(yaml.safe_dump(self.config))
        self.capture.readouterr()
        began_s = time.monotonic()
        code = commands.run(["-c", str(path), *arguments])
        took_s = time.monotonic() - began_s
        text = "".join(self.capture.readouterr())
        assert "Traceback" not in text
        assert not any(canary in text for canary in CANARIES), text
        return code, text, took_s

    def seed(self) -> None:
        answer = self.folder / "answer.json"
        answer.write_text(json.dumps(self.server.face("auth0").login(DEFAULT_CLIENT_ID)))
        assert self.run("put", "alpha", str(answer))[0] == 0
        self.clock.advance(1000)

    @property
    def sent(self) -> int:
        return self.server.face("auth0").report.requests

    def heal(self) -> None:
        for gateway in self.gateways.values():
            gateway.heal()

    def goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With everything well again, later passes end what was begun, and every token was presented once."""
        self.heal()
        waited_for(monkeypatch, 10.0, attempts=5)
        for _ in range(3):
            self.clock.advance(960)
            code, text, _ = self.run("once", "--force")
            if code == 0:
                break
        assert code == 0, text
        report = self.server.face("auth0").report
        assert (report.spent_twice, report.reuse_detections, report.families_revoked) == ((), 0, 0)
        assert self.run("escrow", "list")[:2] == (0, "")


@pytest.fixture
def deployed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    moto_url: str,
    new_name: Callable[[str], str],
) -> Iterator[Callable[[str], Deployed]]:
    """Return a function that deploys on `aws` or on `vault`."""
    clock = VirtualClock()
    monkeypatch.setattr("rotator.wiring.SystemClock", lambda: clock)
    monkeypatch.setattr(aws_session, "_SHARED", [])
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # moto's server logs each request
    monkeypatch.chdir(tmp_path)
    env = {"CLIENT_SECRET": DEFAULT_CLIENT_SECRET, "SEAL_KEY": SEAL_KEY, "AWS_DEFAULT_REGION": "us-east-1"}
    env |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    opened: list[Any] = []

    def entered(part: Any) -> Any:
        opened.append(part)
        return part.__enter__()

    def deploy(kind: str) -> Deployed:
        server = entered(SandboxServer([auth0_face(lifetime_s=3600)], clock=clock))
        elsewhere = entered(EvilGateway(moto_url))
        secret = new_name("payroll")
        config: dict[str, Any] = {
            "version": 1,
            "seal": SEAL,
            "audit": [{"type": "jsonl", "path": str(tmp_path / "audit.jsonl")}],
            "providers": {"acme": {"profile": "generic", "token_endpoint": server.face("auth0").token_endpoint}},
            "credentials": [
                {
                    "name": "alpha",
                    "provider": "acme",
                    "store": "main",
                    "secret": secret,
                    "client_id": DEFAULT_CLIENT_ID,
                    "client_secret": {"env": "CLIENT_SECRET"},
                }
            ],
        }
        if kind == "vault":
            double = entered(VaultDouble())
            monkeypatch.setenv("VAULT_TOKEN", double.root)
            gateways = {
                "store": entered(EvilGateway(double.address, elsewhere.url)),
                "state": entered(EvilGateway(double.address, elsewhere.url)),
            }
            config["stores"] = {
                "main": {"type": "vault", "address": gateways["store"].url},
                "records": {"type": "vault", "address": gateways["state"].url},
            }
            config["state"] = {"type": "vault", "store": "records", "path": "rotator/state"}
        else:
            table = new_name("state")
            client = boto3.client("dynamodb", endpoint_url=moto_url)
            client.create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
            client.close()
            gateways = {
                "store": entered(EvilGateway(moto_url, elsewhere.url)),
                "state": entered(EvilGateway(moto_url, elsewhere.url)),
            }
            region = {"region": "us-east-1"}
            config["stores"] = {
                "main": {"type": "aws-secrets-manager", "endpoint_url": gateways["store"].url, **region}
            }
            config["state"] = {"type": "dynamodb", "table": table, "endpoint_url": gateways["state"].url, **region}
        made = Deployed(tmp_path, server, clock, capsys, gateways, elsewhere, config)
        made.seed()
        return made

    yield deploy
    for part in reversed(opened):
        part.__exit__(None, None, None)


@pytest.mark.parametrize("part", ["store", "state"])
@pytest.mark.parametrize("kind", ["aws", "vault"])
@pytest.mark.parametrize("evil", [evil for evil in EVILS if evil not in DRIPPING])
def test_an_evil_store_costs_no_token(
    deployed: Any, monkeypatch: pytest.MonkeyPatch, kind: str, part: str, evil: str
) -> None:
    """Before the request: 75, one clear line, in bounded time, nothing sent. After the answer: what arrived is kept
    where it can be, and when the store is well again later passes end the work. No redirect is followed.
    """
    world = deployed(kind)
    hurried(monkeypatch, evil)
    world.gateways[part].turn(evil)
    code, text, took_s = world.run("once", "--force")
    if evil in LIES or (kind, part, evil) == UNDETECTED:
        assert (code in {0, 75}, world.sent <= 1) == (True, True), text
    else:
        assert (code, world.sent) == (75, 0), text
        assert "alpha: deferred (store_unavailable)" in text
    assert took_s < BOUND_S
    world.heal()
    before = world.sent
    with pytest.MonkeyPatch.context() as patched:
        turn_after_the_answer(world, patched, part, evil)
        code, text, took_s = world.run("once", "--force")
    assert took_s < BOUND_S
    if world.sent != before + 1:
        assert evil in LIES, text  # what it wrote before is finished first
    elif part == "store" and evil not in LIES:
        assert (code, "the new tokens wait in escrow" in text) == (75, True), text
    else:
        assert code in {0, 75}, text
    world.goes_on(monkeypatch)
    assert world.elsewhere.requests == 0


@pytest.mark.parametrize("kind", ["aws", "vault"])
@pytest.mark.parametrize("evil", DRIPPING)
def test_a_store_that_drips_is_not_waited_for(
    deployed: Any, monkeypatch: pytest.MonkeyPatch, kind: str, evil: str
) -> None:
    """A store that sends a byte before each timeout ends is given up like a silent one."""
    world = deployed(kind)
    waited_for(monkeypatch, SLOW_TIMEOUT_S, attempts=1)
    world.gateways["store"].turn(evil)
    code, text, took_s = world.run("once", "--force")
    assert (code, world.sent) == (75, 0), text
    assert took_s < DRIP_S * DRIPS * 0.8


def hurried(monkeypatch: pytest.MonkeyPatch, evil: str) -> None:
    """Shorten what a slow store is waited for."""
    if evil in SLOW:
        waited_for(monkeypatch, SLOW_TIMEOUT_S, attempts=2)


def waited_for(monkeypatch: pytest.MonkeyPatch, timeout_s: float, *, attempts: int) -> None:
    monkeypatch.setattr(aws_session, "READ_TIMEOUT_S", timeout_s)
    monkeypatch.setitem(VaultSession.__init__.__kwdefaults__, "timeout_s", timeout_s)
    monkeypatch.setitem(Retrier.__init__.__kwdefaults__, "attempts", attempts)


def turn_after_the_answer(world: Deployed, monkeypatch: pytest.MonkeyPatch, part: str, evil: str) -> None:
    real = HttpTokenEndpoint.refresh

    def refresh(self: HttpTokenEndpoint, *args: Any, **kwargs: Any) -> Any:
        answer = real(self, *args, **kwargs)
        world.gateways[part].turn(evil)
        return answer

    monkeypatch.setattr(HttpTokenEndpoint, "refresh", refresh)
