"""Makes the adapters that the settings name.

They are imported here, on use: a Lambda with AWS never imports hvac, and a pass with a local store no SDK at all.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rotator import plugins
from rotator.clocks import this_actor
from rotator.config import model as configured
from rotator.errors import ConfigError, Problem
from rotator.seal import AesSeal, key_from_env, key_from_file, key_from_kms

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.metrics import Meters
    from rotator.model import Mode, Versioned
    from rotator.ports import AuditSink, Clock, Escrow, SecretStore, StateStore
    from rotator.redact import Secret
    from rotator.traces import Traces
    from rotator.vault_session import VaultSession
    from rotator.wiring import Surroundings


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
class Adapters:
    """The adapters of one process. Not thread-safe; `LazyStores` is.

    Plug-ins are found by entry point (`rotator.stores`, `rotator.state`) and called with `(name, options, clock)` and
    `(options, clock)`.
    """

    settings: configured.Settings
    surroundings: Surroundings
    _sessions: dict[str, VaultSession] | None = None

    def store(self, name: str) -> SecretStore:
        """Return the store of a name.

        Raises:
            ConfigError: Its library is not installed.
            PluginError: It cannot be loaded.
        """
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
            client = self.aws("secretsmanager", entry.region, entry.endpoint_url)
            from rotator.stores.aws import AwsSecretStore  # noqa: PLC0415 - on use

            if entry.writes == "fenced":
                from rotator.stores.aws_fenced import FencedWrites  # noqa: PLC0415 - on use

                return AwsSecretStore(name, client, clock, writes=FencedWrites)
            return AwsSecretStore(name, client, clock)
        plug_in: SecretStore = plugins.find("stores", entry.type, {})(name, entry.options, clock)
        return plug_in

    def state(self) -> StateStore:
        """Return the state; raises as `store` does."""
        entry = self.settings.state
        if isinstance(entry, configured.LocalState):
            from rotator.state.local import LocalStateStore  # noqa: PLC0415 - on use

            return LocalStateStore(Path(entry.path))
        if isinstance(entry, configured.DynamoDbState):
            from rotator.state.dynamodb import DynamoDbStateStore  # noqa: PLC0415 - on use

            return DynamoDbStateStore(self.aws("dynamodb", entry.region, entry.endpoint_url), entry.table)
        if isinstance(entry, configured.VaultState):
            store = cast("configured.VaultStore", self.settings.stores[entry.store])  # checked with the configuration
            session = self._session(entry.store, store)
            from rotator.state.vault import VaultStateStore  # noqa: PLC0415 - on use

            return VaultStateStore(session, store.mount, entry.path)
        plug_in: StateStore = plugins.find("state", entry.type, {})(entry.options, self.surroundings.clock)
        return plug_in

    def escrow(self, state: StateStore) -> Escrow:
        """Return the escrow, inside the state or beside it."""
        entry = self.settings.escrow_in_effect
        if isinstance(entry, configured.FileEscrow):
            from rotator.escrow.file import FileEscrow  # noqa: PLC0415 - on use

            return FileEscrow(Path(entry.path), self.surroundings.ids)
        from rotator.escrow.record import RecordEscrow  # noqa: PLC0415 - on use

        return RecordEscrow(state)

    def seal_key(self, state: StateStore) -> Callable[[], bytes]:
        """Return what reads the seal key, on its first use."""
        seal = cast("configured.SealSettings", self.settings.seal_in_effect)  # checked with the configuration
        if seal.key_env:
            variable = seal.key_env
            return lambda: key_from_env(variable, self.surroundings.env)
        if seal.key_file:
            path = seal.key_file
            return lambda: key_from_file(path)
        key_id = str(seal.kms_key_id)
        region = self.settings.state.region if isinstance(self.settings.state, configured.DynamoDbState) else None
        return lambda: key_from_kms(self.aws("kms", region, None), key_id, state)

    def aws(self, service: Any, region: str | None, endpoint_url: str | None, **more: Any) -> Any:
        """Return a client of an AWS service (`rotator.aws_session.client`).

        Raises:
            ConfigError: boto3 is not installed.
            StoreDenied: There is no region, or no such profile.
        """
        try:
            from rotator import aws_session  # noqa: PLC0415 - on use
        except ImportError:
            raise _not_installed("aws", "boto3") from None
        return aws_session.client(
            service, region=region, endpoint_url=endpoint_url, workers=self.settings.workers, **more
        )

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


def new_meters(clock: Clock) -> Meters:
    """Return what counts for Prometheus.

    Raises:
        ConfigError: Its library is not installed.
    """
    try:
        from rotator.metrics import Meters  # noqa: PLC0415 - on use
    except ModuleNotFoundError:
        raise _not_installed("metrics", "prometheus_client") from None
    return Meters(clock)


def new_traces(settings: configured.OtlpTraces, mode: Mode, clock: Clock) -> Traces:
    """Return what traces rotations.

    Raises:
        ConfigError: Its library is not installed.
    """
    try:
        from rotator.traces import Traces  # noqa: PLC0415 - on use
    except ModuleNotFoundError:
        raise _not_installed("otel", "opentelemetry") from None
    try:
        return Traces.otlp(settings.endpoint, this_actor(mode), clock)
    except (ValueError, TypeError, OverflowError):  # its text may quote a header
        problem = Problem("traces", "OpenTelemetry refuses what its variables say", "correct the OTEL_… variables")
        raise ConfigError([problem]) from None


def audit_sink(entry: configured.AuditSettings) -> AuditSink:
    """Return the sink that an entry of `audit` names."""
    from rotator.audit.sinks import JsonlFileSink, StreamSink  # noqa: PLC0415 - structlog, on use

    if entry.path == "-":
        return StreamSink(sys.stderr, entry.format)
    return JsonlFileSink(Path(entry.path), entry.format)


def lacking(settings: configured.Settings) -> list[Problem]:
    """Return the extras that a daemon or a pass with these settings would ask for, and that are not installed here."""
    needs = {
        "http": ("daemon", ("prometheus_client", "waitress")),
        "metrics": ("metrics", ("prometheus_client",)),
        "traces": ("otel", ("opentelemetry",)),
    }
    return [
        Problem(section, f"{package} is not installed here", f"pip install 'rotator[{extra}]'")
        for section, (extra, packages) in needs.items()
        if getattr(settings, section) is not None
        for package in packages
        if find_spec(package) is None
    ]


def _not_installed(extra: str, package: str) -> ConfigError:
    where = f"extra {extra!r}"
    return ConfigError([Problem(where, f"{package} is not installed", f"pip install 'rotator[{extra}]'")])
