"""The key-value engines of the Vault double: version 2 as Vault documents it, and enough of version 1 to be wrong.

Rules: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.ports import Clock

MISMATCH = "check-and-set parameter did not match the current version"
REQUIRED = "check-and-set parameter required for this call"
DEFAULT_MAX_VERSIONS = 10


@dataclass(frozen=True, slots=True)
class Reply:
    """What Vault answers: an HTTP status and a JSON object, or no body."""

    status: int
    body: Mapping[str, Any] | None = None


def refusal(status: int, *errors: str) -> Reply:
    """Return an answer in the form of Vault's errors."""
    return Reply(status, {"errors": list(errors)})


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an engine: the operation (`read`, `list`, `write`, `delete`) on a path below the mount."""

    operation: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(slots=True)
class _Version:
    data: dict[str, Any] | None
    created_at: datetime
    deleted_at: datetime | None = None
    destroyed: bool = False


@dataclass(slots=True)
class _Settings:
    max_versions: int = 0
    cas_required: bool = False
    delete_version_after_s: float = 0.0
    custom: dict[str, str] | None = None

    def take(self, body: Mapping[str, Any]) -> None:
        self.max_versions = int(body.get("max_versions", self.max_versions))
        self.cas_required = bool(body.get("cas_required", self.cas_required))
        self.delete_version_after_s = float(
            str(body.get("delete_version_after", self.delete_version_after_s)).rstrip("s")
        )
        self.custom = body.get("custom_metadata", self.custom)

    def shown(self) -> dict[str, Any]:
        return {
            "max_versions": self.max_versions,
            "cas_required": self.cas_required,
            "delete_version_after": f"{self.delete_version_after_s:g}s",
        }


@dataclass(slots=True)
class _Entry:
    current: int = 0
    versions: dict[int, _Version] = field(default_factory=dict)
    settings: _Settings = field(default_factory=_Settings)


class KvTwo:
    """One mount of version 2. Thread-safe: each key has its lock, held across the check and the write."""

    version = "2"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._settings = _Settings()
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def exists(self, path: str) -> bool:
        """Return whether a write to `data/...` is an update rather than a creation."""
        kind, _, key = path.partition("/")
        return kind != "data" or key in self._entries

    def answer(self, call: Call) -> Reply:
        """Carry out one request."""
        kind, _, key = call.path.partition("/")
        with self._guard:
            lock = self._locks[key]
        with lock:
            match kind, call.operation:
                case "data", "read":
                    return self._read(key, call.query.get("version"))
                case "data", "write":
                    return self._write(key, call.body)
                case "data", "delete":
                    return self._mark(key, "delete", None)
                case (("delete" | "undelete" | "destroy"), "write"):
                    return self._mark(key, kind, call.body.get("versions", []))
                case "metadata", "list":
                    return self._list(key)
                case "metadata", _:
                    return self._metadata(key, call)
                case "config", "read":
                    return Reply(200, {"data": self._settings.shown()})
                case "config", "write":
                    self._settings.take(call.body)
                    return Reply(204)
        return refusal(404, f'unsupported path "{call.path}"')

    def _read(self, key: str, version: str | None) -> Reply:
        entry = self._entries.get(key, _Entry())
        number = int(version or 0) or entry.current
        stored = entry.versions.get(number)
        if stored is None:
            return refusal(404)
        gone = stored.destroyed or self._deleted(stored)
        metadata = {**_shown(stored), "version": number, "custom_metadata": entry.settings.custom}
        return Reply(404 if gone else 200, {"data": {"data": None if gone else stored.data, "metadata": metadata}})

    def _write(self, key: str, body: Mapping[str, Any]) -> Reply:
        data = body.get("data")
        if not isinstance(data, dict):
            return refusal(400, "no data provided")
        entry = self._entries.get(key, _Entry())
        cas = (body.get("options") or {}).get("cas")
        if cas is None and (self._settings.cas_required or entry.settings.cas_required):
            return refusal(400, REQUIRED)
        if cas is not None and cas != entry.current:
            return refusal(400, MISMATCH)
        now = self._clock.now()
        after_s = entry.settings.delete_version_after_s or self._settings.delete_version_after_s
        entry.current += 1
        entry.versions[entry.current] = _Version(data, now, now + timedelta(seconds=after_s) if after_s else None)
        kept = entry.settings.max_versions or self._settings.max_versions or DEFAULT_MAX_VERSIONS
        for number in [number for number in entry.versions if number <= entry.current - kept]:
            del entry.versions[number]
        self._entries[key] = entry
        return Reply(200, {"data": {**_shown(entry.versions[entry.current]), "version": entry.current}})

    def _mark(self, key: str, how: str, numbers: list[int] | None) -> Reply:
        entry = self._entries.get(key, _Entry())
        for number in [entry.current] if numbers is None else numbers:
            stored = entry.versions.get(int(number))
            if stored is None or stored.destroyed:
                continue
            if how == "destroy":
                stored.data, stored.destroyed = None, True
            else:
                stored.deleted_at = self._clock.now() if how == "delete" else None
        return Reply(204)

    def _metadata(self, key: str, call: Call) -> Reply:
        if call.operation == "write":
            self._entries.setdefault(key, _Entry()).settings.take(call.body)
            return Reply(204)
        if call.operation == "delete":
            self._entries.pop(key, None)
            return Reply(204)
        entry = self._entries.get(key)
        if entry is None:
            return refusal(404)
        versions = {str(number): _shown(stored) for number, stored in entry.versions.items()}
        data = {
            **entry.settings.shown(),
            "current_version": entry.current,
            "custom_metadata": entry.settings.custom,
            "oldest_version": min(entry.versions, default=0),
            "versions": versions,
        }
        return Reply(200, {"data": data})

    def _list(self, folder: str) -> Reply:
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        below = [key.removeprefix(prefix) for key in list(self._entries) if key.startswith(prefix)]
        names = sorted({name.split("/")[0] + ("/" if "/" in name else "") for name in below})
        return Reply(200, {"data": {"keys": names}}) if names else refusal(404)

    def _deleted(self, stored: _Version) -> bool:
        return stored.deleted_at is not None and stored.deleted_at <= self._clock.now()


class KvOne:
    """One mount of version 1: no versions, no check-and-set; whatever is written is what is read."""

    version = "1"

    def __init__(self) -> None:
        self._entries: dict[str, Mapping[str, Any]] = {}

    def exists(self, path: str) -> bool:
        """Return whether a write to the path is an update."""
        return path in self._entries

    def answer(self, call: Call) -> Reply:
        """Carry out one request."""
        if call.operation == "write":
            self._entries[call.path] = call.body
            return Reply(204)
        found = self._entries.get(call.path)
        return refusal(404) if found is None or call.operation != "read" else Reply(200, {"data": found})


def _shown(stored: _Version) -> dict[str, Any]:
    return {
        "created_time": _go_time(stored.created_at),
        "deletion_time": _go_time(stored.deleted_at) if stored.deleted_at else "",
        "destroyed": stored.destroyed,
    }


def _go_time(instant: datetime) -> str:
    """Return RFC 3339 with nanoseconds, trailing zeros dropped, as Go formats it."""
    return f"{instant:%Y-%m-%dT%H:%M:%S.%f}789".rstrip("0") + "Z"
