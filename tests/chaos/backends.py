"""Where a fleet under chaos keeps its documents and its state: local files, AWS emulators, or a Vault double."""

from __future__ import annotations

import base64
import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rotator.testing.vault_double import VaultDouble
from tests.chaos.proxy import Proxy
from tests.servers import REGION, create_state_table, ministack, moto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Kind = Literal["local", "aws", "vault"]

SEAL = {"key_env": "CHAOS_SEAL_KEY"}
SEAL_KEY = base64.b64encode(bytes(range(32))).decode()
AWS_ENV = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}

ESCROWED = re.compile(rb'parent\\*":\s*\\*"([0-9a-f]{32})')
"""In a request to the state: an escrow entry, by the digest of the token that it succeeds. DynamoDB gets the record as
JSON within JSON, hence the backslashes."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One kind of deployment.

    Args:
        config: The keys `stores`, `state` and what belongs to them.
        proxies: What stands before its servers, by name; the one of the documents comes first.
        files: Databases that another writer may hold; the one of the documents comes first.
    """

    config: dict[str, Any]
    env: dict[str, str] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


@contextlib.contextmanager
def opened(kind: Kind, folder: Path, seed: int) -> Iterator[Backend]:
    """Start what a kind of deployment needs, empty, and stop it at the end.

    Args:
        folder: Of the processes; what the servers write goes beside it.
    """
    if kind == "local":
        yield local(folder)
        return
    with aws(folder, seed) if kind == "aws" else vault(seed) as backend:
        yield backend


def local(folder: Path) -> Backend:
    """Processes of one machine on files that they share."""
    secrets, state = folder / "secrets.db", folder / "state.db"
    return Backend(
        {
            "stores": {"main": {"type": "local", "path": str(secrets)}},
            "state": {"type": "local", "path": str(state)},
            "escrow": {"type": "file", "path": str(folder / "escrow")},
        },
        files=(secrets, state),
    )


@contextlib.contextmanager
def aws(folder: Path, seed: int) -> Iterator[Backend]:
    """Secrets Manager on moto and DynamoDB on ministack, with an escrow that all replicas see."""
    homes = [folder.with_name(f"{folder.name}-{name}") for name in ("moto", "ministack")]
    for home in homes:
        home.mkdir()
    with contextlib.ExitStack() as stack:
        with ThreadPoolExecutor(2) as both:  # each takes a second or two to start
            urls = [
                both.submit(stack.enter_context, server(home))
                for server, home in zip((moto, ministack), homes, strict=True)
            ]
        moto_url, ministack_url = (url.result() for url in urls)
        table = create_state_table(ministack_url, "rotator-state")
        secrets = stack.enter_context(Proxy(moto_url, seed + 1))
        state = stack.enter_context(Proxy(ministack_url, seed + 2, note=ESCROWED))
        yield Backend(
            {
                "stores": {"main": {"type": "aws-secrets-manager", "region": REGION, "endpoint_url": secrets.url}},
                "state": {"type": "dynamodb", "table": table, "region": REGION, "endpoint_url": state.url},
                "seal": SEAL,
            },
            {**AWS_ENV, "CHAOS_SEAL_KEY": SEAL_KEY},
            {"secrets": secrets, "state": state},
        )


@contextlib.contextmanager
def vault(seed: int) -> Iterator[Backend]:
    """Documents and state in one KV version 2 mount."""
    with VaultDouble() as double, Proxy(double.address, seed + 1, note=ESCROWED) as proxy:
        yield Backend(
            {
                "stores": {"main": {"type": "vault", "address": proxy.url, "auth": {"method": "token"}}},
                "state": {"type": "vault", "store": "main", "path": "rotator/state"},
                "seal": SEAL,
            },
            {"VAULT_TOKEN": double.root, "CHAOS_SEAL_KEY": SEAL_KEY},
            {"vault": proxy},
        )
