"""What the function may do: an emulated account that checks every call's action against the template's policy."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer, dailypay_face
from tests.deploy.lambda_runtime import Function, FunctionFailed
from tests.deploy.test_lambda import permitted
from tests.integration.conftest import KEY, table
from tests.servers import REGION, moto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["table"]

pytestmark = [pytest.mark.xdist_group("lambda"), pytest.mark.timeout(300)]

FEW = 3
USER = "rotator"


class Account:
    """An account that checks actions, whatever the resource; an administrator, and rotator's own user.

    Args:
        url: A moto server's.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._keys = {"aws_access_key_id": "test", "aws_secret_access_key": "not-a-secret"}
        self._user("administrator", ["*"])
        self._keys = self._key("administrator")
        self._user(USER, sorted(permitted()))
        self.rotators = self._key(USER)
        checks = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
        with urllib.request.urlopen(checks, timeout=10) as answer:
            assert answer.status == 200  # from here on every call is checked

    def client(self, service: Any) -> Any:
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, **self._keys)

    def allow(self, actions: list[str]) -> None:
        """Give rotator's user these actions and no others."""
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.client("iam").put_user_policy(UserName=USER, PolicyName="policy", PolicyDocument=document)

    def _user(self, name: str, actions: list[str]) -> None:
        iam = self.client("iam")
        iam.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=document)

    def _key(self, name: str) -> dict[str, str]:
        key = self.client("iam").create_access_key(UserName=name)["AccessKey"]
        return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with moto(tmp_path_factory.mktemp("moto")) as url:
        yield Account(url)


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer([dailypay_face()]) as server:
        yield server


@pytest.fixture
def names(account: Account, sandbox: SandboxServer, new_name: Callable[[str], str]) -> list[str]:
    """Credentials whose access tokens end in some minutes."""
    prefix, secrets = new_name("rights"), account.client("secretsmanager")
    account.allow(sorted(permitted()))
    now = int(time.time())
    made = [f"{prefix}-{number}" for number in range(FEW)]
    for name in made:
        tokens = sandbox.face("dailypay").login(DEFAULT_CLIENT_ID)
        document = {**tokens, "issued_at": now - 3000, "expires_at": now + 600}
        secrets.create_secret(Name=name, SecretString=json.dumps(document))
    return made


@pytest.fixture
def function(
    account: Account, sandbox: SandboxServer, names: list[str], table: str, ministack_url: str, tmp_path: Path
) -> Iterator[Function]:
    """A sandbox of the function with rotator's keys; the state is another server's, which checks nothing."""
    prefix = names[0].rpartition("-")[0]
    env = {
        "ROTATOR_CONFIG_YAML": (
            f"version: 1\nstores: {{main: {{type: aws-secrets-manager, endpoint_url: '{account.url}'}}}}\n"
            f"state: {{type: dynamodb, table: {table}, endpoint_url: '{ministack_url}'}}\nseal: {{key_env: SEAL_KEY}}\n"
            "providers: {dailypay: {profile: dailypay,"
            f" token_endpoint: '{sandbox.face('dailypay').token_endpoint}'}}}}\n"
            f"discover: [{{provider: dailypay, prefix: {prefix}, client_id: {DEFAULT_CLIENT_ID},"
            " client_secret: {env: CLIENT_SECRET}}]\n"
        ),
        "AWS_ACCESS_KEY_ID": account.rotators["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": account.rotators["aws_secret_access_key"],
        "AWS_DEFAULT_REGION": REGION,
        "SEAL_KEY": KEY,
        "CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
    }
    with Function(tmp_path, env) as made:
        yield made


def without(*actions: str) -> list[str]:
    return sorted(permitted() - {f"secretsmanager:{action}" for action in actions})


def test_with_the_actions_of_the_policy_all_of_it_works(
    account: Account, function: Function, names: list[str], sandbox: SandboxServer
) -> None:
    """Discovery, a pass, and the four steps of a rotation."""
    assert [one["name"] for one in function.invoke({"horizon": "20m", "names": names[:2]})["rotated"]] == names[:2]
    token = str(uuid.uuid4())
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        assert function.invoke({"Step": step, "SecretId": names[2], "ClientRequestToken": token}) == {}
    assert sandbox.face("dailypay").report.refreshes == FEW


@pytest.mark.parametrize("action", ["PutSecretValue", "UpdateSecretVersionStage"])
def test_tokens_that_may_not_be_written_wait_until_they_may(
    account: Account, function: Function, names: list[str], sandbox: SandboxServer, action: str
) -> None:
    """The report says what is not allowed; with the right granted they are written, and nothing is sent again."""
    account.allow(without(action))
    report = function.invoke({"horizon": "20m"})
    assert sorted(one["name"] for one in report["failed"]) == names
    for one in report["failed"]:
        assert action in one["error"]
        assert one["action"]
    requests = sandbox.face("dailypay").report.requests
    assert requests == FEW
    account.allow(without())
    report = function.invoke({"horizon": "20m"})
    assert report["failed"] == []
    assert sandbox.face("dailypay").report.requests == requests
    secrets = account.client("secretsmanager")
    for name in names:
        text = secrets.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")["SecretString"]
        assert json.loads(text)["expires_at"] > time.time() + 1800


def test_a_fleet_that_may_not_be_listed_is_told_and_nothing_is_sent(
    account: Account, function: Function, names: list[str], sandbox: SandboxServer
) -> None:
    """By the call that is missing."""
    account.allow(without("ListSecrets"))
    report = function.invoke({"horizon": "20m"})
    assert any("ListSecrets" in one for one in report["undiscovered"])
    assert sandbox.face("dailypay").report.requests == 0


def test_a_step_whose_secret_may_not_be_read_is_told(
    account: Account, function: Function, names: list[str], sandbox: SandboxServer
) -> None:
    """In Secrets Manager's own words for what is missing; nothing is sent."""
    account.allow(without("GetSecretValue", "DescribeSecret"))
    event = {"Step": "createSecret", "SecretId": names[0], "ClientRequestToken": str(uuid.uuid4())}
    with pytest.raises(FunctionFailed) as raised:
        function.invoke(event)
    assert "DescribeSecret" in raised.value.told["errorMessage"] or "GetSecretValue" in str(raised.value)
    assert sandbox.face("dailypay").report.requests == 0
