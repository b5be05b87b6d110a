"""The composition root: from settings to the parts that work together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rotator import plugins
from rotator.adapters import Adapters, LazyStores, audit_sink
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
from rotator.progress import unwatched
from rotator.received import WriteBack
from rotator.retrying import Retrier
from rotator.rotation import Rotation
from rotator.seal import AesSeal
from rotator.setbacks import PAUSE_S, Setbacks
from rotator.settling import Settling
from rotator.shards import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotator.config.sources import ReadSecret
    from rotator.discovery import Rule
    from rotator.errors import RotatorError
    from rotator.metrics import Meters
    from rotator.model import Actor, Credential, Mode, Versioned
    from rotator.ports import AuditSink, Clock, Escrow, Ids, Randomness, SecretStore, StateStore, TokenEndpoint
    from rotator.progress import Progress
    from rotator.redact import Secret
    from rotator.told import Told
    from rotator.traces import Traces


QUOTA_SLACK_S = 1.0
"""How long a slot of a store's write quota can be used: as much as a second's writes may come at once."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a process gets from outside: replaced in tests and in the demo, never elsewhere.

    Args:
        env: Environment variables.
        pause_s: The shortest pause of a grant after a failure; only a demo with tokens of seconds makes it shorter.
        meters: What counts, where the process shows it; it outlives a reload.
        traces: What traces rotations, where that is configured; it outlives a reload, too.
    """

    env: Mapping[str, str]
    clock: Clock
    ids: Ids
    randomness: Randomness
    pause_s: float = PAUSE_S
    meters: Meters | None = None
    traces: Traces | None = None

    @classmethod
    def real(cls, env: Mapping[str, str]) -> Surroundings:
        """Return the real clock, ids and randomness."""
        return cls(env, SystemClock(), SystemIds(), SystemRandom())


@dataclass(frozen=True, slots=True)
class Shown:
    """What a daemon shows over HTTP, and to whom.

    Args:
        listen: HOST:PORT.
        local: Whether that is a loopback address.
        token: Reads the token of whoever asks for more than health; None where none is configured.
    """

    listen: str
    local: bool
    token: Callable[[], Secret] | None
    meters: Meters


@dataclass(frozen=True, slots=True)
class App:
    """The parts of one process.

    Args:
        credentials: Those that are configured, and found where the process ends soon; of its shard alone.
        rules: By which further ones are found.
        told: Who is told of cases and rotations; None where no notifier is configured.
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
    shown: Shown | None = None
    shard: Shard = WHOLE
    told: Told | None = None

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


def with_discovered(app: App, progress: Progress = unwatched) -> tuple[App, list[str], list[RotatorError]]:
    """Return the parts with the credentials that the rules find now, for a run that ends soon.

    Returns:
        The parts; what a person should know; and why rules could not be followed, whose credentials are missing.
    """
    if not app.rules:
        return app, [], []
    found, notes, errors = gathered(app.rules, app.stores, app.credentials, progress)
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
    adapters = Adapters(kept, surroundings)
    meters, traces = surroundings.meters, surroundings.traces

    def make(name: str) -> SecretStore:
        store = adapters.store(name)
        store = traces.store(store) if traces else store
        return meters.store(store) if meters else store

    stores = LazyStores(make, settings.stores)

    def read_secret(store: str, secret: str) -> Versioned:
        return stores[store].read(secret)

    resolved = resolve(settings, read_secret=read_secret, env=surroundings.env, mode=mode)
    used = {credential.store for credential in resolved.credentials} | {rule.store for rule in resolved.rules}
    for name in sorted(used):
        stores[name]  # a store that is used and cannot be made stops the start; one that is not is never loaded
    retrier = Retrier(clock, randomness)
    actor = this_actor(mode)
    state = adapters.state()
    state = traces.state(state) if traces else state
    escrow = adapters.escrow(state)
    seal = AesSeal(adapters.seal_key(state))
    sinks: list[AuditSink] = [audit_sink(entry) for entry in settings.audit]
    endpoint: TokenEndpoint = LateEndpoint(clock, ids)
    if traces is not None:
        sinks = [traces.sink(sink) for sink in sinks]
        escrow, endpoint = traces.escrow(escrow), traces.endpoint(endpoint)
    if meters is not None:
        sinks += [meters.sink()] if sinks else []  # a trail without a sink refuses; one that only counts is none
        escrow, endpoint = meters.escrow(escrow), meters.endpoint(endpoint)
    told = _told(settings, adapters, surroundings, read_secret)
    if told is not None:
        escrow = told.entries.around(escrow)
    trail = AuditTrail(sinks, clock, ids, actor)
    cooldowns = Cooldowns(state, retrier)
    observer = Observer(stores, state, escrow, seal, cooldowns, clock, retrier, actor)
    teller = Teller(trail, clock)
    write_back = WriteBack(clock, randomness, retrier)
    pause_s = surroundings.pause_s
    settling = Settling(stores, escrow, seal, trail, teller, write_back, cooldowns, retrier, clock, pause_s)
    setbacks = Setbacks(stores, escrow, seal, teller, cooldowns, retrier, clock, pause_s)
    rotation = Rotation(observer, settling, setbacks, cooldowns, escrow, seal, trail, endpoint, clock, ids)
    rotation = traces.rotation_of(rotation) if traces else rotation
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
        _shown(settings, meters, surroundings.env, read_secret),
        told=told,
    )


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


def _shown(
    settings: configured.Settings, meters: Meters | None, env: Mapping[str, str], read_secret: ReadSecret
) -> Shown | None:
    if settings.http is None or meters is None:
        return None
    from rotator.config.sources import reader  # noqa: PLC0415 - on use

    source = settings.http.token
    token = None if source is None else reader(source, where="http.token", env=env, read_secret=read_secret)
    return Shown(settings.http.listen, settings.http.local, token, meters)


def _told(
    settings: configured.Settings, adapters: Adapters, surroundings: Surroundings, read_secret: ReadSecret
) -> Told | None:
    if not settings.notifiers:
        return None
    from rotator.notifier_making import told  # noqa: PLC0415 - on use

    return told(settings, surroundings, read_secret, adapters.aws)
