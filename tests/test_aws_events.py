"""The Lambda handler, on emulators: what an event asks for, and what it is answered with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rotator import aws_events, aws_session
from rotator.errors import ConfigError
from rotator.operations import Operations
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer
from tests.integration.conftest import KEY, PROVIDERS, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["table"]

FORBIDDEN = ("hvac", "apscheduler", "rich", "click", "rotator.testing", "authlib")


class Context:
    """What Lambda hands to a handler, as far as it is used."""

    def __init__(self, left_s: float) -> None:
        self._left_s = left_s

    def get_remaining_time_in_millis(self) -> int:
        return int(self._left_s * 1000)


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def names(new_name: Callable[[str], str]) -> list[str]:
    return [new_name("dailypay"), new_name("dailypay")]


@pytest.fixture
def deployed(
    sandbox: SandboxServer,
    names: list[str],
    moto_url: str,
    ministack_url: str,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> SandboxServer:
    """Put a configuration for two seeded credentials into the environment, as Lambda does."""
    endpoints = {name: face.token_endpoint for name, face in sandbox.faces.items()}
    credentials = "".join(
        f"  - {{name: {name}, provider: dailypay, client_id: {DEFAULT_CLIENT_ID},"
        " client_secret: {env: CLIENT_SECRET}}\n"
        for name in names
    )
    text = (
        f"version: 1\nstores: {{main: {{type: aws-secrets-manager, endpoint_url: '{moto_url}'}}}}\n"
        f"state: {{type: dynamodb, table: {table}, endpoint_url: '{ministack_url}'}}\n"
        f"seal: {{key_env: SEAL_KEY}}\n{PROVIDERS.format(**endpoints)}credentials:\n{credentials}"
    )
    environment = {
        "ROTATOR_CONFIG_YAML": text,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SEAL_KEY": KEY,
        "CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws_session, "_SHARED", [])
    monkeypatch.setattr(aws_events, "_APPS", {})
    return sandbox


def seed(sandbox: SandboxServer, *, due: bool) -> None:
    app = aws_events._app(os.environ)
    for credential in app.credentials:
        answer = dict(sandbox.face("dailypay").login(DEFAULT_CLIENT_ID))
        if due:
            now = int(app.surroundings.clock.now().timestamp())
            answer |= {"issued_at": now - 3590, "expires_at": now + 10}
        Operations(app).put(credential, json.dumps(answer))


def test_a_schedule_makes_one_pass_and_returns_its_report(deployed: SandboxServer, names: list[str]) -> None:
    """An empty event rotates what is due, and says so in the form of `once --json`."""
    seed(deployed, due=True)
    report = aws_events.handler({}, Context(300))
    assert sorted(one["name"] for one in report["rotated"]) == sorted(names)
    assert (report["fresh"], report["deferred"], report["failed"]) == (0, [], [])
    assert aws_events.handler({"detail": {"horizon": "1m"}}, Context(300))["fresh"] == 2


def test_an_event_may_name_credentials(deployed: SandboxServer, names: list[str]) -> None:
    """`names` narrows the pass."""
    seed(deployed, due=True)
    report = aws_events.handler({"names": names[:1], "horizon": 60}, None)
    assert [one["name"] for one in report["rotated"]] == names[:1]


def test_configuration_and_clients_are_made_once_per_sandbox(deployed: SandboxServer) -> None:
    """A second event finds the parts of the first."""
    seed(deployed, due=False)
    before = aws_events._app({})
    aws_events.handler({}, None)
    assert aws_events._app({}) is before


def test_nothing_is_started_when_the_time_runs_out(deployed: SandboxServer) -> None:
    """A function about to end defers what is due, and sends nothing."""
    seed(deployed, due=True)
    report = aws_events.handler({}, Context(1))
    assert {one["reason"] for one in report["deferred"]} == {"no_time_left"}
    assert deployed.face("dailypay").report.requests == 0


def test_a_queue_batch_reports_only_what_is_to_come_again(deployed: SandboxServer, names: list[str]) -> None:
    """Of a batch the done messages are gone; unknown names and what failed come back, each message by its id."""
    seed(deployed, due=True)
    deployed.face("dailypay").fault("unavailable", wait_s=60)
    records = [
        {"messageId": "1", "body": names[0]},
        {"messageId": "2", "body": names[1]},
        {"messageId": "3", "body": "nobody"},
    ]
    failed = {one["itemIdentifier"] for one in aws_events.handler({"Records": records}, None)["batchItemFailures"]}
    assert "3" in failed
    assert len(failed & {"1", "2"}) >= 1


def test_a_message_that_comes_twice_does_no_harm(deployed: SandboxServer, names: list[str]) -> None:
    """Two messages for one credential are one rotation."""
    seed(deployed, due=True)
    records = [{"messageId": "1", "body": names[0]}, {"messageId": "2", "body": names[0]}]
    assert aws_events.handler({"Records": records}, None) == {"batchItemFailures": []}
    assert aws_events.handler({"Records": records}, None) == {"batchItemFailures": []}
    assert deployed.face("dailypay").report.requests == 1


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ({"names": ["nobody"]}, "there is no credential 'nobody'"),
        ({"names": "all"}, "is no list of credential names"),
        ({"horizon": "soon"}, "event.horizon"),
        ({"Step": "createSecret", "SecretId": "s"}, "is no step of a rotation"),
    ],
)
def test_an_event_that_cannot_be_served_says_why(deployed: SandboxServer, event: dict[str, Any], what: str) -> None:
    """A malformed event is a ConfigError in its own terms, and nothing is sent."""
    with pytest.raises(ConfigError, match=what):
        aws_events.handler(event, None)
    assert deployed.face("dailypay").report.requests == 0


def test_a_local_state_is_refused_on_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that does not outlive the run is a configuration error there."""
    text = "version: 1\nstores: {a: {type: local, path: a.db}}\nproviders: {p: {profile: generic, "
    text += "token_endpoint: 'https://id.example/t'}}\ncredentials: [{name: c, provider: p, client_id: i}]\n"
    monkeypatch.setenv("ROTATOR_CONFIG_YAML", text)
    monkeypatch.setattr(aws_events, "_APPS", {})
    with pytest.raises(ConfigError, match="state"):
        aws_events.handler({}, None)


def test_importing_the_handler_imports_nothing_of_other_homes() -> None:
    """Lambda pays for neither Vault, nor the daemon, nor the terminal, nor the sandbox."""
    code = f"import sys, rotator.aws_lambda; print([name for name in {FORBIDDEN!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_pass_on_aws_imports_nothing_of_other_homes(deployed: SandboxServer) -> None:
    """Nor does a pass on AWS. But for rich: structlog imports it where it is installed, so a Lambda leaves it out."""
    seed(deployed, due=False)
    code = (
        "import sys, json; from rotator.aws_lambda import handler; print(json.dumps(handler({}, None)));"
        f"print([name for name in {FORBIDDEN!r} if name in sys.modules and name != 'rich'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    report, loaded = done.stdout.splitlines()
    assert json.loads(report)["fresh"] == 2
    assert loaded == "[]"
