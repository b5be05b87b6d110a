"""The ways to log in to Vault. Each login reads its source anew, so that a rotated one is picked up.

Nothing here imports hvac: a client is passed in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rotator.errors import ConfigError, PluginError, Problem
from rotator.redact import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where Kubernetes mounts, and renews, a pod's token."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A token that Vault accepted.

    Args:
        lease_s: How long it lasts from now; 0 is for ever (a root token).
        renewable: Whether `renew-self` may be asked.
    """

    token: Secret
    lease_s: float
    renewable: bool


class VaultAuth(Protocol):
    """A way to log in."""

    @property
    def method(self) -> str:
        """The method's name in the configuration."""
        ...

    def login(self, client: Any) -> Granted:
        """Log in through an `hvac.Client` that carries no token.

        Raises:
            ConfigError: The source of the credentials cannot be read.
            rotator.vault_errors.Answered: Vault refuses.
            ValueError: The answer is none of Vault's.
        """
        ...


def from_env(variable: str) -> Callable[[], Secret]:
    """Return a source that reads an environment variable at each call, and raises ConfigError without it."""

    def read() -> Secret:
        return _usable(os.environ.get(variable, ""), f"environment variable {variable}")

    return read


def from_file(path: Path) -> Callable[[], Secret]:
    """Return a source that reads a file at each call, and raises ConfigError when it cannot be read."""

    def read() -> Secret:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(f"file {path}", type(error).__name__) from None
        return _usable(text, f"file {path}")

    return read


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """A token from elsewhere. Logging in again helps only when the source has a new one (Vault Agent's sink)."""

    token: Callable[[], Secret] = field(default_factory=lambda: from_env("VAULT_TOKEN"))
    method: str = "token"

    def login(self, client: Any) -> Granted:
        """Look the token up: that shows its remaining life (`auth/token/lookup-self`). See `VaultAuth.login`."""
        token = self.token()
        client.token = token.reveal()
        answer = client.auth.token.lookup_self()
        match answer:
            case {"data": {"ttl": int(lease_s), **rest}}:
                return Granted(token, lease_s, renewable=rest.get("renewable") is True)
        raise _not_vaults()


@dataclass(frozen=True, slots=True)
class AppRoleAuth:
    """AppRole, with a secret id that is not wrapped."""

    role_id: str
    secret_id: Callable[[], Secret]
    mount: str = "approle"
    method: str = "approle"

    def login(self, client: Any) -> Granted:
        """See `VaultAuth.login`."""
        return granted(
            client.auth.approle.login(
                role_id=self.role_id,
                secret_id=self.secret_id().reveal(),
                use_token=False,
                mount_point=self.mount,
            )
        )


@dataclass(frozen=True, slots=True)
class KubernetesAuth:
    """The pod's service account."""

    role: str
    jwt: Callable[[], Secret] = field(default_factory=lambda: from_file(SERVICE_ACCOUNT_TOKEN))
    mount: str = "kubernetes"
    method: str = "kubernetes"

    def login(self, client: Any) -> Granted:
        """See `VaultAuth.login`."""
        return granted(
            client.auth.kubernetes.login(
                role=self.role, jwt=self.jwt().reveal(), use_token=False, mount_point=self.mount
            )
        )


@dataclass(frozen=True, slots=True)
class JwtAuth:
    """A signed JWT of any issuer that the mount trusts."""

    role: str
    jwt: Callable[[], Secret]
    mount: str = "jwt"
    method: str = "jwt"

    def login(self, client: Any) -> Granted:
        """See `VaultAuth.login`."""
        return granted(
            client.auth.jwt.jwt_login(role=self.role, jwt=self.jwt().reveal(), use_token=False, path=self.mount)
        )


@dataclass(frozen=True, slots=True)
class AwsAuth:
    """AWS IAM: Vault checks a signed `GetCallerIdentity` request. Needs boto3 for its credential chain.

    Args:
        header_value: The mount's `iam_server_id_header_value`, if it has one.
        region: For the signature; hvac signs for the global endpoint of STS, which takes us-east-1 unless the mount
            is configured otherwise.
    """

    role: str | None = None
    header_value: str | None = None
    region: str | None = None
    mount: str = "aws"
    method: str = "aws"

    def login(self, client: Any) -> Granted:
        """See `VaultAuth.login`.

        Raises:
            PluginError: boto3 is not installed.
        """
        try:
            import boto3  # noqa: PLC0415 - only this method needs it
            from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above
        except ImportError:
            raise PluginError(
                [Problem("vault auth: method aws", "boto3 is not installed", "pip install 'rotator[aws]'")]
            ) from None
        try:
            found = boto3.Session().get_credentials()
            frozen = found and found.get_frozen_credentials()
        except BotoCoreError as error:
            raise _unreadable("AWS credentials", type(error).__name__) from None
        if not frozen:
            raise _unreadable("AWS credentials", "none found")
        return granted(
            client.auth.aws.iam_login(
                access_key=frozen.access_key,
                secret_key=frozen.secret_key,
                session_token=frozen.token,
                header_value=self.header_value,
                role=self.role,
                use_token=False,
                region=self.region or "us-east-1",
                mount_point=self.mount,
            )
        )


def granted(answer: Mapping[str, Any]) -> Granted:
    """Read the `auth` part of a login's or a renewal's answer.

    Raises:
        ValueError: There is none.
    """
    match answer:
        case {"auth": {"client_token": str(token), "lease_duration": int(lease_s), **rest}} if token:
            return Granted(Secret(token), lease_s, renewable=rest.get("renewable") is True)
    raise _not_vaults()


def _not_vaults() -> ValueError:
    return ValueError("an answer that is none of Vault's")


def _usable(text: str, where: str) -> Secret:
    stripped = text.strip()  # files end in a line break
    if not stripped:
        raise _unreadable(where, "empty or not set")
    # Checked here: the libraries below refuse such a header with its whole text in their error.
    if not (stripped.isascii() and stripped.isprintable()):
        raise _unreadable(where, "holds a character that no token has")
    return Secret(stripped)


def _unreadable(where: str, what: str) -> ConfigError:
    return ConfigError([Problem(f"vault auth: {where}", what, "the login to Vault reads it each time")])
