"""What a process loads, by its configuration, and what it says when a library is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.app.test_wiring import AWS, BASE, DYNAMO, KEY, SEAL, VAULT, no_network

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["no_network"]

BUILD = """\
import json, sys
{before}
from rotator.config.load import load_config
from rotator.errors import ConfigError
from rotator.wiring import Surroundings, build
import os
try:
    app = build(load_config(sys.argv[1], os.environ), "once", Surroundings.real(os.environ))
    stores = [app.stores[name] for name in app.stores]
except ConfigError as error:
    sys.exit(str(error))
print(json.dumps(sorted(name.partition(".")[0] if not name.startswith("rotator") else name for name in sys.modules)))
"""


def run_build(sections: dict[str, Any], *, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BUILD.format(before=before), json.dumps({**BASE, **sections})],
        env={**os.environ, "ROTATOR_SEAL_KEY": KEY, "VAULT_TOKEN": "canary"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loaded(sections: dict[str, Any]) -> set[str]:
    # structlog imports rich by itself wherever that is installed; what rotator needs is seen without it.
    done = run_build(sections, before="sys.modules['rich'] = None")
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_aws_loads_nothing_of_the_others() -> None:
    """An app with Secrets Manager and DynamoDB imports neither hvac nor a scheduler, commands or test parts."""
    modules = loaded({"stores": {"main": AWS}, "state": DYNAMO, "seal": SEAL})

    assert "boto3" in modules
    assert not modules & {"hvac", "apscheduler", "click", "authlib", "rotator.testing", "rotator.cli"}


def test_what_only_a_rotation_needs_is_not_loaded() -> None:
    """Most passes find nothing due: they need no HTTP client for tokens, no ciphers and no audit lines."""
    modules = loaded({"stores": {"main": AWS}, "state": DYNAMO, "seal": SEAL})
    assert not modules & {"httpcore", "jwt", "cryptography", "structlog"}


def test_a_local_app_loads_no_sdk() -> None:
    """An app on one machine imports neither boto3 nor hvac."""
    modules = loaded({})

    assert not modules & {"boto3", "botocore", "hvac", "requests", "apscheduler", "click", "rotator.testing"}


def test_who_tells_nobody_loads_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without notifiers none of their parts is imported; with some, no library before there is something to tell."""
    telling = {"rotator.told", "rotator.cases", "rotator.deliveries", "rotator.notifiers", "rotator.telling_passes"}
    assert not loaded({}) & telling
    sns = {"type": "sns", "topic_arn": "arn:aws:sns:us-east-1:123456789012:rotator"}
    slack = {"type": "slack", "url": {"env": "SLACK_URL"}}
    monkeypatch.setenv("SLACK_URL", "https://hooks.example/x")
    modules = loaded({"notifiers": {"topic": sns, "chat": slack}})
    assert {"rotator.told", "rotator.notifiers.slack", "rotator.notifiers.aws"} <= modules
    assert not modules & {"boto3", "botocore", "httpcore", "cryptography"}


def test_vault_loads_no_aws() -> None:
    """An app with Vault alone imports hvac and not boto3."""
    state = {"type": "vault", "store": "main"}
    modules = loaded({"stores": {"main": VAULT}, "state": state, "seal": SEAL})

    assert "hvac" in modules
    assert not modules & {"boto3", "botocore"}


@pytest.mark.parametrize(
    ("package", "extra", "sections"),
    [
        ("boto3", "aws", {"stores": {"main": AWS}}),
        ("boto3", "aws", {"state": DYNAMO, "seal": SEAL}),
        ("boto3", "aws", {"notifiers": {"bus": {"type": "eventbridge"}}}),
        ("hvac", "vault", {"stores": {"main": VAULT}}),
        ("hvac", "vault", {"stores": {"main": VAULT}, "state": {"type": "vault", "store": "main"}, "seal": SEAL}),
    ],
)
def test_a_missing_extra_is_named(package: str, extra: str, sections: dict[str, Any]) -> None:
    """Without the SDK the message says which extra to install."""
    done = run_build(sections, before=f"sys.modules[{package!r}] = None")

    assert done.returncode == 1
    assert f"extra '{extra}': {package} is not installed\n    → pip install 'rotator[{extra}]'" in done.stderr


CLI = """\
import sys
sys.modules[{package!r}] = None
from rotator.cli import main
sys.argv = ["rotator", *{arguments!r}]
main()
"""


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("click", "cli", ["--version"]),
        ("apscheduler", "daemon", ["run"]),
        ("authlib", "sandbox", ["demo"]),
        ("boto3", "aws", ["check"]),
        ("boto3", "aws", ["once"]),
    ],
)
def test_a_command_without_its_extra_is_bad_usage(
    tmp_path: Path, package: str, extra: str, arguments: list[str]
) -> None:
    """A command whose extra is missing ends with 2 and the pip command, without a traceback."""
    file = tmp_path / "rotator.yaml"
    file.write_text(json.dumps({**BASE, "stores": {"main": AWS}} if package == "boto3" else BASE))

    done = subprocess.run(
        [sys.executable, "-c", CLI.format(package=package, arguments=["-c", str(file), *arguments])],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert f"{package} is not installed" in done.stderr
    assert f"pip install 'rotator[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
