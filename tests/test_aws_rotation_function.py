"""The steps of a Secrets Manager rotation, driven as Secrets Manager drives them, again and again, on emulators."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from rotator import aws_events
from rotator.aws_rotation_function import Step
from rotator.errors import ConfigError, StoreError, StoreRejected
from rotator.outcomes import Rotated
from tests.integration.conftest import table
from tests.test_aws_events import Context, deployed, names, sandbox, seed

if TYPE_CHECKING:
    from rotator.testing.sandbox import SandboxServer

__all__ = ["deployed", "names", "sandbox", "table"]

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class Manager:
    """Secrets Manager's part: it names a version, and asks for the steps."""

    def __init__(self, moto_url: str, secret: str) -> None:
        self.client: Any = boto3.client(
            "secretsmanager", endpoint_url=moto_url, region_name="us-east-1", aws_access_key_id="x",
            aws_secret_access_key="y",
        )  # fmt: skip
        self.secret = secret
        self.token = str(uuid.uuid4())

    def ask(self, step: str, **more: str) -> None:
        event = {"Step": step, "SecretId": self.secret, "ClientRequestToken": self.token, **more}
        assert aws_events.handler(event, Context(300)) == {}

    @property
    def labels(self) -> dict[str, list[str]]:
        return dict(self.client.describe_secret(SecretId=self.secret)["VersionIdsToStages"])

    @property
    def current(self) -> str:
        return next(version for version, labels in self.labels.items() if "AWSCURRENT" in labels)

    @property
    def document(self) -> dict[str, Any]:
        return dict(
            json.loads(self.client.get_secret_value(SecretId=self.secret, VersionStage="AWSCURRENT")["SecretString"])
        )


@pytest.fixture
def manager(deployed: SandboxServer, moto_url: str, names: list[str]) -> Manager:
    seed(deployed, due=False)
    return Manager(moto_url, names[0])


def made_client() -> tuple[str, Any]:
    """Return the client that the steps are done with, and where it is kept."""
    [found] = [(name, made) for name, made in aws_events._CLIENTS.items() if name.startswith("secretsmanager")]
    return found


class Killed(BaseException):
    """No `except Exception` holds it up."""


class DiesOnce:
    """A client that ends the process at the first call of a kind, before its effect or after."""

    def __init__(self, real: Any, call: str, *, after: bool) -> None:
        self._real, self._call, self._after = real, call, after

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name != self._call:
            return real

        def dies(**arguments: Any) -> None:
            if self._after:
                real(**arguments)
            raise Killed

        return dies


def test_the_four_steps_make_a_new_version_current(deployed: SandboxServer, manager: Manager) -> None:
    """One token request; the version is the one that was named, and its tokens live."""
    before = manager.document
    for step in STEPS:
        manager.ask(step)
    assert manager.current == manager.token
    assert not any("AWSPENDING" in labels for labels in manager.labels.values())  # it would stop the next rotation
    assert manager.document["refresh_token"] != before["refresh_token"]
    report = deployed.face("dailypay").report
    assert (report.requests, report.spent_twice) == (1, ())
    app = aws_events._app({})
    [outcome] = app.passes.run([app.credential(manager.secret)], horizon_s=0.0, force=True)
    assert isinstance(outcome, Rotated)  # so the token that is stored is the living one


@pytest.mark.parametrize("arn", [True, False])
def test_a_secret_is_known_by_its_arn_and_by_its_name(deployed: SandboxServer, manager: Manager, arn: bool) -> None:
    """Secrets Manager sends the ARN; either spelling of the steps will do."""
    if arn:
        manager.secret = manager.client.describe_secret(SecretId=manager.secret)["ARN"]
    for step in ("create_secret", "set_secret", "test_secret", "finish_secret"):
        manager.ask(step)
    assert manager.current == manager.token


def test_every_step_may_be_repeated(deployed: SandboxServer, manager: Manager) -> None:
    """Each twice, and then all of them once more: still one token request."""
    for step in [step for step in STEPS for _ in range(2)] + list(STEPS):
        manager.ask(step)
    assert manager.current == manager.token
    assert deployed.face("dailypay").report.requests == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", ["put_secret_value", "update_secret_version_stage", "get_secret_value"])
def test_a_step_that_breaks_off_is_taken_up_again(
    deployed: SandboxServer, manager: Manager, call: str, after: bool
) -> None:
    """Killed at the first such call of each step, before it has its effect or after; then asked anew from the start."""
    manager.ask("setSecret")  # makes the client
    name, real = made_client()
    for step in STEPS:
        aws_events._CLIENTS[name] = DiesOnce(real, call, after=after)
        with contextlib.suppress(Killed):
            manager.ask(step)
        aws_events._CLIENTS[name] = real
        for again in STEPS[: STEPS.index(step) + 1]:
            manager.ask(again)
    assert manager.current == manager.token
    assert not any("AWSPENDING" in labels for labels in manager.labels.values())
    report = deployed.face("dailypay").report
    assert (report.requests, report.spent_twice) == (1, ())


def test_a_later_rotation_is_not_undone(deployed: SandboxServer, manager: Manager) -> None:
    """The version that was named holds a spent token by then: it does not become current, and no label stays."""
    manager.ask("createSecret")
    app = aws_events._app({})
    app.passes.run([app.credential(manager.secret)], horizon_s=0.0, force=True)
    newer = manager.document
    with pytest.raises(StoreRejected, match="was rotated again or edited meanwhile"):
        manager.ask("finishSecret")
    assert manager.document == newer
    assert not any("AWSPENDING" in labels for labels in manager.labels.values())


def test_an_edit_between_the_steps_is_not_undone(manager: Manager) -> None:
    """Promise 3: the refresh token is the same, and what a person wrote beside it stays."""
    manager.ask("createSecret")
    edited = {**manager.document, "owned_by": "payroll"}
    # In two calls: a put after UpdateSecretVersionStage leaves AWSCURRENT, in moto, on the old version as well.
    text, before = json.dumps(edited), manager.current
    put = manager.client.put_secret_value(SecretId=manager.secret, SecretString=text, VersionStages=["edit"])
    manager.client.update_secret_version_stage(
        SecretId=manager.secret,
        VersionStage="AWSCURRENT",
        RemoveFromVersionId=before,
        MoveToVersionId=put["VersionId"],
    )
    with pytest.raises(StoreRejected, match="was rotated again or edited meanwhile"):
        manager.ask("finishSecret")
    assert manager.document == edited


def test_a_provider_that_is_away_leaves_nothing_pending(deployed: SandboxServer, manager: Manager) -> None:
    """The step fails, Secrets Manager asks again, and nothing is spent."""
    deployed.face("dailypay").fault("unavailable", wait_s=60)
    before = manager.document
    with pytest.raises(StoreError, match="not rotated now"):
        manager.ask("createSecret")
    assert (manager.document, set(manager.labels)) == (before, {manager.current})


@pytest.mark.parametrize("step", ["testSecret", "finishSecret"])
def test_a_step_before_the_first_is_refused(manager: Manager, step: str) -> None:
    """There is no such version yet."""
    with pytest.raises(StoreRejected, match="createSecret comes first"):
        manager.ask(step)


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ({"Step": "eatSecret", "SecretId": "s", "ClientRequestToken": "t"}, "event.Step: is no step"),
        ({"Step": ["createSecret"], "SecretId": "s", "ClientRequestToken": "t"}, "event.Step: is no step"),
        ({"Step": "createSecret", "ClientRequestToken": "t"}, "event: is no step"),
        ({"Step": "createSecret", "SecretId": "s", "ClientRequestToken": 7}, "event: is no step"),
        ({"Step": "createSecret", "SecretId": "nobody's", "ClientRequestToken": "t"}, "no secret of a configured"),
    ],
)
def test_an_event_that_cannot_be_served_says_why(deployed: SandboxServer, event: dict[str, Any], what: str) -> None:
    """In the event's own terms, and nothing is sent."""
    with pytest.raises(ConfigError, match=what):
        aws_events.handler(event, None)
    assert deployed.face("dailypay").report.requests == 0


def test_a_rotation_token_is_passed_on(deployed: SandboxServer, manager: Manager) -> None:
    """It proves to Secrets Manager who asks, where the function is another account's."""
    seen: list[Any] = []
    manager.ask("setSecret")
    _, client = made_client()

    def note(params: dict[str, Any], **_: Any) -> None:
        seen.append(params.get("RotationToken"))

    client.meta.events.register("before-parameter-build", note)
    manager.ask("createSecret", RotationToken=36 * "s")
    assert 36 * "s" in seen
    assert Step.read({"Step": "setSecret", "SecretId": "s", "ClientRequestToken": "t"}).rotation_token is None
