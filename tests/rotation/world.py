"""A world in memory for tests of the procedure: ports without faults, and wrappers that bring them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rotator.attempt import Teller
from rotator.audit.trail import AuditTrail
from rotator.budget import Budget
from rotator.cooldowns import Cooldowns
from rotator.model import Actor, Credential, Provider
from rotator.observe import Observer
from rotator.received import WriteBack
from rotator.record_bodies import state_record
from rotator.records import StateRecord, digest_of
from rotator.redact import Secret
from rotator.retrying import Retrier
from rotator.rotation import Rotation
from rotator.seal import AesSeal
from rotator.setbacks import Setbacks
from rotator.settling import Settling
from rotator.testing.memory import (
    MemoryAudit,
    MemoryEscrow,
    MemorySecretStore,
    MemoryStateStore,
    SeededRandomness,
    SequentialIds,
    VirtualClock,
)
from rotator.testing.provider import MemoryProvider

if TYPE_CHECKING:
    from rotator.outcomes import Outcome
    from rotator.policy import Decision
    from rotator.ports import AuditSink, Escrow, SecretStore, StateStore, TokenEndpoint

ENDPOINT = "https://id.example/oauth2/token"


def provider(**changes: Any) -> Provider:
    return replace(Provider(name="acme", profile="generic", token_endpoint=ENDPOINT), **changes)


def credential(name: str = "payroll", **changes: Any) -> Credential:
    given = {"provider": provider(), "client_id": "client", **changes}
    return Credential(name=name, store="main", secret=name, **given)


@dataclass
class Replica:
    """One process of rotator in the world."""

    rotation: Rotation
    observer: Observer
    budget: Budget
    credential: Credential

    def run(self, **look: Any) -> Outcome:
        return self.rotation.run(self.observer.observe(self.credential, **look))

    def decide(self, **look: Any) -> Decision:
        from rotator.policy import decide

        return decide(self.observer.observe(self.credential, **look).situation)


@dataclass
class World:
    """One credential, one provider, one store, one state; as many replicas as a test starts."""

    credential: Credential = field(default_factory=credential)
    clock: VirtualClock = field(default_factory=VirtualClock)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    lifetime_s: float = 3600.0

    def __post_init__(self) -> None:
        self.provider = MemoryProvider(self.clock, lifetime_s=self.lifetime_s)
        self.store = MemorySecretStore("main", self.clock)
        self.state = MemoryStateStore()
        self.escrow = MemoryEscrow("state", shared=True)
        self.seal = AesSeal(lambda: bytes(32))
        self.replicas = 0
        self.seed()

    def seed(self, **fields: object) -> None:
        """A person logs in and puts the token set."""
        self.store.raw_put(self.credential.secret, json.dumps({**self.provider.login(), "note": "keep me", **fields}))

    def replica(
        self,
        *,
        store: SecretStore | None = None,
        state: StateStore | None = None,
        escrow: Escrow | None = None,
        audit: AuditSink | None = None,
        endpoint: TokenEndpoint | None = None,
    ) -> Replica:
        """Start a process, with some of its ports wrapped."""
        self.replicas += 1
        state = state or self.state
        escrow = escrow or self.escrow
        stores = {"main": store or self.store}
        actor = Actor("host", self.replicas, "daemon", f"instance-{self.replicas}")
        randomness = SeededRandomness(self.replicas)
        retrier = Retrier(self.clock, randomness)
        trail = AuditTrail([audit or self.audit], self.clock, SequentialIds(1000 + self.replicas), actor)
        cooldowns = Cooldowns(state, retrier)
        observer = Observer(stores, state, escrow, self.seal, cooldowns, self.clock, retrier, actor)
        teller = Teller(trail, self.clock)
        write_back = WriteBack(self.clock, randomness, retrier)
        settling = Settling(stores, escrow, self.seal, trail, teller, write_back, cooldowns, retrier, self.clock)
        setbacks = Setbacks(stores, escrow, self.seal, teller, cooldowns, retrier, self.clock)
        rotation = Rotation(
            observer,
            settling,
            setbacks,
            cooldowns,
            escrow,
            self.seal,
            trail,
            endpoint or self.provider,
            self.clock,
            SequentialIds(self.replicas),
        )
        return Replica(rotation, observer, Budget(state, retrier, self.clock, cooldowns), self.credential)

    # ------------------------------------------------------------------------------------- what is there now

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.store.raw_get(self.credential.secret)))

    @property
    def identity(self) -> str:
        return self.store.read(self.credential.secret).identity

    @property
    def record(self) -> StateRecord:
        body, _ = self.state.read(f"secret/{self.identity}")
        return state_record(self.identity, body)

    @property
    def digest(self) -> str:
        return digest_of(Secret(self.document["refresh_token"]))

    @property
    def events(self) -> list[str]:
        return [event.event for event in self.audit.events]

    def until_due(self) -> None:
        """Let time pass until the access token has a minute left."""
        left_s = self.document["expires_at"] - self.clock.now().timestamp()
        self.clock.advance(left_s - 60)

    def later(self, **delta: float) -> None:
        self.clock.advance(timedelta(**delta).total_seconds())
