"""The composition root: from settings to the parts that work together.

Adapters are imported here, on use: a Lambda with AWS never imports hvac, and a pass with a local store no SDK at all.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rotator import plugins
from rotator.attempt import Teller
from rotator.audit.trail import AuditTrail
from rotator.budget import Budget
from rotator.clocks import SystemClock, SystemIds, SystemRandom, this_actor
from rotator.config import model as configured
from rotator.config.quotas import quota_of
from rotator.config.resolve import resolve
from rotator.cooldowns import Cooldowns
from rotator.discovery import gathered
from rotator.errors import ConfigError, Problem
from rotator.late_endpoint import LateEndpoint
from rotator.ledger import provider_key
from rotator.limits import Pace
from rotator.observe import Observer
from rotator.passes import Passes
from rotator.received import WriteBack
from rotator.retrying import Retrier
from rotator.rotation import Rotation
from rotator.seal import AesSeal, key_from_env, key_from_file, key_from_kms
from rotator.setbacks import PAUSE_S, Setbacks
from rotator.settling import Settling
from rotator.shards import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.discovery import Rule
    from rotator.errors import RotatorError
    from rotator.model import Actor, Credential, Mode, Versioned
    from rotator.ports import AuditSink, Clock, Escrow, Ids, Randomness, SecretStore, StateStore, TokenEndpoint
    from rotator.redact import Secret
    from rotator.vault_session import VaultSession


QUOTA_SLACK_S = 1.0
"""How long a slot of a store's write quota can be used: as much as a second's writes may come at once."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a process gets from outside: replaced in tests and in the demo, never elsewhere.

    Args:
        env: Environment variables.
        pause_s: The shortest pause of a grant after a failure; only a demo with tokens of seconds makes it shorter.
    """

    env: Mapping[str, str]
    clock: Clock
    ids: Ids
    randomness: Randomness
    pause_s: float = PAUSE_S

    @classmethod
    def real(cls, env: Mapping[str, str]) -> Surroundings:
        """Return the real clock, ids and randomness."""
        return cls(env, SystemClock(), SystemIds(), SystemRandom())


@dataclass(frozen=True, slots=True)
class App:
    """The parts of one process.

    Args:
        credentials: Those that are configured, and found where the process ends soon; of its shard alone.
        rules: By which further ones are found.
    """

    settings: configured.Settings
    surroundings: Surroundings
    actor: Actor
    credentials: list[Credential]
    stores: Mapping[str, SecretStore]
    state: StateStore
    escrow: Escrow
    seal: AesSeal
    trail: AuditTrail
    endpoint: TokenEndpoint
    retrier: Retrier
    observer: Observer
    rotation: Rotation
    budget: Budget
    passes: Passes
    quotas: Mapping[str, tuple[str, Pace]]
    rules: list[Rule]
    shard: Shard = WHOLE

    def credential(self, name: str) -> Credential:
        """Return a configured credential.

        Raises:
            ConfigError: There is none of that name.
        """
        for credential in self.credentials:
            if credential.name == name:
                return credential
        hint = plugins.suggestion(name, [credential.name for credential in self.credentials])
        raise ConfigError([Problem(self.settings.source, f"there is no credential {name!r}", hint)])


def with_discovered(app: App) -> tuple[App, list[str], list[RotatorError]]:
    """Return the parts with the credentials that the rules find now, for a run that ends soon.

    Returns:
        The parts; what a person should know; and why rules could not be followed, whose credentials are missing.
    """
    if not app.rules:
        return app, [], []
    found, notes, errors = gathered(app.rules, app.stores, app.credentials)
    return replace(app, credentials=[*app.credentials, *found]), notes, errors


def of_shard(app: App, shard: Shard) -> App:
    """Return the parts of a process that sees to one shard only."""
    mine = [one for one in app.credentials if shard.holds(one)]
    return replace(app, credentials=mine, shard=shard, passes=replace(app.passes, parts=shard.of))


def build(settings: configured.Settings, mode: Mode, surroundings: Surroundings) -> App:
    """Put the parts together. Opens no connection and reads no secret.

    Raises:
        ConfigError: The settings cannot be used.
        PluginError: A named adapter cannot be loaded.
    """
    clock, ids, randomness = surroundings.clock, surroundings.ids, surroundings.randomness
    kept = settings.without_credentials()  # the parts hold on to it, and to nothing that grows with the fleet
    adapters = _Adapters(kept, surroundings)
    stores = LazyStores(adapters.store, settings.stores)

    def read_secret(store: str, secret: str) -> Versioned:
        return stores[store].read(secret)

    resolved = resolve(settings, read_secret=read_secret, env=surroundings.env, mode=mode)
    used = {credential.store for credential in resolved.credentials} | {rule.store for rule in resolved.rules}
    for name in sorted(used):
        stores[name]  # a store that is used and cannot be made stops the start; one that is not is never loaded
    retrier = Retrier(clock, randomness)
    actor = this_actor(mode)
    state = adapters.state()
    escrow = adapters.escrow(state)
    seal = AesSeal(adapters.seal_key(state))
    trail = AuditTrail([_sink(entry) for entry in settings.audit], clock, ids, actor)
    endpoint = LateEndpoint(clock, ids)
    cooldowns = Cooldowns(state, retrier)
    observer = Observer(stores, state, escrow, seal, cooldowns, clock, retrier, actor)
    teller = Teller(trail, clock)
    write_back = WriteBack(clock, randomness, retrier)
    pause_s = surroundings.pause_s
    settling = Settling(stores, escrow, seal, trail, teller, write_back, cooldowns, retrier, clock, pause_s)
    setbacks = Setbacks(stores, escrow, seal, teller, cooldowns, retrier, clock, pause_s)
    rotation = Rotation(observer, settling, setbacks, cooldowns, escrow, seal, trail, endpoint, clock, ids)
    budget = Budget(state, retrier, clock, cooldowns)
    for credential in resolved.credentials:
        if credential.client_id:  # else it stands in the document, and is learnt with that
            budget.learn(
                provider_key(credential.provider.token_endpoint, credential.client_id), credential.provider.rate_limit
            )
    quotas = _quotas(settings)
    passes = Passes(observer, rotation, budget, clock, settings.workers, quotas)
    return App(
        kept,
        surroundings,
        actor,
        resolved.credentials,
        stores,
        state,
        escrow,
        seal,
        trail,
        endpoint,
        retrier,
        observer,
        rotation,
        budget,
        passes,
        quotas,
        resolved.rules,
    )


class LazyStores(Mapping[str, "SecretStore"]):
    """The configured stores, each made on first use. Thread-safe."""

    def __init__(self, make: Callable[[str], SecretStore], names: Mapping[str, Any]) -> None:
        self._make = make
        self._names = names
        self._made: dict[str, SecretStore] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> SecretStore:
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(slots=True)
class _Adapters:
    """Makes the adapters that the settings name.

    Plug-ins are found by entry point (`rotator.stores`, `rotator.state`) and called with `(name, options, clock)` and
    `(options, clock)`.
    """

    settings: configured.Settings
    surroundings: Surroundings
    _sessions: dict[str, VaultSession] | None = None

    def store(self, name: str) -> SecretStore:
        entry = self.settings.stores[name]
        clock = self.surroundings.clock
        if isinstance(entry, configured.LocalStore):
            from rotator.stores.local import LocalSecretStore  # noqa: PLC0415 - on use

            path = Path(entry.path)
            return LocalSecretStore(name, path, AesSeal(lambda: key_from_file(f"{path}.key")), clock)
        if isinstance(entry, configured.VaultStore):
            session = self._session(name, entry)
            from rotator.stores.vault import VaultSecretStore  # noqa: PLC0415 - on use

            return VaultSecretStore(name, session, entry.mount)
        if isinstance(entry, configured.AwsSecretsManagerStore):
            client = self._aws("secretsmanager", entry.region, entry.endpoint_url)
            from rotator.stores.aws import AwsSecretStore  # noqa: PLC0415 - on use

            if entry.writes == "fenced":
                from rotator.stores.aws_fenced import FencedWrites  # noqa: PLC0415 - on use

                return AwsSecretStore(name, client, clock, writes=FencedWrites)
            return AwsSecretStore(name, client, clock)
        plug_in: SecretStore = plugins.find("stores", entry.type, {})(name, entry.options, clock)
        return plug_in

    def state(self) -> StateStore:
        entry = self.settings.state
        if isinstance(entry, configured.LocalState):
            from rotator.state.local import LocalStateStore  # noqa: PLC0415 - on use

            return LocalStateStore(Path(entry.path))
        if isinstance(entry, configured.DynamoDbState):
            from rotator.state.dynamodb import DynamoDbStateStore  # noqa: PLC0415 - on use

            return DynamoDbStateStore(self._aws("dynamodb", entry.region, entry.endpoint_url), entry.table)
        if isinstance(entry, configured.VaultState):
            store = cast("configured.VaultStore", self.settings.stores[entry.store])  # checked with the configuration
            session = self._session(entry.store, store)
            from rotator.state.vault import VaultStateStore  # noqa: PLC0415 - on use

            return VaultStateStore(session, store.mount, entry.path)
        plug_in: StateStore = plugins.find("state", entry.type, {})(entry.options, self.surroundings.clock)
        return plug_in

    def escrow(self, state: StateStore) -> Escrow:
        entry = self.settings.escrow_in_effect
        if isinstance(entry, configured.FileEscrow):
            from rotator.escrow.file import FileEscrow  # noqa: PLC0415 - on use

            return FileEscrow(Path(entry.path), self.surroundings.ids)
        from rotator.escrow.record import RecordEscrow  # noqa: PLC0415 - on use

        return RecordEscrow(state)

    def seal_key(self, state: StateStore) -> Callable[[], bytes]:
        seal = cast("configured.SealSettings", self.settings.seal_in_effect)  # checked with the configuration
        if seal.key_env:
            variable = seal.key_env
            return lambda: key_from_env(variable, self.surroundings.env)
        if seal.key_file:
            path = seal.key_file
            return lambda: key_from_file(path)
        key_id = str(seal.kms_key_id)
        region = self.settings.state.region if isinstance(self.settings.state, configured.DynamoDbState) else None
        return lambda: key_from_kms(self._aws("kms", region, None), key_id, state)

    def _aws(self, service: Any, region: str | None, endpoint_url: str | None) -> Any:
        try:
            from rotator import aws_session  # noqa: PLC0415 - on use
        except ImportError:
            raise _not_installed("aws", "boto3") from None
        return aws_session.client(service, region=region, endpoint_url=endpoint_url, workers=self.settings.workers)

    def _session(self, name: str, entry: configured.VaultStore) -> VaultSession:
        """Return the login to a Vault; the store and a state in it share one."""
        try:
            from rotator.vault_session import VaultSession  # noqa: PLC0415 - on use
        except ImportError:
            raise _not_installed("vault", "hvac") from None
        self._sessions = self._sessions or {}
        if name not in self._sessions:
            self._sessions[name] = VaultSession(
                entry.address,
                _vault_auth(name, entry, self.surroundings.env),
                namespace=entry.namespace,
                ca_cert=entry.ca_cert,
                clock=self.surroundings.clock,
                randomness=self.surroundings.randomness,
                pool=max(self.settings.workers, 1),
            )
        return self._sessions[name]


def _quotas(settings: configured.Settings) -> dict[str, tuple[str, Pace]]:
    """Return, by store, the budget for its writes: its key and pace.

    The quota is the account's in one region: stores that lead there share it, whatever their names.
    """
    quotas = {}
    for name, entry in settings.stores.items():
        quota = quota_of(entry)
        if quota is not None and isinstance(entry, configured.AwsSecretsManagerStore):
            place = entry.endpoint_url or entry.region or "the default region"
            quotas[name] = f"writes/aws-secrets-manager/{place}", Pace(quota.interval_s, QUOTA_SLACK_S)
    return quotas


def _vault_auth(name: str, entry: configured.VaultStore, env: Mapping[str, str]) -> Any:
    from rotator import vault_auth  # noqa: PLC0415 - on use
    from rotator.config.sources import reader  # noqa: PLC0415 - likewise

    def source(key: str, chosen: configured.SecretSource) -> Callable[[], Secret]:
        return reader(chosen, where=f"stores.{name}.auth.{key}", env=env, read_secret=_no_store)

    match entry.auth:
        case configured.TokenAuth(token=token):
            return vault_auth.TokenAuth(source("token", token))
        case configured.AppRoleAuth(role_id=role_id, secret_id=secret_id, mount=mount):
            return vault_auth.AppRoleAuth(role_id, source("secret_id", secret_id), mount)
        case configured.KubernetesAuth(role=role, mount=mount, token_file=path):
            return vault_auth.KubernetesAuth(role, vault_auth.from_file(Path(path)), mount)
        case configured.JwtAuth(role=role, jwt=jwt, mount=mount):
            return vault_auth.JwtAuth(role, source("jwt", jwt), mount)
        case configured.AwsAuth(role=role, mount=mount, region=region, header=header):
            return vault_auth.AwsAuth(role, header, region or "us-east-1", mount)


def _no_store(store: str, secret: str) -> Versioned:
    what = f"the login to Vault cannot be read from {secret} in store {store}"
    raise ConfigError([Problem("stores", what, "use {env: NAME} or {file: PATH}")])


def _sink(entry: configured.AuditSettings) -> AuditSink:
    from rotator.audit.sinks import JsonlFileSink, StreamSink  # noqa: PLC0415 - structlog, on use

    return StreamSink(sys.stderr) if entry.path == "-" else JsonlFileSink(Path(entry.path))


def _not_installed(extra: str, package: str) -> ConfigError:
    where = f"extra {extra!r}"
    return ConfigError([Problem(where, f"{package} is not installed", f"pip install 'rotator[{extra}]'")])
