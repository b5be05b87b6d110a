"""The template for Lambda: linted, and its permissions compared with the calls that a fleet on emulators makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml

from rotator import aws_events, aws_session
from rotator.config.load import load_config
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer
from tests.integration.conftest import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["table"]

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "lambda"
TEMPLATE = FOLDER / "template.yaml"
REGION = "us-east-1"
FLEET = 8
"""So many are read in bulk."""

ACTIONS = {"SendMessageBatch": "SendMessage"}
"""Calls whose permission has another name."""


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's tags as what stands behind them."""


def _untagged(loader: Loader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else node.value


Loader.add_multi_constructor("!", _untagged)


def permitted() -> set[str]:
    """Return the actions of all statements, whatever their conditions."""
    resources = yaml.load(TEMPLATE.read_text(), Loader)["Resources"]
    actions: set[str] = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict) and part.get("Effect") == "Allow":
            found = part["Action"]
            actions.update([found] if isinstance(found, str) else found)
        elif isinstance(part, dict | list):
            for inner in part.values() if isinstance(part, dict) else part:
                walk(inner)

    walk(resources["Permissions"])
    walk(resources["Passes"])
    walk(resources["Workers"])
    walk(resources["Steps"])
    return actions


def test_the_linter_finds_nothing() -> None:
    """cfn-lint, which knows SAM."""
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", TEMPLATE], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_sam_takes_it(tmp_path: Path) -> None:
    """With its own linter, which asks nobody on the network."""
    sam = Path(sys.executable).parent.parent / "sam" / "bin" / "sam"
    if not sam.exists():
        pytest.skip("SAM's own tool is not installed: `make test` does")
    account = {"AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SAM_CLI_TELEMETRY": "0", **account}
    done = subprocess.run(
        [sam, "validate", "--lint", "--template", TEMPLATE],
        capture_output=True, text=True, timeout=120, check=False, env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


def test_the_configuration_beside_it_is_right() -> None:
    """With what the template puts into the environment."""
    env = {"ROTATOR_TABLE": "rotator", "ROTATOR_KMS_KEY_ID": "arn:aws:kms:eu-west-1:123456789012:key/x"}
    settings = load_config(FOLDER / "rotator.yaml", env, mode="lambda")
    assert [one.name for one in settings.credentials] == ["payroll"]
    variables = yaml.load(TEMPLATE.read_text(), Loader)["Globals"]["Function"]["Environment"]["Variables"]
    assert env.keys() <= variables.keys()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Collect the actions of all calls that rotator's clients make."""
    seen: set[str] = set()
    real = aws_session.client

    def client(service: Any, **options: Any) -> Any:
        made = real(service, **options)

        def note(model: Any, **_: Any) -> None:
            seen.add(f"{service}:{ACTIONS.get(model.name, model.name)}")

        made.meta.events.register("before-call", note)
        return made

    monkeypatch.setattr(aws_session, "client", client)
    return seen


@pytest.fixture
def fleet(
    calls: set[str],
    moto_url: str,
    ministack_url: str,
    table: str,
    new_name: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[SandboxServer]:
    """A fleet that is discovered, one of its secrets without a value, as the template would have it."""
    account = {"region_name": REGION, "aws_access_key_id": "x", "aws_secret_access_key": "y", "endpoint_url": moto_url}
    secrets, kms, sqs, sns = (boto3.client(service, **account) for service in ("secretsmanager", "kms", "sqs", "sns"))
    prefix = new_name("fleet")
    topic = sns.create_topic(Name=prefix.replace("/", "-"))["TopicArn"]
    with SandboxServer() as sandbox:
        for number in range(FLEET):
            tokens = {**sandbox.face("dailypay").login(DEFAULT_CLIENT_ID), "expires_in": 3600, "expires_at": 1}
            secrets.create_secret(Name=f"{prefix}-{number}", SecretString=json.dumps(tokens))
        secrets.create_secret(Name=f"{prefix}-empty")
        endpoint = sandbox.face("dailypay").token_endpoint
        text = (
            f"version: 1\nstores: {{main: {{type: aws-secrets-manager, endpoint_url: '{moto_url}'}}}}\n"
            f"state: {{type: dynamodb, table: {table}, endpoint_url: '{ministack_url}'}}\n"
            "seal: {kms_key_id: '${ROTATOR_KMS_KEY_ID}'}\n"
            f"providers: {{dailypay: {{profile: dailypay, token_endpoint: '{endpoint}'}}}}\n"
            f"discover: [{{provider: dailypay, prefix: {prefix}, client_id: {DEFAULT_CLIENT_ID},"
            " client_secret: {env: CLIENT_SECRET}}]\n"
            f"notifiers:\n  topic: {{type: sns, topic_arn: '{topic}', endpoint_url: '{moto_url}'}}\n"
            f"  bus: {{type: eventbridge, region: {REGION}, endpoint_url: '{moto_url}'}}\n"
            "on_rotated: [topic, bus]\nnotify: [topic]\n"
        )
        for name, value in {
            "ROTATOR_CONFIG_YAML": text,
            "ROTATOR_KMS_KEY_ID": kms.create_key()["KeyMetadata"]["KeyId"],
            "ROTATOR_QUEUE_URL": sqs.create_queue(QueueName=prefix.replace("/", "-"))["QueueUrl"],
            "AWS_ENDPOINT_URL_KMS": moto_url,
            "AWS_ENDPOINT_URL_SQS": moto_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_DEFAULT_REGION": REGION,
            "CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(aws_session, "_SHARED", [])
        monkeypatch.setattr(aws_events, "_APPS", {})
        monkeypatch.setattr(aws_events, "_CLIENTS", {})
        yield sandbox


def test_the_policy_names_exactly_what_is_called(fleet: SandboxServer, calls: set[str]) -> None:
    """A dispatch, a worker's batch and a pass: no call without its permission, and no permission without its call."""
    report = aws_events.handler({"fan_out": True}, None)
    assert report["sent"] == FLEET, report
    queue = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL_SQS"], region_name=REGION)
    [message, *_] = queue.receive_message(QueueUrl=os.environ["ROTATOR_QUEUE_URL"])["Messages"]
    record = {"messageId": "1", "body": message["Body"]}
    assert aws_events.handler({"Records": [record]}, None) == {"batchItemFailures": []}
    # A discovered one, by its name alone.
    by_name = {"messageId": "2", "body": json.loads(message["Body"])["credential"]}
    assert aws_events.handler({"Records": [by_name]}, None) == {"batchItemFailures": []}
    assert len(aws_events.handler({}, None)["rotated"]) == FLEET - 1
    assert calls == permitted()


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """Build what is uploaded; it is gone before the hunt for secrets, which knows the texts in the sandbox's code."""
    target = tmp_path / "package"
    done = subprocess.run(
        ["make", "lambda", f"LAMBDA={target}"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield target
    shutil.rmtree(target)


def test_the_package_holds_the_handler_and_its_configuration(package: Path) -> None:
    """It is imported with nothing else in reach, and is far below Lambda's 250 MB."""
    code = "import rotator.aws_lambda, boto3, cryptography; print(rotator.aws_lambda.__file__)"
    done = subprocess.run(
        [sys.executable, "-ISc", f"import sys; sys.path.insert(0, {str(package)!r}); {code}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == str(package / "rotator" / "aws_lambda.py"), done.stderr
    assert (package / "rotator.yaml").is_file()
    assert sum(file.stat().st_size for file in package.rglob("*") if file.is_file()) < 80e6
