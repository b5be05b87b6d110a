"""Secrets Manager, as far as rotator asks: versions, staging labels, and moves that name where a label comes from.

Rules: the API reference. Versions without a label are dropped at once, so that a long run stays small.
"""

from __future__ import annotations

import bisect
import json
import time
from typing import TYPE_CHECKING, Any

from tests.benchmarks.stubs.server import Answered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.stubs.server import Asked

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:{}-AbCdEf"
SUFFIX_CHARACTERS = 7

Fields = dict[str, Any]


class Refusal(Exception):
    """An error of the service; its text is the code."""


class Secret:
    """One secret."""

    def __init__(self, name: str, tags: Mapping[str, str]) -> None:
        self.name = name
        self.arn = ARN.format(name)
        self.tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        self.values: dict[str, tuple[str, float]] = {}
        self.labels: dict[str, str] = {}

    def put(self, version: str, text: str, labels: list[str]) -> None:
        """Add a version; the same again is ignored."""
        if version in self.values:
            if self.values[version][0] != text:
                raise Refusal("ResourceExistsException")
            return
        self.values[version] = (text, time.time())
        for label in labels if self.labels else [*labels, CURRENT]:
            self.move(label, version)

    def move(self, label: str, version: str) -> None:
        """Move a label to a version; the old one of AWSCURRENT becomes AWSPREVIOUS."""
        before = self.labels.get(label)
        self.labels[label] = version
        if label == CURRENT and before is not None:
            self.labels[PREVIOUS] = before
        kept = set(self.labels.values())
        self.values = {one: value for one, value in self.values.items() if one in kept}

    def staged(self) -> dict[str, list[str]]:
        """Return the labels of each version."""
        found: dict[str, list[str]] = {}
        for label, version in self.labels.items():
            found.setdefault(version, []).append(label)
        return found

    def value(self, label: str) -> Fields:
        """Return the answer of GetSecretValue."""
        if label not in self.labels:
            raise Refusal("ResourceNotFoundException")
        version = self.labels[label]
        text, created_s = self.values[version]
        labels = [one for one, held_by in self.labels.items() if held_by == version]
        return {
            "ARN": self.arn,
            "Name": self.name,
            "VersionId": version,
            "SecretString": text,
            "VersionStages": labels,
            "CreatedDate": created_s,
        }

    def entry(self) -> Fields:
        """Return the entry in ListSecrets."""
        return {"ARN": self.arn, "Name": self.name, "Tags": self.tags, "SecretVersionsToStages": self.staged()}


class SecretsManager:
    """The service. A seed has `name`, `version`, `text` and, optionally, `tags`."""

    def __init__(self) -> None:
        self._secrets: dict[str, Secret] = {}
        self._names: list[str] = []
        self._sorted = True

    def seed(self, item: Mapping[str, Any]) -> None:
        """Put a secret in, or give it a new current value."""
        name = item["name"]
        secret = self._secrets.get(name)
        if secret is None:
            secret = self._secrets[name] = Secret(name, item.get("tags", {}))
            self._names.append(name)
            self._sorted = False
        secret.put(item["version"], item["text"], [CURRENT])

    def answer(self, asked: Asked) -> Answered:
        """Carry out the operation that `X-Amz-Target` names."""
        begin = asked.head.index(b"x-amz-target:") + 13
        target = asked.head[begin:].split(b"\r", 1)[0].decode().rpartition(".")[2]
        operation, method = _OPERATIONS[target]
        try:
            return Answered(operation, json.dumps(method(self, json.loads(asked.body))).encode())
        except Refusal as refusal:
            return Answered(operation, json.dumps({"__type": str(refusal), "Message": "stub"}).encode(), 400)

    def _found(self, secret_id: str) -> Secret:
        name = secret_id
        if name.startswith("arn:"):
            name = name.split(":", 6)[6]
            name = name if name in self._secrets else name[:-SUFFIX_CHARACTERS]
        if name not in self._secrets:
            raise Refusal("ResourceNotFoundException")
        return self._secrets[name]

    def _get(self, fields: Fields) -> Fields:
        return self._found(fields["SecretId"]).value(fields.get("VersionStage", CURRENT))

    def _put(self, fields: Fields) -> Fields:
        secret = self._found(fields["SecretId"])
        version = fields["ClientRequestToken"]
        secret.put(version, fields["SecretString"], fields.get("VersionStages", [CURRENT]))
        labels = secret.staged().get(version, [])
        return {"ARN": secret.arn, "Name": secret.name, "VersionId": version, "VersionStages": labels}

    def _stage(self, fields: Fields) -> Fields:
        secret = self._found(fields["SecretId"])
        label = fields["VersionStage"]
        if secret.labels.get(label) != fields.get("RemoveFromVersionId"):
            raise Refusal("InvalidParameterException")
        secret.move(label, fields["MoveToVersionId"])
        return {"ARN": secret.arn, "Name": secret.name}

    def _describe(self, fields: Fields) -> Fields:
        secret = self._found(fields["SecretId"])
        return {"ARN": secret.arn, "Name": secret.name, "Tags": secret.tags, "VersionIdsToStages": secret.staged()}

    def _batch_get(self, fields: Fields) -> Fields:
        values, errors = [], []
        for secret_id in fields["SecretIdList"]:
            try:
                values.append(self._found(secret_id).value(CURRENT))
            except Refusal as refusal:
                errors.append({"SecretId": secret_id, "ErrorCode": str(refusal), "Message": "stub"})
        return {"SecretValues": values, "Errors": errors}

    def _list(self, fields: Fields) -> Fields:
        if not self._sorted:
            self._names.sort()
            self._sorted = True
        filters = fields.get("Filters", [])
        names = self._named(next((one["Values"] for one in filters if one["Key"] == "name"), [""]))
        entries = [self._secrets[name] for name in names]
        for one in filters:
            member = {"tag-key": "Key", "tag-value": "Value"}.get(one["Key"])
            if member:
                wanted = tuple(one["Values"])
                entries = [entry for entry in entries if any(tag[member].startswith(wanted) for tag in entry.tags)]
        begin, size = int(fields.get("NextToken", 0)), fields.get("MaxResults", 100)
        page: Fields = {"SecretList": [entry.entry() for entry in entries[begin : begin + size]]}
        if begin + size < len(entries):
            page["NextToken"] = str(begin + size)
        return page

    def _named(self, prefixes: list[str]) -> list[str]:
        found: list[str] = []
        for prefix in prefixes:
            begin = bisect.bisect_left(self._names, prefix)
            end = bisect.bisect_left(self._names, f"{prefix}\U0010ffff")
            found += self._names[begin:end]
        return found if len(prefixes) == 1 else sorted(set(found))


_OPERATIONS: dict[str, tuple[str, Any]] = {
    name.lower(): (name, method)  # the head comes in lower case
    for name, method in {
        "GetSecretValue": SecretsManager._get,
        "PutSecretValue": SecretsManager._put,
        "UpdateSecretVersionStage": SecretsManager._stage,
        "DescribeSecret": SecretsManager._describe,
        "BatchGetSecretValue": SecretsManager._batch_get,
        "ListSecrets": SecretsManager._list,
    }.items()
}
