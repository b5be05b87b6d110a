"""Vault's stores over answers that are anything: real hvac and requests, without a server behind them."""

from __future__ import annotations

import io
from typing import Any

import requests
from requests.adapters import BaseAdapter

from rotator.redact import Secret
from rotator.state.vault import VaultStateStore
from rotator.stores.vault import VaultSecretStore
from rotator.testing.memory import SeededRandomness, VirtualClock
from rotator.vault_auth import TokenAuth
from rotator.vault_session import VaultSession
from tests.fuzz.leaks import PROCESS

LOOKED_UP = b'{"data": {"ttl": 0, "renewable": false}}'
MOUNT = b'{"data": {"type": "kv", "options": {"version": "2"}}}'


class Answering(BaseAdapter):
    """Lets the login pass and answers everything else with the same bytes."""

    def __init__(self, body: bytes, status: int) -> None:
        super().__init__()
        self.body = body
        self.status = status

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        response = requests.Response()
        response.request = request
        response.url = request.url or ""
        if "/auth/" in response.url:
            body, response.status_code = LOOKED_UP, 200
        elif "/sys/internal/" in response.url:
            body, response.status_code = MOUNT, 200
        else:
            body, response.status_code = self.body, self.status
        response.raw = io.BytesIO(body)
        response.headers["Content-Type"] = "application/json"
        return response

    def close(self) -> None:
        """Nothing is open."""


def session(body: bytes, status: int = 200) -> VaultSession:
    """Return a login to a Vault that answers with these bytes."""
    clock = VirtualClock()
    made = VaultSession(
        "http://127.0.0.1:8200",
        TokenAuth(lambda: Secret(PROCESS)),
        clock=clock,
        randomness=SeededRandomness(1),
    )
    made._http.mount("http://", Answering(body, status))
    return made


def vault_state(body: bytes, status: int = 200) -> VaultStateStore:
    """Return a state store that reads these bytes."""
    return VaultStateStore(session(body, status), "secret", "rotator/state")


def vault_secrets(body: bytes, status: int = 200) -> VaultSecretStore:
    """Return a secret store that reads these bytes."""
    return VaultSecretStore("vault", session(body, status), "secret")
