"""Vault's KV version 2 engine at `secret/`, as far as rotator asks: check-and-set, metadata and listing.

Rules: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2. Only the newest version is kept.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.benchmarks.stubs.server import Answered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.stubs.server import Asked

MOUNT = "secret"
_MISMATCH = b'{"errors": ["check-and-set parameter did not match the current version"]}'
_NOTHING = b'{"errors": []}'
_ROOT = {"data": {"ttl": 0, "renewable": False, "policies": ["root"]}}
_KV_TWO = {"data": {"type": "kv", "options": {"version": "2"}, "path": f"{MOUNT}/"}}

Fields = dict[str, Any]


class Vault:
    """One mount; any token may do anything. A seed has `path`, `data` and, optionally, `custom_metadata`."""

    def __init__(self) -> None:
        self._data: dict[str, Fields] = {}
        self._metadata: dict[str, Fields] = {}
        self._custom: dict[str, Fields] = {}

    def seed(self, item: Mapping[str, Any]) -> None:
        """Write a version."""
        self._custom[item["path"]] = item.get("custom_metadata", {})
        self._write(item["path"], item["data"])

    def answer(self, asked: Asked) -> Answered:
        """Carry out one request."""
        target, _, query = asked.target.partition("?")
        path = target.removeprefix("/v1/")
        if path == "auth/token/lookup-self":
            return _answered("lookup-self", _ROOT)
        if path.startswith("sys/internal/ui/mounts/"):
            return _answered("preflight", _KV_TWO)
        kind, _, key = path.removeprefix(f"{MOUNT}/").partition("/")
        key = unquote(key)
        if kind == "metadata" and "list=true" in query:
            return self._list(key)
        if kind == "metadata":
            return self._described(key)
        if asked.method == "GET":
            return self._read(key)
        body = json.loads(asked.body)
        cas = body.get("options", {}).get("cas")
        if cas is not None and cas != self._metadata.get(key, {"version": 0})["version"]:
            return Answered("write", _MISMATCH, 400)
        return _answered("write", {"data": self._write(key, body["data"])})

    def _write(self, key: str, data: Fields) -> Fields:
        before = self._metadata.get(key, {"version": 0})["version"]
        self._data[key] = data
        self._metadata[key] = {
            "version": before + 1,
            "created_time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "deletion_time": "",
            "destroyed": False,
            "custom_metadata": None,
        }
        return self._metadata[key]

    def _read(self, key: str) -> Answered:
        if key not in self._data:
            return Answered("read", _NOTHING, 404)
        return _answered("read", {"data": {"data": self._data[key], "metadata": self._metadata[key]}})

    def _described(self, key: str) -> Answered:
        newest = self._metadata.get(key)
        if newest is None:
            return Answered("metadata", _NOTHING, 404)
        number = newest["version"]
        data = {"current_version": number, "versions": {str(number): newest}, "custom_metadata": self._custom.get(key)}
        return _answered("metadata", {"data": data})

    def _list(self, folder: str) -> Answered:
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        below = (key.removeprefix(prefix) for key in self._data if key.startswith(prefix))
        names = sorted({name.split("/")[0] + ("/" if "/" in name else "") for name in below})
        return _answered("list", {"data": {"keys": names}}) if names else Answered("list", _NOTHING, 404)


def _answered(operation: str, body: Fields) -> Answered:
    return Answered(operation, json.dumps(body).encode())
