"""Fleets on stubs: the configuration, the parts that wiring builds from it, documents and records of a given age."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import quote

from rotator.clocks import SystemIds
from rotator.config.load import load_config
from rotator.documents import document_of
from rotator.model import Document
from rotator.record_bodies import to_body
from rotator.records import HISTORY_KEPT, TOLD_KEPT, Claim, Done, Grant, Presented, StateRecord
from rotator.wiring import App, Surroundings, build
from tests.benchmarks.stubs import HASH, NUMBER, Stub, filled, stub
from tests.benchmarks.stubs.secrets_manager import ARN
from tests.benchmarks.stubs.token_endpoint import FILLING, LIFETIME_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rotator.model import Mode

Backend = Literal["aws", "vault", "local"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)

TABLE = "rotator-state"
CLIENT_ID = "benchmark-client"
CLIENT_SECRET = "benchmark-client-secret"
TAG = "rotator-fleet"
"""A tag, and custom metadata in Vault, of every secret of the fleet: discovery finds them by it."""

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "BENCH_SEAL_KEY": base64.b64encode(bytes(range(32))).decode(),
    "BENCH_CLIENT_SECRET": CLIENT_SECRET,
    "VAULT_TOKEN": "benchmark-vault-token",
}
"""What the parts find in the environment: nothing of the machine's own."""

NO_QUOTA = {"per_second": 1_000_000, "share": 1}
"""With the account's own, rotator and floor would both wait for most of the time."""

NOT_FLUSHED = os.devnull
"""An audit file that is no file: events are rendered and written, and nothing is flushed."""

STUBS: dict[Backend, tuple[Any, ...]] = {
    "aws": ("secrets_manager", "dynamodb", "token_endpoint"),
    "vault": ("vault", "token_endpoint"),
    "local": ("token_endpoint",),
}


def name_of(number: int, prefix: str = "fleet") -> str:
    """Return the name of a credential, which is its secret's name as well."""
    return f"{prefix}-{number:06d}"


@dataclass(frozen=True, slots=True)
class Age:
    """How old what is seeded is.

    Args:
        issued_s: When the access token was issued, in seconds after the epoch.
        claims: How many settled claims the record holds, at most 64; a record holds as many after so many rotations.
            0 seeds no record.
        known: Whether the document is the one that the record tells of, as rotator left both; else somebody has put
            another since.
    """

    issued_s: int
    claims: int = 0
    known: bool = False

    @classmethod
    def fresh(cls, claims: int = 0, *, known: bool = False) -> Age:
        """Return the age of what was issued just now."""
        return cls(int(time.time()), claims, known)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Credentials on one backend.

    Args:
        folder: For what is local: databases, escrow, audit.
    """

    backend: Backend
    folder: Path
    stubs: Mapping[str, Stub]

    # ------------------------------------------------------------------------------------------- configuration

    def configuration(self, count: int, *, workers: int, audit: str | None = None, discovered: bool = False) -> str:
        """Return the configuration of a fleet of `count`, as YAML in JSON's form.

        Args:
            audit: The path of the audit file; one in the folder, flushed with every event, if None.
            discovered: Name no credential: the store's own labels tell which they are.
        """
        common = {"provider": "acme", "client_id": CLIENT_ID, "client_secret": {"env": "BENCH_CLIENT_SECRET"}}
        rule = {"prefix": "fleet-", "labels": {TAG: "fleet"}, **common}
        token_endpoint = f"{self.stubs['token_endpoint'].url}/token"
        config: dict[str, Any] = {
            "version": 1,
            **self._places(),
            "audit": [{"type": "jsonl", "path": audit or str(self.folder / "audit.jsonl")}],
            "workers": workers,
            "providers": {"acme": {"profile": "generic", "token_endpoint": token_endpoint}},
            "credentials": [] if discovered else [{"name": name_of(number), **common} for number in range(count)],
            "discover": [rule] if discovered else [],
        }
        return json.dumps(config)

    def app(self, count: int, *, workers: int, audit: str | None = None, mode: Mode = "once") -> App:
        """Return the parts, as every command gets them."""
        settings = load_config(self.configuration(count, workers=workers, audit=audit), os.environ)
        return build(settings, mode, Surroundings.real(os.environ))

    def _places(self) -> dict[str, Any]:
        match self.backend:
            case "aws":
                return {
                    "stores": {
                        "main": {
                            "type": "aws-secrets-manager",
                            "endpoint_url": self.secrets_url,
                            "write_quota": NO_QUOTA,
                        }
                    },
                    "state": {"type": "dynamodb", "table": TABLE, "endpoint_url": self.state_url},
                    "seal": {"key_env": "BENCH_SEAL_KEY"},
                }
            case "vault":
                return {
                    "stores": {"main": {"type": "vault", "address": self.secrets_url}},
                    "state": {"type": "vault", "store": "main"},
                    "seal": {"key_env": "BENCH_SEAL_KEY"},
                }
            case "local":
                return {
                    "stores": {"main": {"type": "local", "path": str(self.folder / "secrets.db")}},
                    "state": {"type": "local", "path": str(self.folder / "state.db")},
                    "escrow": {"type": "file", "path": str(self.folder / "escrow")},
                }

    @property
    def secrets_url(self) -> str:
        """Where the store is."""
        return self.stubs["vault" if self.backend == "vault" else "secrets_manager"].url

    @property
    def state_url(self) -> str:
        """Where DynamoDB is."""
        return self.stubs["dynamodb"].url

    # --------------------------------------------------------------------------------------------- seeding

    def seed(self, count: int, age: Age, *, first: int = 0, prefix: str = "fleet") -> None:
        """Put documents, and records if they are to hold claims."""
        name = f"{prefix}-{NUMBER}"
        if self.backend == "local":
            self._seed_local(count, age)
            return
        text = json.dumps(document(name, age.issued_s))
        aws = self.backend == "aws"
        if aws:
            item: dict[str, Any] = {"name": name, "version": version_of(name), "text": text, "tags": {TAG: prefix}}
            self.stubs["secrets_manager"].seed(item, count=count, first=first)
        else:
            item = {"path": name, "data": json.loads(text), "custom_metadata": {TAG: prefix}}
            self.stubs["vault"].seed(item, count=count, first=first)
        if not age.claims:
            return
        identity = self.identity(name)
        key = f"secret/{identity}"
        body = json.dumps(to_body(record(identity, HASH, age, version_of(name))))
        if aws:
            self.stubs["dynamodb"].seed({"id": key, "body": body}, count=count, first=first)
        else:
            entry = {"path": f"rotator/state/{quote(key, safe=':')}", "data": {"record": body}}
            self.stubs["vault"].seed(entry, count=count, first=first)

    def identity(self, name: str) -> str:
        """Return the secret's identity, as the store gives it."""
        if self.backend == "aws":
            return ARN.format(name)
        return f"vault:{self.secrets_url}||secret/{name}"

    def _seed_local(self, count: int, age: Age) -> None:
        app = self.app(count, workers=1)
        ids = SystemIds()
        for number, credential in enumerate(app.credentials):
            content = document_of(document(name_of(number), age.issued_s))
            assert isinstance(content, Document)
            store = app.stores[credential.store]
            stored = store.compare_and_swap(credential.secret, content, expected=None, write_id=ids.new_id())
            if age.claims:
                body = json.loads(filled(json.dumps(to_body(record(stored.identity, HASH, age, ""))), number))
                app.state.compare_and_swap(f"secret/{stored.identity}", body, expected=0)

    def stubs_cpu_s(self) -> float:
        """Return the processor time of all stubs so far."""
        return sum(float(one.stats()["cpu_s"]) for one in self.stubs.values())

    def calls(self) -> dict[str, int]:
        """Return how often each operation of each stub was called."""
        return {
            operation: count
            for one in self.stubs.values()
            for operation, count in one.calls().items()
            if operation not in {"lookup-self", "preflight"}  # once in a process, not in a rotation
        }


def document(name: str, issued_s: int) -> dict[str, Any]:
    """Return a credential's document as rotator leaves it, with a token that nobody has presented."""
    return {
        "access_token": f"at.{name}.0.{FILLING}",
        "refresh_token": f"{name}.0",
        "token_type": "Bearer",
        "expires_in": LIFETIME_S,
        "issued_at": issued_s,
        "expires_at": issued_s + LIFETIME_S,
    }


def version_of(name: str) -> str:
    """Return the id of a seeded version."""
    return name.rjust(36, "-")


def record(identity: str, hashed: str, age: Age, version: str) -> StateRecord:
    """Return the record of a credential that was rotated `age.claims` times and more.

    Args:
        hashed: Eight hex digits, or what stands for them; makes the digests this credential's own.
        version: Of the document that is there now.
    """
    issued_at = datetime.fromtimestamp(age.issued_s, UTC)
    rotation = "00000000-0000-4000-8000-{:012d}"
    claims: list[Presented] = []
    history = []
    for turn in range(1, age.claims + 1):
        at = issued_at - timedelta(seconds=LIFETIME_S * (age.claims - turn))
        told = turn > age.claims - TOLD_KEPT
        digest = _digest(hashed, turn)
        claims.append(Claim(digest, rotation.format(turn), at, outcome="settled") if told else digest)
        last = age.known and turn == age.claims
        after = version if last else f"version-{turn + 1:028d}"
        ends_at = at + timedelta(seconds=LIFETIME_S)
        history.append(Done(rotation.format(turn), at, f"version-{turn:028d}", after, ends_at))
    grant = Grant(_digest(hashed, age.claims + 1), issued_at)
    return StateRecord(identity, tuple(claims), fence=age.claims, grant=grant, history=tuple(history[-HISTORY_KEPT:]))


def _digest(hashed: str, turn: int) -> str:
    return f"{hashed}{turn:08x}{0:016x}"


@contextlib.contextmanager
def fleet(backend: Backend, folder: Path) -> Iterator[Fleet]:
    """Run the stubs of a backend for the length of the block, on a core of their own where there is a second one.

    Two processes that push each other from core to core make the rounds of a benchmark differ by a quarter.
    """
    os.environ.update(ENVIRONMENT)
    cores = sorted(os.sched_getaffinity(0))
    apart = len(cores) > 1
    with contextlib.ExitStack() as stack:
        stubs = {kind: stack.enter_context(stub(kind, cores=(cores[-1],) if apart else ())) for kind in STUBS[backend]}
        if apart:
            os.sched_setaffinity(0, cores[:-1])
            stack.callback(os.sched_setaffinity, 0, cores)
        yield Fleet(backend, folder, stubs)
