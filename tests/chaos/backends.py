"""Where a fleet under chaos keeps its documents and its state: local files, AWS emulators, or a Vault double."""

from __future__ import annotations

import base64
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rotator.testing.vault_double import VaultDouble
from tests.chaos.proxy import Proxy
from tests.servers import create_state_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEAL = {"key_env": "CHAOS_SEAL_KEY"}
SEAL_KEY = base64.b64encode(bytes(range(32))).decode()
AWS_ENV = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Backend:
    """One kind of deployment.

    Args:
        config: The keys `stores`, `state` and what belongs to them.
        proxies: What stands before its servers, by name.
    """

    config: dict[str, Any]
    env: dict[str, str] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)


def local(folder: Path) -> Backend:
    """Processes of one machine on files that they share."""
    return Backend(
        {
            "stores": {"main": {"type": "local", "path": str(folder / "secrets.db")}},
            "state": {"type": "local", "path": str(folder / "state.db")},
            "escrow": {"type": "file", "path": str(folder / "escrow")},
        }
    )


@contextlib.contextmanager
def aws(moto_url: str, ministack_url: str, table: str, seed: int) -> Iterator[Backend]:
    """Secrets Manager on moto and DynamoDB on ministack, with an escrow that all replicas see."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # moto's server logs each request
    create_state_table(ministack_url, table)
    with Proxy(moto_url, seed + 1, {}) as secrets, Proxy(ministack_url, seed + 2, {}) as state:
        region = "us-east-1"
        yield Backend(
            {
                "stores": {"main": {"type": "aws-secrets-manager", "region": region, "endpoint_url": secrets.url}},
                "state": {"type": "dynamodb", "table": table, "region": region, "endpoint_url": state.url},
                "seal": SEAL,
            },
            {**AWS_ENV, "CHAOS_SEAL_KEY": SEAL_KEY},
            {"secrets": secrets, "state": state},
        )


@contextlib.contextmanager
def vault(seed: int) -> Iterator[Backend]:
    """Documents and state in one KV version 2 mount."""
    with VaultDouble() as double, Proxy(double.address, seed + 1, {}) as proxy:
        yield Backend(
            {
                "stores": {"main": {"type": "vault", "address": proxy.url, "auth": {"method": "token"}}},
                "state": {"type": "vault", "store": "main", "path": "rotator/state"},
                "seal": SEAL,
            },
            {"VAULT_TOKEN": double.root, "CHAOS_SEAL_KEY": SEAL_KEY},
            {"vault": proxy},
        )
