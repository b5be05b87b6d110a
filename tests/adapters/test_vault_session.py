"""Logging in to Vault, staying logged in, and what the answers mean."""

from __future__ import annotations

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from vault_harness import DoubledVault, doubled

from rotator.errors import PluginError, StoreDenied, StoreError, StoreUnavailable
from rotator.redact import Secret
from rotator.testing.contracts import shown
from rotator.testing.vault_double_auth import Role
from rotator.vault_auth import AppRoleAuth, AwsAuth, JwtAuth, KubernetesAuth, TokenAuth, from_env, from_file
from rotator.vault_errors import Absent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rotator.vault_auth import VaultAuth
    from rotator.vault_session import VaultSession

__all__ = ["doubled"]

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


# -------------------------------------------------------------------------------------------- the login methods


def by_env(vault: DoubledVault, folder: Path, monkeypatch: pytest.MonkeyPatch) -> VaultAuth:
    monkeypatch.setenv("VAULT_TOKEN", vault.double.root)
    return TokenAuth()


def by_token_file(vault: DoubledVault, folder: Path, monkeypatch: pytest.MonkeyPatch) -> VaultAuth:
    (folder / "token").write_text(f"{vault.double.root}\n")
    return TokenAuth(from_file(folder / "token"))


def by_app_role(vault: DoubledVault, folder: Path, monkeypatch: pytest.MonkeyPatch) -> VaultAuth:
    monkeypatch.setenv("APP_SECRET", "secret-id")
    vault.double.accounts.roles["apps"] = [Role("approle", {"role_id": "role-1", "secret_id": "secret-id"})]
    return AppRoleAuth("role-1", from_env("APP_SECRET"), mount="apps")


def by_kubernetes(vault: DoubledVault, folder: Path, monkeypatch: pytest.MonkeyPatch) -> VaultAuth:
    (folder / "sa").write_text("sa-jwt")
    vault.double.accounts.roles["kubernetes"] = [Role("kubernetes", {"role": "rotator", "jwt": "sa-jwt"})]
    return KubernetesAuth("rotator", from_file(folder / "sa"))


def by_jwt(vault: DoubledVault, folder: Path, monkeypatch: pytest.MonkeyPatch) -> VaultAuth:
    monkeypatch.setenv("CI_JWT", "a.b.c")
    vault.double.accounts.roles["ci"] = [Role("jwt", {"role": "rotator", "jwt": "a.b.c"})]
    return JwtAuth("rotator", from_env("CI_JWT"), mount="ci")


def by_aws(vault: DoubledVault, folder: Path, monkeypatch: pytest.MonkeyPatch) -> VaultAuth:
    aws_environment(monkeypatch, folder)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "aws-session")
    signed = {"role": "rotator", "access_key": "AKIDEXAMPLE", "header_value": "vault", "session_token": "aws-session"}
    vault.double.accounts.roles["aws"] = [Role("aws", signed)]
    return AwsAuth("rotator", header_value="vault")


def aws_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Cut botocore off from whatever credentials this machine has."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))


METHODS = [by_env, by_token_file, by_app_role, by_kubernetes, by_jwt, by_aws]


@pytest.mark.parametrize("prepare", METHODS)
def test_every_method_logs_in(
    doubled: DoubledVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[..., VaultAuth]
) -> None:
    """Each auth method gets a token with which a call succeeds."""
    session = doubled.session(prepare(doubled, tmp_path, monkeypatch))
    ask(session)
    assert doubled.double.seen[-1].path == "secret/metadata/app"


@pytest.mark.parametrize("prepare", METHODS[2:])
def test_every_method_says_when_it_is_refused(
    doubled: DoubledVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[..., VaultAuth]
) -> None:
    """A login that Vault refuses is StoreDenied that names the method, and shows none of its secrets."""
    auth = prepare(doubled, tmp_path, monkeypatch)
    for roles in doubled.double.accounts.roles.values():
        roles[:] = [Role(role.method, {"nobody": "fits"}) for role in roles]
    with pytest.raises(StoreDenied) as caught:
        ask(doubled.session(auth))
    assert f"method {auth.method} is refused" in str(caught.value)
    for secret in ("secret-id", "sa-jwt", "a.b.c", "aws-secret", "aws-session"):
        assert secret not in shown(caught.value)


def test_a_rotated_source_is_picked_up(doubled: DoubledVault, tmp_path: Path) -> None:
    """The next login reads the service account's token anew."""
    roles = [Role("kubernetes", {"role": "r", "jwt": jwt}, ttl_s=100, renewable=False) for jwt in ("first", "second")]
    doubled.double.accounts.roles["kubernetes"] = roles
    jwt = tmp_path / "token"
    jwt.write_text("first")
    session = doubled.session(KubernetesAuth("r", from_file(jwt)))
    ask(session)
    del roles[0]
    jwt.write_text("second")
    doubled.clock.advance(100)
    ask(session)
    assert count(doubled, "auth/kubernetes/login") == 2


def test_a_missing_auth_mount_is_a_refusal_to_log_in(doubled: DoubledVault) -> None:
    """A login at a mount that does not exist is StoreDenied, not a missing store."""
    with pytest.raises(StoreDenied):
        ask(doubled.session(APP_ROLE))


@pytest.mark.parametrize("text", ["{}", '{"auth": null}', '{"auth": {"client_token": "", "lease_duration": 1}}'])
def test_a_login_without_a_token_in_the_answer_is_no_login(
    doubled: DoubledVault, session: VaultSession, text: str
) -> None:
    """A 200 that holds no token is StoreUnavailable."""
    doubled.double.fail(200, path="auth/approle/login", text=text)
    with pytest.raises(StoreUnavailable):
        ask(session)


def test_a_token_whose_lookup_is_no_answer_is_not_used(doubled: DoubledVault) -> None:
    """A lookup that does not say how long the token lasts is StoreUnavailable."""
    doubled.double.fail(200, path="auth/token/lookup-self", text="{}")
    with pytest.raises(StoreUnavailable):
        ask(doubled.session())


def test_a_sealed_vault_is_unavailable_at_login(doubled: DoubledVault, session: VaultSession) -> None:
    """A login to a sealed Vault may be retried."""
    doubled.double.sealed = True
    with pytest.raises(StoreUnavailable):
        ask(session)


# -------------------------------------------------------------------------------------------------- the sources


@pytest.mark.parametrize("content", [None, b"", b" \n", b"two\nlines", "umlaut-ä".encode(), b"\xff"], ids=repr)
def test_a_source_that_gives_no_token_says_which(doubled: DoubledVault, tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty, binary or misshapen file is StoreDenied that names the file and quotes nothing of it."""
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(StoreDenied) as caught:
        ask(doubled.session(TokenAuth(from_file(tmp_path / "token"))))
    assert str(tmp_path / "token") in str(caught.value)
    assert "umlaut" not in shown(caught.value)
    assert doubled.double.seen == []


def test_an_unset_variable_is_named(doubled: DoubledVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without VAULT_TOKEN the token method is StoreDenied that names the variable."""
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    with pytest.raises(StoreDenied) as caught:
        ask(doubled.session(TokenAuth()))
    assert "VAULT_TOKEN" in str(caught.value)


@pytest.mark.parametrize("profile", [None, "no-such-profile"])
def test_missing_aws_credentials_are_named(
    doubled: DoubledVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str | None
) -> None:
    """Where botocore finds no credentials, or fails to, the login is StoreDenied."""
    aws_environment(monkeypatch, tmp_path)
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    with pytest.raises(StoreDenied) as caught:
        ask(doubled.session(AwsAuth("rotator")))
    assert "AWS credentials" in str(caught.value)


def test_a_missing_boto3_is_named(doubled: DoubledVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The aws method without boto3 is PluginError with the extra to install."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(PluginError) as caught:
        ask(doubled.session(AwsAuth("rotator")))
    assert "rotator[aws]" in str(caught.value)


def test_the_environment_of_hvac_does_not_decide(
    doubled: DoubledVault, session: VaultSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A VAULT_TOKEN that lies about is not sent along with another method's login."""
    monkeypatch.setenv("VAULT_TOKEN", doubled.double.root)
    ask(session)
    assert doubled.double.seen[0].path == "auth/approle/login"
    assert doubled.double.seen[0].accessor is None


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
