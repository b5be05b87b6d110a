"""A session that logs in by AppRole, and what the server saw of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rotator.redact import Secret
from rotator.testing.vault_double_auth import Role
from rotator.vault_auth import AppRoleAuth
from rotator.vault_errors import Absent

if TYPE_CHECKING:
    from vault_harness import DoubledVault

    from rotator.vault_session import VaultSession

LEASE_S = 1000.0
APP_ROLE = AppRoleAuth("role-1", lambda: Secret("canary-secret-id"))


def grant_app_role(vault: DoubledVault, **changes: Any) -> None:
    fields = {"role_id": "role-1", "secret_id": "canary-secret-id"}
    vault.double.accounts.roles["approle"] = [Role("approle", fields, ttl_s=LEASE_S, **changes)]


@pytest.fixture
def session(doubled: DoubledVault) -> VaultSession:
    """Give a session that logs in by AppRole for a renewable lease of 1000 s."""
    grant_app_role(doubled)
    return doubled.session(APP_ROLE)


def ask(session: VaultSession) -> None:
    """Make one request; that nothing is there does not matter."""
    with pytest.raises(Absent):
        session.call(lambda client: client.secrets.kv.v2.read_secret_metadata("app"), what="app")


def count(vault: DoubledVault, path: str) -> int:
    return sum(seen.path == path for seen in vault.double.seen)


def logins(vault: DoubledVault) -> int:
    return count(vault, "auth/approle/login")


def renewals(vault: DoubledVault) -> int:
    return count(vault, "auth/token/renew-self")
