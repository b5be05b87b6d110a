"""A store with `writes: fenced` on moto, whose every call can be met by another writer or a fault."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from test_aws_store import NEW, WRITE_ID

from rotator import aws_session
from rotator.stores.aws import AwsSecretStore
from rotator.stores.aws_fenced import FencedWrites
from rotator.testing.memory import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3

    from rotator.model import Document, Versioned

PUT, LOOK, MOVE, READ = "PutSecretValue", "DescribeSecret", "UpdateSecretVersionStage", "GetSecretValue"
LIST = "ListSecretVersionIds"
SEED = '{"refresh_token": "old"}'


class Crash(BaseException):
    """The process dies."""


def refused(operation: str, code: str) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(answer, operation)


class Fenced:
    """A secret with one value, the store under test, and `other`: a client of another program.

    What is planned for the n-th call of an operation, counted from 0 and from the last `forget`, happens around it.
    """

    def __init__(self, session: boto3.Session, url: str) -> None:
        self.other = aws_session.client("secretsmanager", endpoint_url=url, session=session)
        self.client = aws_session.client("secretsmanager", endpoint_url=url, session=session)
        self.clock = VirtualClock()
        self.store = AwsSecretStore("main", self.client, self.clock, writes=FencedWrites)
        self.calls: list[str] = []
        self.parameters: dict[str, Any] = {}
        self._before: dict[tuple[str, int], Callable[[], object]] = {}
        self._after: dict[tuple[str, int], Callable[[], object]] = {}
        self._altered: dict[str, Callable[[dict[str, Any]], object]] = {}
        events = self.client.meta.events
        events.register_first("before-parameter-build.secrets-manager", self._on_parameters)
        events.register_first("before-call.secrets-manager", self._on_call)
        events.register_first("before-parse.secrets-manager", self._on_answer)
        events.register("after-call.secrets-manager", self._on_parsed)
        self.secret = f"oauth/{uuid.uuid4()}"
        self.first = str(self.other.create_secret(Name=self.secret, SecretString=SEED)["VersionId"])

    # ---------------------------------------------------------------------------------------- what is planned

    def before(self, operation: str, act: Callable[[], object], *, nth: int = 0) -> None:
        """Do something before the call is sent; what it raises keeps it from being sent."""
        self._before[operation, nth] = act

    def after(self, operation: str, act: Callable[[], object], *, nth: int = 0) -> None:
        """Do something when the call is applied and its answer not yet known; what it raises takes the answer away."""
        self._after[operation, nth] = act

    def fail(self, operation: str, code: str, *, times: int = 99) -> None:
        """Let AWS refuse the operation."""
        for nth in range(times):
            self.before(operation, lambda: _raise(refused(operation, code)), nth=nth)

    def lose(self, operation: str, *, applied: bool, nth: int = 0) -> None:
        """Lose the answer of a call that is, or is not yet, applied."""
        timeout = ReadTimeoutError(endpoint_url="http://moto")
        (self.after if applied else self.before)(operation, lambda: _raise(timeout), nth=nth)

    def alter(self, operation: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change what is read in the answers of an operation."""
        self._altered[operation] = change

    def forget(self) -> None:
        """Plan nothing any more, and count anew."""
        self.calls.clear()
        self._before.clear()
        self._after.clear()
        self._altered.clear()

    def _on_parameters(self, params: dict[str, Any], model: Any, **_: object) -> None:
        self.parameters[model.name] = dict(params)

    def _on_call(self, model: Any, **_: object) -> None:
        self.calls.append(model.name)
        self._before.pop((model.name, self._count(model)), lambda: None)()

    def _on_answer(self, operation_model: Any, **_: object) -> None:
        self._after.pop((operation_model.name, self._count(operation_model)), lambda: None)()

    def _on_parsed(self, model: Any, parsed: dict[str, Any], **_: object) -> None:
        self._altered.get(model.name, lambda _: None)(parsed)

    def _count(self, model: Any) -> int:
        return self.calls.count(model.name) - 1

    # ------------------------------------------------------------------------------------------ what others do

    def edit(self, content: str = '{"refresh_token": "old", "team": "theirs"}') -> str:
        """Put a value as another program does, over whatever is current; return its version."""
        return str(self.other.put_secret_value(SecretId=self.secret, SecretString=content)["VersionId"])

    def roll_back(self) -> None:
        """Make the previous version current again, as a person does."""
        labels = self.labels()
        self.other.update_secret_version_stage(
            SecretId=self.secret,
            VersionStage="AWSCURRENT",
            RemoveFromVersionId=holder(labels, "AWSCURRENT"),
            MoveToVersionId=holder(labels, "AWSPREVIOUS"),
        )

    def arrive_late(self, parameters: dict[str, Any]) -> None:
        """Let AWS apply a put that was under way."""
        self.other.put_secret_value(**parameters)

    # ----------------------------------------------------------------------------------------------- what is seen

    def write(self, document: Document = NEW, *, expected: str | None = None, write_id: str = WRITE_ID) -> Versioned:
        return self.store.compare_and_swap(self.secret, document, expected=expected or self.first, write_id=write_id)

    def labels(self) -> dict[str, list[str]]:
        stages = self.other.describe_secret(SecretId=self.secret)["VersionIdsToStages"]
        return {version: sorted(labels) for version, labels in stages.items()}

    def content(self, label: str = "AWSCURRENT") -> str:
        return str(self.other.get_secret_value(SecretId=self.secret, VersionStage=label)["SecretString"])


@pytest.fixture
def fenced(fake_session: boto3.Session, mended_url: str) -> Fenced:
    return Fenced(fake_session, mended_url)


def current(fenced: Fenced) -> Any:
    """Return what is read by everybody."""
    return json.loads(fenced.content())


def holder(labels: dict[str, list[str]], label: str) -> str | None:
    """Return the version that has a label."""
    return next((version for version, held in labels.items() if label in held), None)


def _raise(error: BaseException) -> None:
    raise error
