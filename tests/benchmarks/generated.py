"""A fleet that is made up while it is read: stores as plug-ins, and a token endpoint, that take no memory and no time.

For benchmarks of the scheduler. What was written is kept, so the whole procedure runs and succeeds.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from rotator.bulk import read_each
from rotator.documents import document_text
from rotator.errors import VersionConflict
from rotator.model import (
    Credential,
    Document,
    Found,
    Listed,
    Provider,
    Refreshed,
    Rejected,
    StoredTokens,
    TokenSet,
    Versioned,
)
from rotator.record_bodies import to_body
from rotator.redact import Secret
from rotator.schedule import timing
from rotator.state.bodies import body_of
from tests.benchmarks.fleets import Age, document, name_of, record
from tests.benchmarks.stubs import HASH, NUMBER, filled
from tests.benchmarks.stubs.token_endpoint import FILLING, LIFETIME_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from rotator.errors import StoreError
    from rotator.model import RefreshRequest, TokenAnswer
    from rotator.ports import Clock, Stored

FAR_S = 30 * 60.0
"""How much later than the last one the credentials fall due that are not to be worked on."""

_PROVIDER = Provider("acme", "generic", "http://127.0.0.1/token")


def plug_in(folder: Path) -> None:
    """Lay a distribution out in a folder that is on the import path, as an installer would."""
    information = folder / "generated-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: generated\nVersion: 1.0\n")
    here = __name__
    points = f"[rotator.stores]\ngenerated = {here}:Store\n[rotator.state]\ngenerated = {here}:State\n"
    (information / "entry_points.txt").write_text(points)


def early_s(name: str) -> float:
    """Return how long before its access token ends a credential's refresh falls due."""
    credential = Credential(name, _PROVIDER, "main", name)
    expires_at = _instant(10.0 * LIFETIME_S)
    tokens = StoredTokens(
        Secret("x"),
        None,
        _instant(9.0 * LIFETIME_S),
        expires_at,
        None,
        client_id=None,
        client_secret=None,
        id_token=None,
    )
    due_at = timing(credential, tokens).due_at
    assert due_at is not None
    return (expires_at - due_at).total_seconds()


def _instant(epoch_s: float) -> datetime:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(epoch_s, UTC)


class Store:
    """The documents. `due` of them fall due one after the other from `first_due_s` on, `per_s` a second."""

    batch = 500

    def __init__(self, name: str, options: Mapping[str, Any], clock: Clock) -> None:
        self.name = name
        self.first_due_s: float = options["first_due_s"]
        self.per_s: float = options["per_s"]
        self.due: int = options["due"]
        self.begun_s: dict[int, float] = {}
        """When each credential that falls due was first read again: the first thing that its job does."""
        self._clock = clock
        self._written: dict[str, tuple[int, Document, datetime]] = {}
        self._lock = threading.Lock()

    def due_at_s(self, number: int) -> float:
        """Return when a credential falls due, in seconds after the epoch."""
        far_s = 0.0 if number < self.due else FAR_S
        return self.first_due_s + number / self.per_s + far_s

    def read(self, secret: str) -> Versioned:
        """See `SecretStore.read`."""
        number = int(secret[-6:])
        now_s = time.time()
        if number < self.due and now_s >= self.due_at_s(number):
            self.begun_s.setdefault(number, now_s)
        version, content, created_at = self._written.get(secret) or self._made(secret, number)
        return Versioned(f"generated:{secret}", str(version), created_at, content)

    def _made(self, secret: str, number: int) -> tuple[int, Document, datetime]:
        expires_s = self.due_at_s(number) + early_s(secret)
        fields = {**document(secret, 0), "issued_at": expires_s - LIFETIME_S, "expires_at": expires_s}
        return 1, Document(fields), _instant(expires_s - LIFETIME_S)

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """See `SecretStore.compare_and_swap`."""
        document_text(document)  # what a store does with it
        with self._lock:
            version = self._written[secret][0] if secret in self._written else 1
            if str(version) != expected:
                raise VersionConflict(secret, expected=expected)
            self._written[secret] = (version + 1, document, self._clock.now())
        return Versioned(f"generated:{secret}", str(version + 1), self._clock.now(), document)

    def read_many(self, secrets: Sequence[str]) -> Mapping[str, Versioned | StoreError]:
        """See `SecretStore.read_many`."""
        return read_each(self.read, secrets)

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """See `SecretStore.versions`."""
        return {secret: Listed(f"generated:{secret}", self._version(secret)) for secret in secrets}

    def find(self, prefix: str, labels: Mapping[str, str]) -> Mapping[str, Found]:
        """See `SecretStore.find`; nothing carries a label here."""
        return {}

    def _version(self, secret: str) -> str:
        return str(self._written[secret][0]) if secret in self._written else "1"

    def prove_writable(self, secret: str) -> None:
        """See `SecretStore.prove_writable`."""


class State:
    """The records, each with `claims` settled claims."""

    shared = True
    batch = 100

    def __init__(self, options: Mapping[str, Any], clock: Clock) -> None:
        self._claims: int = options["claims"]
        identity = f"generated:{name_of(0)[:-6]}{NUMBER}"
        self._template = json.dumps(to_body(record(identity, HASH, Age(int(time.time()), self._claims), "")))
        self._written: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def read(self, key: str) -> tuple[Mapping[str, Any] | None, int]:
        """See `StateStore.read`."""
        text, revision = self._found(key)
        return (body_of(text), revision) if text else (None, 0)

    def _found(self, key: str) -> tuple[str, int]:
        if key in self._written:
            return self._written[key]
        if key.startswith("secret/") and self._claims:
            return filled(self._template, int(key[-6:])), 1
        return "", 0

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        """See `StateStore.compare_and_swap`."""
        text = json.dumps(body)
        with self._lock:
            if self._found(key)[1] != expected:
                raise VersionConflict(key, expected=expected)
            self._written[key] = (text, expected + 1)
        return expected + 1

    def read_many(self, keys: Sequence[str]) -> Mapping[str, Stored | StoreError]:
        """See `StateStore.read_many`."""
        return {key: self.read(key) for key in keys}

    def keys(self, prefix: str) -> list[str]:
        """See `StateStore.keys`."""
        return [key for key in self._written if key.startswith(prefix)]

    def prove_writable(self) -> None:
        """See `StateStore.prove_writable`."""


class Endpoint:
    """`ports.TokenEndpoint` that answers at once; a refresh token that comes back is refused and counted.

    Args:
        clock: Says when each request came, in `asked_s`, seconds after the epoch.
        takes_s: How long an answer takes on that clock.
    """

    def __init__(self, clock: Clock, takes_s: float = 0.0) -> None:
        self.asked_s: list[float] = []
        self.reused = 0
        self._clock = clock
        self._takes_s = takes_s
        self._newest: dict[str, int] = {}

    def warm_up(self, provider: Provider) -> None:
        """See `TokenEndpoint.warm_up`; there is nothing to load."""

    def refresh(self, request: RefreshRequest, *, deadline_s: float, begun_s: float | None = None) -> TokenAnswer:
        """See `TokenEndpoint.refresh`."""
        self.asked_s.append(self._clock.now().timestamp())
        if self._takes_s:
            self._clock.sleep(self._takes_s)
        family, _, number = request.refresh_token.reveal().rpartition(".")
        if int(number) < self._newest.get(family, 0):
            self.reused += 1
            return Rejected("invalid_grant")
        successor = self._newest[family] = int(number) + 1
        return Refreshed(
            TokenSet(
                access_token=Secret(f"at.{family}.{successor}.{FILLING}"),
                refresh_token=Secret(f"{family}.{successor}"),
                token_type="Bearer",
                scope=None,
                id_token=None,
                expires_in_s=float(LIFETIME_S),
            )
        )

    def reachable(self, endpoint: str, *, deadline_s: float) -> str | None:
        """See `TokenEndpoint.reachable`."""
        return None
