"""Logging in to Vault: the methods, and the sources of what they present."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from vault_harness import DoubledVault, doubled
from vault_logins import APP_ROLE, ask, count, session

from rotator.errors import PluginError, StoreDenied, StoreUnavailable
from rotator.testing.contracts import shown
from rotator.testing.vault_double_auth import Role
from rotator.vault_auth import AppRoleAuth, AwsAuth, JwtAuth, KubernetesAuth, TokenAuth, from_env, from_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rotator.vault_auth import VaultAuth
    from rotator.vault_session import VaultSession

__all__ = ["doubled", "session"]


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
