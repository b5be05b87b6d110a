"""Two credentials on one secret: one refresh token with two owners, however its place is spelled."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rotator.config.checks import store_of
from rotator.config.findings import Finding, Path
from rotator.config.model import AwsSecretsManagerStore, LocalStore, VaultStore

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from rotator.config.model import CredentialSettings, Settings, StoreSettings

_ARN = re.compile(r"arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(.+)")
_END = re.compile(r"-[A-Za-z0-9]{6}$")
"""The random end of an ARN. It may be left out where a secret is asked for; a name of its own may look like it, too."""


def same_secret(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each credential whose secret an earlier one has."""
    taken: dict[Hashable, CredentialSettings] = {}
    for path, credential, store, secret in _placed(settings):
        other = taken.setdefault(_place(store, secret), credential)
        if other is not credential:
            what = f"credential {other.name} already rotates this secret"
            yield Finding(path, what, "a refresh token has one owner: keep one of the two credentials")
    for path, credential, other, earlier in _alike_ones(settings):
        if credential.grant != other.grant:
            # Those of one grant are both left alone once they are read; two grants have nothing to be found by.
            what = f"is, or may be, the secret of credential {other.name}, {earlier}, which has another grant"
            yield Finding(path, what, "keep one of the two credentials")


def perhaps_same_secret(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each secret of AWS that may be an earlier one: by its name beside an ARN, or without its end.

    Which account a name is looked up in, and what an ARN without its end leads to, only AWS can tell, when it is read;
    then both are left alone.
    """
    for path, credential, other, earlier in _alike_ones(settings):
        if credential.grant == other.grant:
            what = f"may be the secret of credential {other.name}, {earlier}"
            yield Finding(path, what, "if it is, keep one of the two credentials")


def _alike_ones(settings: Settings) -> Iterator[tuple[Path, CredentialSettings, CredentialSettings, str]]:
    """Yield each credential with an earlier one whose secret is spelled otherwise and may be the same."""
    seen: dict[str, list[tuple[str, CredentialSettings]]] = {}
    for path, credential, store, secret in _placed(settings):
        if not isinstance(store, AwsSecretsManagerStore):
            continue
        spellings = _spellings(secret)
        for earlier, other in _once(seen, spellings):
            if earlier != secret and _alike(earlier, secret):
                yield path, credential, other, earlier
        for spelling in spellings:
            seen.setdefault(spelling, []).append((secret, credential))


def _once(
    seen: Mapping[str, list[tuple[str, CredentialSettings]]], spellings: set[str]
) -> list[tuple[str, CredentialSettings]]:
    found = {
        id(credential): (secret, credential) for one in sorted(spellings) for secret, credential in seen.get(one, ())
    }
    return list(found.values())


def _spellings(secret: str) -> set[str]:
    """Return texts of which secrets that are alike share one, so that not every one is compared with every other."""
    arn = _ARN.fullmatch(secret)
    return {secret, _END.sub("", secret), arn[1], _END.sub("", arn[1])} if arn else {secret}


def _alike(one: str, other: str) -> bool:
    arns = [_ARN.fullmatch(one), _ARN.fullmatch(other)]
    if all(arns):
        return one in {other, _END.sub("", other)} or other == _END.sub("", one)
    names = [{arn[1], _END.sub("", arn[1])} if arn else {text} for arn, text in zip(arns, (one, other), strict=True)]
    return any(arns) and bool(names[0] & names[1])


def _placed(settings: Settings) -> Iterator[tuple[Path, CredentialSettings, StoreSettings, str]]:
    for position, credential in enumerate(settings.credentials):
        store = settings.stores.get(store_of(credential, settings) or "")
        if store is not None:
            path: Path = ("credentials", settings.index_of(position), "secret")
            yield path, credential, store, credential.secret or credential.name


def _place(store: StoreSettings, secret: str) -> Hashable:
    """Return what is equal for two spellings of one place: how one logs in makes no difference."""
    if isinstance(store, LocalStore):
        return "local", os.path.realpath(store.path), secret
    if isinstance(store, VaultStore):
        path = tuple(part for part in secret.split("/") if part)
        return "vault", _address(store.address), (store.namespace or "").strip("/"), store.mount.strip("/"), path
    if isinstance(store, AwsSecretsManagerStore):
        endpoint = store.endpoint_url and _address(store.endpoint_url)
        return "aws", endpoint, None if _ARN.fullmatch(secret) else store.region, secret
    return repr(store.model_dump()), secret


def _address(url: str) -> Hashable:
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname,
        parts.port or {"https": 443, "http": 80}.get(parts.scheme),
        parts.path.rstrip("/"),
    )
