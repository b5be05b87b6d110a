"""moto's Secrets Manager with its labels mended: they do what the API reference says.

moto keeps the current version twice, as a label and as `default_version_id`, and a moved label changes only the one:
the next put then leaves AWSCURRENT on two versions. The server runs in this process, so its models can be replaced.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from moto.secretsmanager.exceptions import InvalidParameterException
from moto.secretsmanager.models import FakeSecret, SecretsManagerBackend

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"


def _take(secret: Any, label: str) -> str | None:
    """Take a label off the version that has it, and return the version."""
    for version, held in secret.versions.items():
        if label in held["version_stages"]:
            held["version_stages"] = [other for other in held["version_stages"] if other != label]
            return str(version)
    return None


def _make_current(secret: Any, version: str) -> None:
    """Move AWSCURRENT, and AWSPREVIOUS to where it was."""
    before = _take(secret, CURRENT)
    if before not in {version, None}:
        _take(secret, PREVIOUS)
        secret.versions[before]["version_stages"].append(PREVIOUS)
    held = secret.versions[version]
    held["version_stages"] = [CURRENT, *(label for label in held["version_stages"] if label != CURRENT)]
    secret.default_version_id = version


def _put(secret: Any, made: dict[str, Any], version: str) -> None:
    """A put with AWSCURRENT among its labels; "removes the label from the other version and attaches it to this"."""
    labels = [label for label in made["version_stages"] if label != CURRENT]
    for label in labels:
        _take(secret, label)
    secret.versions[version] = made | {"version_stages": labels, "createdate": time.time()}
    _make_current(secret, version)


def _move(
    backend: Any, secret_id: str, version_stage: str, remove_from_version_id: str, move_to_version_id: str
) -> Any:
    """UpdateSecretVersionStage, all checks before any change."""
    secret = backend.secrets[secret_id]
    holder = next((v for v, held in secret.versions.items() if version_stage in held["version_stages"]), None)
    if move_to_version_id and move_to_version_id not in secret.versions:
        raise InvalidParameterException("no such version")
    if (remove_from_version_id or None) != holder:
        raise InvalidParameterException("the label is not on that version")
    if version_stage == CURRENT and move_to_version_id:
        _make_current(secret, move_to_version_id)
    else:
        _take(secret, version_stage)
        if move_to_version_id:
            secret.versions[move_to_version_id]["version_stages"].append(version_stage)
    return secret.arn, secret.name


def _staged(backend: Any, original: Any, *args: Any, **options: Any) -> Any:
    """Any other put, dated to more than the second."""
    made = original(backend, *args, **options)
    version = options.get("version_id")
    if version in made[0].versions:
        made[0].versions[version]["createdate"] = time.time()
    return made


def _list(backend: Any, secret_id: str) -> str:
    secret = backend.secrets[secret_id]
    listed = [
        {"VersionId": version, "CreatedDate": held["createdate"], "VersionStages": held["version_stages"]}
        for version, held in secret.versions.items()
    ]
    return json.dumps({"ARN": secret.arn, "Name": secret.name, "Versions": listed})


@pytest.fixture
def mended_url(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the moto server of this process, whose labels are right while the test runs."""
    add = SecretsManagerBackend._add_secret
    monkeypatch.setattr(FakeSecret, "reset_default_version", _put)
    monkeypatch.setattr(
        FakeSecret,
        "_form_version_ids_to_stages",
        lambda secret: {v: held["version_stages"] for v, held in secret.versions.items() if held["version_stages"]},
    )
    monkeypatch.setattr(SecretsManagerBackend, "update_secret_version_stage", _move)
    monkeypatch.setattr(SecretsManagerBackend, "list_secret_version_ids", _list)
    monkeypatch.setattr(
        SecretsManagerBackend, "_add_secret", lambda backend, *args, **options: _staged(backend, add, *args, **options)
    )
    return moto_url
