"""Staying logged in to Vault: renewal, replacement, refused calls, many threads."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from vault_harness import DoubledVault, doubled
from vault_logins import APP_ROLE, LEASE_S, ask, count, grant_app_role, logins, renewals, session

from rotator.errors import StoreDenied, StoreError, StoreUnavailable
from rotator.vault_auth import TokenAuth, from_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rotator.vault_session import VaultSession

__all__ = ["doubled", "session"]


# ----------------------------------------------------------------------------------------------- staying logged in


def test_one_login_serves_many_calls(doubled: DoubledVault, session: VaultSession) -> None:
    """Before half of the lease is over there is one login and no renewal."""
    for _ in range(3):
        ask(session)
    doubled.clock.advance(0.49 * LEASE_S)
    ask(session)
    assert (logins(doubled), renewals(doubled)) == (1, 0)


def test_a_lease_past_its_half_is_renewed(doubled: DoubledVault, session: VaultSession) -> None:
    """Renewed at little more than half of each lease, one token lasts many leases."""
    for _ in range(10):
        ask(session)
        doubled.clock.advance(0.61 * LEASE_S)
    assert (logins(doubled), renewals(doubled)) == (1, 9)


def test_a_token_at_its_maximum_is_replaced_in_time(doubled: DoubledVault) -> None:
    """When renewal is capped by the token's maximum, a new login replaces it long before its end."""
    grant_app_role(doubled, max_ttl_s=1.5 * LEASE_S)
    session = doubled.session(APP_ROLE)
    tokens = doubled.double.accounts.tokens.values()
    for _ in range(200):
        ask(session)
        used = next(token for token in tokens if token.accessor == doubled.double.seen[-1].accessor)
        assert used.ends_at - doubled.clock.monotonic_s() > 0.25 * LEASE_S
        doubled.clock.advance(0.05 * LEASE_S)
    assert 5 < logins(doubled) < 15
    assert renewals(doubled) < 30


def test_a_token_that_cannot_be_renewed_is_replaced_in_time(doubled: DoubledVault) -> None:
    """Without renewal there is a new login past half of the lease, and nobody asks for a renewal."""
    grant_app_role(doubled, renewable=False)
    session = doubled.session(APP_ROLE)
    for _ in range(4):
        ask(session)
        doubled.clock.advance(0.61 * LEASE_S)
    assert (logins(doubled), renewals(doubled)) == (4, 0)


@pytest.mark.parametrize(("status", "text"), [(500, "{}"), (403, "{}"), (200, "{}")])
def test_a_failed_renewal_leads_to_a_login(
    doubled: DoubledVault, session: VaultSession, status: int, text: str
) -> None:
    """Whatever a renewal answers that is no new lease, a login follows."""
    ask(session)
    doubled.clock.advance(0.7 * LEASE_S)
    doubled.double.fail(status, path="auth/token/renew-self", text=text)
    ask(session)
    assert logins(doubled) == 2


def test_a_token_at_hand_is_used_while_vault_gives_no_other(doubled: DoubledVault, session: VaultSession) -> None:
    """When neither renewal nor login succeeds, calls go on until the token ends, with few attempts on the way."""
    ask(session)
    doubled.double.fail(500, path="auth/", times=1000)
    doubled.clock.advance(0.6 * LEASE_S)
    for _ in range(390):
        ask(session)
        doubled.clock.advance(1.0)
    assert logins(doubled) < 12
    doubled.clock.advance(15.0)
    with pytest.raises(StoreUnavailable):
        ask(session)


def test_an_ended_token_is_not_renewed(doubled: DoubledVault, session: VaultSession) -> None:
    """After the lease is over there is a login straight away."""
    ask(session)
    doubled.clock.advance(LEASE_S)
    ask(session)
    assert (logins(doubled), renewals(doubled)) == (2, 0)


def test_a_token_without_end_is_never_renewed(doubled: DoubledVault) -> None:
    """A root token is looked up once and used for ever."""
    session = doubled.session()
    ask(session)
    doubled.clock.advance(10 * 365 * 86_400)
    ask(session)
    assert [seen.path for seen in doubled.double.seen] == ["auth/token/lookup-self", *["secret/metadata/app"] * 2]


def test_a_static_token_is_renewed_up_to_its_maximum(doubled: DoubledVault) -> None:
    """A given token with a lease is renewed; past its maximum it is StoreDenied with what to do."""
    token = doubled.double.accounts.issue("root", ttl_s=100, max_ttl_s=250)
    session = doubled.session(token=token.text)
    for _ in range(25):
        ask(session)
        doubled.clock.advance(10)
    with pytest.raises(StoreDenied) as caught:
        ask(session)
    assert "put a new one into its source" in caught.value.hint


def test_a_static_token_that_is_replaced_at_its_source_goes_on(doubled: DoubledVault, tmp_path: Path) -> None:
    """A token file that something else renews (Vault Agent's sink) is read again when the old token ends."""
    issue = doubled.double.accounts.issue
    sink = tmp_path / "sink"
    sink.write_text(issue("root", ttl_s=100).text)
    session = doubled.session(TokenAuth(from_file(sink)))
    ask(session)
    doubled.double.accounts.revoke_all()
    with pytest.raises(StoreDenied):
        ask(session)
    sink.write_text(issue("root", ttl_s=100).text)
    ask(session)


# --------------------------------------------------------------------------------------------------- refused calls


def test_a_revoked_token_is_replaced_and_the_call_repeated(doubled: DoubledVault, session: VaultSession) -> None:
    """A 403 leads to one login and one more try, which the caller never notices."""
    ask(session)
    doubled.double.accounts.revoke_all()
    ask(session)
    assert (logins(doubled), count(doubled, "secret/metadata/app")) == (2, 3)


def test_a_denial_by_policy_is_told_after_one_more_login(doubled: DoubledVault) -> None:
    """A 403 that a fresh login does not mend is StoreDenied, after two tries and no more."""
    grant_app_role(doubled, policies=("nothing",))
    session = doubled.session(APP_ROLE)
    with pytest.raises(StoreDenied) as caught:
        session.call(lambda client: client.secrets.kv.v2.read_secret_metadata("app"), what="store main: secret/app")
    assert str(caught.value).startswith("store main: secret/app")
    assert (logins(doubled), count(doubled, "secret/metadata/app")) == (2, 2)


def test_no_login_carries_an_old_token(doubled: DoubledVault, session: VaultSession) -> None:
    """First login, login after a refusal, after the end of the lease and after a failed renewal go without token."""
    ask(session)
    doubled.double.accounts.revoke_all()
    ask(session)
    doubled.clock.advance(LEASE_S)
    ask(session)
    doubled.double.fail(500, path="auth/token/renew-self")
    doubled.clock.advance(0.7 * LEASE_S)
    ask(session)
    seen = [seen.accessor for seen in doubled.double.seen if seen.path == "auth/approle/login"]
    assert seen == [None] * 4


# --------------------------------------------------------------------------------------------------- many threads


def together(calls: int, call: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(calls) as pool:
        return [future.exception() for future in [pool.submit(call) for _ in range(calls)]]


def test_threads_share_one_login(doubled: DoubledVault, session: VaultSession) -> None:
    """Threads that start together, meet a revoked token together, or a half lease, log in once, or renew once."""
    assert together(8, lambda: ask(session)) == [None] * 8
    assert logins(doubled) == 1
    doubled.double.accounts.revoke_all()
    assert together(8, lambda: ask(session)) == [None] * 8
    assert logins(doubled) == 2
    doubled.clock.advance(0.7 * LEASE_S)
    assert together(8, lambda: ask(session)) == [None] * 8
    assert (logins(doubled), renewals(doubled)) == (2, 1)


class CountingLock:
    """A lock that shows who has come for it."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.arrived.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_threads_share_one_failed_login(doubled: DoubledVault, session: VaultSession) -> None:
    """Those who waited for a login that failed do not each try it again; who comes later does."""
    session._lock = lock = CountingLock()
    release = doubled.double.hold(path="auth/approle/login", then_status=503)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(ask, session) for _ in range(8)]
        for _ in futures:
            assert lock.arrived.acquire(timeout=20)
        release.set()
        assert [type(future.exception()) for future in futures] == [StoreUnavailable] * 8
    assert logins(doubled) == 1
    ask(session)
    assert logins(doubled) == 2


# ---------------------------------------------------------------------------------------------------- the address


def test_the_namespace_goes_with_every_request(doubled: DoubledVault) -> None:
    """Login and call carry the namespace, without slashes around it."""
    grant_app_role(doubled)
    doubled.double.mount("secret", namespace="team/a")
    ask(doubled.session(APP_ROLE, namespace="/team/a/"))
    assert {seen.namespace for seen in doubled.double.seen} == {"team/a"}


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("HTTPS://Vault.Internal:443/", "https://vault.internal"),
        ("https://vault.internal:8200", "https://vault.internal:8200"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8200/", "http://[::1]:8200"),
        ("https://edge.example/vault/", "https://edge.example/vault"),
    ],
)
def test_an_address_has_one_form(doubled: DoubledVault, given: str, normal: str) -> None:
    """Case, a default port and a slash at the end make no difference to the address in identities."""
    assert doubled.session(address=given).address == normal


def test_nothing_secret_is_logged(
    doubled: DoubledVault, session: VaultSession, caplog: pytest.LogCaptureFixture
) -> None:
    """At the lowest level no library below logs a secret id or a token."""
    caplog.set_level(logging.DEBUG)
    ask(session)
    doubled.double.fail(400, path="auth/approle/login", text="canary-secret-id")
    doubled.clock.advance(LEASE_S)
    with pytest.raises(StoreError):
        ask(session)
    assert caplog.records
    assert "canary-secret-id" not in caplog.text
    assert "hvs." not in caplog.text
