"""Settings become what the procedure works with: credentials with their providers and sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rotator.config import checks, grants, notify_rules, rules
from rotator.config.findings import Finding, Path
from rotator.config.grants import Granted
from rotator.config.providers import Merged, merge
from rotator.config.same_secret import perhaps_same_secret, same_secret
from rotator.config.sources import ReadSecret, reader
from rotator.errors import ConfigError, Problem
from rotator.model import Credential
from rotator.plugins import suggestion
from rotator.schedule import margin_s

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from rotator.config.model import CredentialSettings, SecretSource, Settings
    from rotator.discovery import Rule
    from rotator.model import Mode, Provider
    from rotator.redact import Secret


@dataclass(frozen=True, slots=True)
class Resolved:
    """The configuration in the core's terms.

    Args:
        credentials: In the order of the file.
        providers: By name; a credential's own `provider` may differ from it in what it states itself.
        warnings: What is usable but probably not meant.
        rules: By which further credentials are found.
    """

    credentials: list[Credential]
    providers: dict[str, Provider]
    warnings: list[Problem]
    rules: list[Rule]


@dataclass(slots=True)
class Examined:
    """What an examination of settings brought to light; `usable` are the credentials in which nothing is wrong."""

    merged: dict[str, Merged] = field(default_factory=dict)
    usable: list[tuple[int, CredentialSettings]] = field(default_factory=list)
    faults: list[Finding] = field(default_factory=list)
    doubts: list[Finding] = field(default_factory=list)


def resolve(
    settings: Settings, *, read_secret: ReadSecret, env: Mapping[str, str], mode: Mode | None = None
) -> Resolved:
    """Resolve the settings.

    Args:
        settings: As `load_config` returned them.
        read_secret: Store name and secret to what the store returns; called when a `{store, secret, field}` source is
            used, not before.
        env: Where environment variables are looked up, now and at each use.
        mode: How rotator runs, for rules that hold on Lambda only; None applies none of them.

    Raises:
        ConfigError: Everything wrong that no single key can tell.
    """
    found = examine(settings, env=env, mode=mode)
    if found.faults:
        raise ConfigError(settings.origin.problems(found.faults))
    readers: dict[Hashable, Callable[[], Secret | None]] = {}
    granted = Granted()
    credentials = [
        _credential(settings, index, credential, found.merged[credential.provider], env, read_secret, readers, granted)
        for index, credential in found.usable
    ]
    providers = {name: merged.provider for name, merged in found.merged.items()}
    found_by = rules.rules(settings, found.merged, env, read_secret)
    return Resolved(credentials, providers, settings.origin.problems(found.doubts), found_by)


def examine(settings: Settings, *, env: Mapping[str, str], mode: Mode | None) -> Examined:
    """Check everything that no single key can tell, and go on after every fault."""
    found = Examined()
    for name, entry in settings.providers.items():
        merged, faults = merge(name, entry, env)
        if merged:
            found.merged[name] = merged
            faults += checks.sources(("providers", name, "private_key"), merged.private_key, env, settings)
        found.faults += faults
    found.faults += checks.places(settings, env, mode)
    found.faults += checks.same_name(settings)
    found.faults += same_secret(settings)
    found.faults += rules.examined(settings, found.merged, env)
    found.faults += notify_rules.examined(settings, env)
    found.doubts += perhaps_same_secret(settings)
    found.doubts += checks.doubts(settings, env)
    found.doubts += notify_rules.doubts(settings)
    for position, credential in enumerate(settings.credentials):
        index = settings.index_of(position)
        faults = _references(settings, index, credential)
        merged = found.merged.get(credential.provider)
        if merged:
            faults += _client_auth(index, credential, merged)
            faults += grants.examined(("credentials", index), credential, merged)
        for key in ("client_secret", "private_key"):
            faults += checks.sources(("credentials", index, key), getattr(credential, key), env, settings)
        found.faults += faults
        if merged and not faults:
            found.usable.append((index, credential))
            found.doubts += _written_too_often(settings, index, credential, merged)
    return found


def _references(settings: Settings, index: int, credential: CredentialSettings) -> list[Finding]:
    path: Path = ("credentials", index)
    findings = []
    stores = settings.named("stores")
    if not settings.knows("providers", credential.provider):
        what = f"there is no provider {credential.provider!r}"
        hint = suggestion(credential.provider, settings.named("providers"))
        findings.append(Finding((*path, "provider"), what, hint))
    if credential.store is None and len(stores) > 1:
        hint = f"name one of the stores: {', '.join(sorted(stores))}"
        findings.append(Finding((*path, "store"), "is missing", hint))
    if credential.store is not None and not settings.knows("stores", credential.store):
        what = f"there is no store {credential.store!r}"
        findings.append(Finding((*path, "store"), what, suggestion(credential.store, stores)))
    return findings


def _client_auth(index: int, credential: CredentialSettings, merged: Merged) -> list[Finding]:
    """Check that what the provider's `client_auth` needs is there, and nothing that it would never send."""
    path: Path = ("credentials", index)
    method = merged.provider.client_auth
    findings = []
    if credential.client_secret and method in {"none", "private_key_jwt"}:
        what = f"is never sent: provider {credential.provider} has client_auth: {method}"
        findings.append(Finding((*path, "client_secret"), what, "leave it out, or correct client_auth"))
    if credential.private_key and method != "private_key_jwt" and credential.grant != "jwt_bearer":
        what = f"is never used: provider {credential.provider} has client_auth: {method}"
        hint = "leave it out, or set client_auth: private_key_jwt or grant: jwt_bearer"
        findings.append(Finding((*path, "private_key"), what, hint))
    if method == "private_key_jwt" and not (credential.private_key or merged.private_key):
        what = f"is missing: provider {credential.provider} has client_auth: private_key_jwt"
        hint = "add private_key: {env: NAME}, {file: PATH} or {store: …, secret: …, field: …} here or there"
        findings.append(Finding((*path, "private_key"), what, hint))
    return findings


def _written_too_often(settings: Settings, index: int, credential: CredentialSettings, merged: Merged) -> list[Finding]:
    """Warn where the lifetime is known before any token is: `check --live` knows the others from the documents."""
    store = settings.stores.get(checks.store_of(credential, settings) or "")
    lifetime_s = merged.provider.default_lifetime_s
    if store is None or lifetime_s is None:
        return []
    planned = Credential(
        name=credential.name,
        provider=merged.provider,
        store="",
        secret="",
        refresh_before_expiry_s=credential.refresh_before_expiry,
    )
    interval_s = lifetime_s - margin_s(lifetime_s, planned)
    if not checks.written_too_often(store, interval_s):
        return []
    what = f"would be written every {interval_s:.0f} s, and Secrets Manager keeps about 100 versions a day"
    return [Finding(("credentials", index), what, "longer tokens, a shorter refresh_before_expiry, or another store")]


def _nothing() -> None:
    """Stand for a source that is not configured."""


def _credential(
    settings: Settings,
    index: int,
    credential: CredentialSettings,
    merged: Merged,
    env: Mapping[str, str],
    read_secret: ReadSecret,
    readers: dict[Hashable, Callable[[], Secret | None]],
    granted: Granted,
) -> Credential:
    def source(key: str, chosen: SecretSource | None) -> Callable[[], Secret | None]:
        if chosen is None:
            return _nothing
        # Credentials with one source share its reader, which names the first of them: fleets have few clients.
        same = (key, type(chosen), *chosen.__dict__.values())
        if same not in readers:
            where = settings.origin.where(("credentials", index, key))
            readers[same] = reader(chosen, where=where, env=env, read_secret=read_secret)
        return readers[same]

    return Credential(
        name=credential.name,
        provider=granted.of(merged.provider, credential),
        store=checks.store_of(credential, settings) or "",
        secret=credential.secret or credential.name,
        client_id=credential.client_id,
        client_secret=source("client_secret", credential.client_secret),
        private_key=source("private_key", credential.private_key or merged.private_key),
        scope=credential.scope,
        refresh_before_expiry_s=credential.refresh_before_expiry,
    )
