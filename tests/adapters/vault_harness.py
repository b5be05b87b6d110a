"""A Vault for the tests: the double in this process, or the server that ROTATOR_TEST_VAULT_ADDR names.

A real server needs ROTATOR_TEST_VAULT_TOKEN (root, or as much as the tests ask for) and KV version 2 at `secret/`, as
`vault server -dev` has it. Everything is written below one new folder, which is removed afterwards.
"""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import requests

from rotator.clocks import SystemClock
from rotator.redact import Secret
from rotator.testing.memory import SeededRandomness, VirtualClock
from rotator.testing.vault_double import VaultDouble
from rotator.vault_auth import TokenAuth
from rotator.vault_session import VaultSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rotator.ports import Clock
    from rotator.vault_auth import VaultAuth

REAL_ADDRESS = os.environ.get("ROTATOR_TEST_VAULT_ADDR")
MOUNT = "secret"


class Vault:
    """A Vault under test: sessions to it, and raw access past everything that is tested."""

    def __init__(self, address: str, token: str, clock: Clock) -> None:
        self.address = address
        self.clock = clock
        self.folder = f"rotator-test/{uuid.uuid4().hex}"
        self._token = token
        self._raw = requests.Session()
        self._closing = ExitStack()
        self._closing.callback(self._raw.close)

    def session(
        self, auth: VaultAuth | None = None, *, token: str | None = None, address: str | None = None, **options: Any
    ) -> VaultSession:
        """Return a new session, with the root token unless told otherwise; it is closed at the end of the test."""
        text = Secret(token or self._token)
        session = VaultSession(
            address or self.address,
            auth or TokenAuth(lambda: text),
            clock=self.clock,
            randomness=SeededRandomness(),
            **options,
        )
        self._closing.callback(session.close)
        return session

    def raw(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one request with the root token; return the JSON of the answer, None for 404 and no content."""
        answer = self._raw.request(
            method, f"{self.address}/v1/{path}", json=body, headers={"X-Vault-Token": self._token}, timeout=30
        )
        if answer.status_code in {204, 404}:
            return None
        answer.raise_for_status()
        return answer.json()

    def token_without_rights(self) -> str:
        """Return a living token that may do nothing."""
        answer = self.raw("POST", "auth/token/create", {"policies": ["default"], "ttl": "600"})
        return str(answer["auth"]["client_token"])

    def close(self) -> None:
        """Remove what was written, and close every session."""
        self._remove(self.folder)
        self._closing.close()

    def _remove(self, folder: str) -> None:
        listed = self.raw("GET", f"{MOUNT}/metadata/{folder}?list=true")
        for name in listed["data"]["keys"] if listed else ():
            inside = f"{folder}/{name.replace('%', '%25')}"
            if name.endswith("/"):
                self._remove(inside.rstrip("/"))
            else:
                self.raw("DELETE", f"{MOUNT}/metadata/{inside}")


class DoubledVault(Vault):
    """The double under test: with faults, and a clock that the test moves where it is a virtual one."""

    clock: Any

    def __init__(self, double: VaultDouble) -> None:
        super().__init__(double.address, double.root, double.clock)
        self.double = double

    def close(self) -> None:
        """Close every session; what was written goes with the double."""
        self._closing.close()


@pytest.fixture
def vault() -> Iterator[Vault]:
    """Give a Vault: the real one when it is asked for, else the double on the system's clock."""
    if REAL_ADDRESS:
        real = Vault(REAL_ADDRESS, os.environ["ROTATOR_TEST_VAULT_TOKEN"], SystemClock())
        yield real
        real.close()
        return
    with VaultDouble(max_body_bytes=100_000) as double:
        doubled = DoubledVault(double)
        yield doubled
        doubled.close()


@pytest.fixture
def doubled() -> Iterator[DoubledVault]:
    """Give the double on a virtual clock."""
    if REAL_ADDRESS:
        pytest.skip("needs faults, roles or a clock of its own, which a real server does not offer")
    with VaultDouble(VirtualClock()) as double:
        vault = DoubledVault(double)
        yield vault
        vault.close()


def closed_address() -> str:
    """Return an address on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"
