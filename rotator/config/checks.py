"""What no single key can tell: references, duplicates, and settings that do not keep rotator's promises together."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from rotator.config.findings import Finding, Path
from rotator.config.model import AwsSecretsManagerStore, FileEscrow, LocalState, VaultState, VaultStore
from rotator.config.secret_sources import EnvSource, FileSource
from rotator.config.sources import description
from rotator.plugins import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rotator.config.model import CredentialSettings, SecretSource, Settings, StoreSettings
    from rotator.model import Mode

SEAL_KEY_BYTES = 32

MAKE_A_KEY = "make one with: openssl rand -base64 32"

AWS_LEAST_INTERVAL_S = 15 * 60.0
"""Secrets Manager keeps about 100 versions a day, which is one per 14.4 minutes."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def written_too_often(store: StoreSettings, interval_s: float) -> bool:
    """Return whether a secret of this store must not be written every `interval_s` seconds."""
    return isinstance(store, AwsSecretsManagerStore) and interval_s < AWS_LEAST_INTERVAL_S


def places(settings: Settings, env: Mapping[str, str], mode: Mode | None) -> Iterator[Finding]:
    """Check stores, state, escrow and seal against each other; yield what is wrong."""
    faulty = {path[0] for path in settings.origin.left_out}
    for key in ("stores", "providers"):
        if not getattr(settings, key) and key not in faulty:
            yield Finding((key,), "is empty", "define at least one")
    if not (settings.credentials or settings.discover) and not faulty & {"credentials", "discover"}:
        yield Finding(("credentials",), "is empty", "define at least one, or where they are found: discover")
    if not settings.audit:
        yield Finding(("audit",), "is empty", "every rotation is recorded; leave the key out for stderr")
    for name, store in settings.stores.items():
        if isinstance(store, VaultStore):
            yield from _auth_sources(("stores", name, "auth"), store, env, settings)
    if isinstance(settings.state, VaultState):
        yield from _state_in_vault(settings.state, settings)
    if mode == "lambda" and not faulty & {"state", "escrow"}:
        yield from _on_lambda(settings)
    if not faulty & {"state", "seal"}:
        yield from _seal(settings, env)


def doubts(settings: Settings, env: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is usable but probably not meant."""
    if isinstance(settings.state, LocalState) and "KUBERNETES_SERVICE_HOST" in env:
        what = "a local state keeps its promises only on a disk that outlives the pod"
        yield Finding(("state",), what, "use state: {type: dynamodb, …} or {type: vault, …}, or mount a volume")
    seal = settings.seal
    if seal and seal.key_file and not isinstance(settings.state, LocalState) and not FilePath(seal.key_file).exists():
        what = "does not exist yet, and every replica that shares the state must have the same key"
        yield Finding(("seal", "key_file"), what, "mount one file everywhere, or use key_env or kms_key_id")
    for name, store in settings.stores.items():
        if isinstance(store, AwsSecretsManagerStore) and store.writes == "fenced":
            what = (
                "is weaker than strict where other programs write too: what they write in the same moment is replaced,"
                " then put back; after a crash in between it is only kept under a label, for a person to merge"
            )
            yield Finding(("stores", name, "writes"), what, "leave it out unless the account's writes are too few")
    if settings.http and settings.http.token is None and not settings.http.local:
        what = "is not set: beyond this machine /healthz and /readyz are answered, and nothing else"
        yield Finding(("http", "token"), what, "write token: {env: ROTATOR_HTTP_TOKEN}, or listen on 127.0.0.1")
    if settings.metrics and settings.metrics.push:
        for key in ("token", "password"):  # a doubt only: metrics that cannot be pushed keep nothing from being rotated
            yield from sources(("metrics", "push", key), getattr(settings.metrics.push, key), env, settings)


def sources(path: Path, source: SecretSource | None, env: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """Yield what is wrong with a source of a secret now; it is read again at each use."""
    if source is None:
        return
    if isinstance(source, EnvSource):
        yield from _variable(path, source.env, env)
    elif isinstance(source, FileSource):
        if not FilePath(source.file).is_file():
            yield Finding(path, f"{description(source)} is not there", "create it, or correct the path")
    elif not settings.knows("stores", source.store):
        yield _no_store(path, source.store, settings)


def same_name(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each credential whose name an earlier one has, those left out of the settings included."""
    names = dict(settings.origin.names)
    for position, credential in enumerate(settings.credentials):
        names[settings.index_of(position)] = credential.name
    first: dict[str, int] = {}
    for index, name in sorted(names.items()):
        if first.setdefault(name, index) != index:
            what = f"credentials[{first[name]}] has the same name"
            yield Finding(("credentials", index, "name"), what, "names identify credentials; give each its own")


def store_of(credential: CredentialSettings, settings: Settings) -> str | None:
    """Return the name of a credential's store; None when it is left out and there is not exactly one."""
    names = settings.named("stores")
    return names[0] if credential.store is None and len(names) == 1 else credential.store


def _variable(path: Path, name: str, env: Mapping[str, str]) -> Iterator[Finding]:
    if not _VARIABLE.fullmatch(name):
        yield Finding(path, "is not the name of an environment variable", "letters, digits and _ only")
    elif not env.get(name):
        yield Finding(
            path, f"the environment variable {name} is {'empty' if name in env else 'not set'}", f"set {name}"
        )


def _auth_sources(path: Path, store: VaultStore, env: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """Check the secrets that a login needs. They cannot come from a store, which would need a login itself."""
    for key in ("token", "secret_id", "jwt"):
        source = getattr(store.auth, key, None)
        if source is None or isinstance(source, EnvSource | FileSource):
            yield from sources((*path, key), source, env, settings)
        else:
            yield Finding(
                (*path, key), "a login to a store cannot come from a store", "use {env: NAME} or {file: PATH}"
            )


def _no_store(path: Path, name: str, settings: Settings) -> Finding:
    return Finding(path, f"there is no store {name!r}", suggestion(name, settings.named("stores")))


def _state_in_vault(state: VaultState, settings: Settings) -> Iterator[Finding]:
    path: Path = ("state", "store")
    store = settings.stores.get(state.store)
    if not settings.knows("stores", state.store):
        yield _no_store(path, state.store, settings)
    elif store is not None and not isinstance(store, VaultStore):
        yield Finding(path, f"the store {state.store!r} is not a Vault", "name a store of type vault")


def _on_lambda(settings: Settings) -> Iterator[Finding]:
    if isinstance(settings.state, LocalState):
        what = (
            "a local state does not outlive a run on Lambda, and with it goes what keeps a token from being spent twice"
        )
        yield Finding(("state",), what, "use state: {type: dynamodb, table: …} or {type: vault, …}")
    elif isinstance(settings.escrow, FileEscrow):
        what = "a file does not outlive a run on Lambda"
        yield Finding(("escrow",), what, "leave the key out: the escrow then lies in the state")


def _seal(settings: Settings, env: Mapping[str, str]) -> Iterator[Finding]:
    seal = settings.seal
    if seal is None:
        if not isinstance(settings.state, LocalState):
            what = "is missing: what is sealed must be opened by every replica that shares the state"
            yield Finding(("seal",), what, "add seal: {key_env: NAME}, {key_file: PATH} or {kms_key_id: ID}")
        return
    if seal.key_env is None:
        return
    path: Path = ("seal", "key_env")
    unset = list(_variable(path, seal.key_env, env))
    yield from unset
    if not unset and not _is_key(env[seal.key_env]):
        yield Finding(path, f"{seal.key_env} does not hold {SEAL_KEY_BYTES} bytes in base64", MAKE_A_KEY)


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.strip(), validate=True)) == SEAL_KEY_BYTES
    except (binascii.Error, ValueError):
        return False
