"""Reading all that a decision needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rotator.errors import EscrowCorrupt
from rotator.ledger import SecretLedger, provider_key
from rotator.model import Document, Malformed
from rotator.policy import Situation
from rotator.received import opened
from rotator.records import digest_of
from rotator.redact import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rotator.cooldowns import Cooldowns
    from rotator.model import Actor, Credential, Versioned
    from rotator.policy import Waiting
    from rotator.ports import Clock, Escrow, Seal, SecretStore, StateStore
    from rotator.records import SealedEntry, StateRecord
    from rotator.retrying import Retrier


@dataclass(frozen=True, slots=True)
class Observed:
    """What was read of one credential, and the ledger to write its record with.

    Args:
        at: When the reading began; what is older than a few seconds is read again before it is acted on.
    """

    situation: Situation
    ledger: SecretLedger
    provider_key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Observer:
    """Reads document, record, provider record and escrow. Thread-safe."""

    stores: Mapping[str, SecretStore]
    state: StateStore
    escrow: Escrow
    seal: Seal
    cooldowns: Cooldowns
    clock: Clock
    retrier: Retrier
    actor: Actor

    def observe(
        self,
        credential: Credential,
        *,
        horizon_s: float = 0.0,
        force: bool = False,
        start_at: datetime | None = None,
        shared_with: str | None = None,
    ) -> Observed:
        """Read everything about a credential: one read of the store, two of the state.

        Raises:
            StoreError: The secret or the state cannot be read.
            EscrowUnavailable: The escrow cannot be read.
            EscrowCorrupt: The entry that this credential needs cannot be opened.
            ConfigError: The seal key is needed and cannot be loaded.
        """
        at = self.clock.now()
        store = self.stores[credential.store]
        stored = self.retrier.call(lambda: store.read(credential.secret))
        ledger = SecretLedger(self.state, stored.identity, self.retrier)
        record = ledger.load()
        key = provider_key(credential.provider.token_endpoint, client_id_of(credential, stored))
        provider = self.cooldowns.record(key)
        waiting = self._waiting(record, stored)
        situation = Situation(
            credential=credential,
            stored=stored,
            record=record,
            provider=provider,
            waiting=waiting,
            now=self.clock.now(),
            holder=self.actor.holder,
            place=self.escrow.place,
            escrow_shared=self.escrow.shared,
            horizon_s=horizon_s,
            force=force,
            start_at=start_at,
            shared_with=shared_with,
        )
        return Observed(situation, ledger, key, at)

    def _waiting(self, record: StateRecord, stored: Versioned) -> tuple[Waiting, ...]:
        """Open what waits; an entry that does not open matters only when it may succeed the token in the document."""
        found = []
        for entry in self.retrier.call(lambda: self.escrow.waiting(record)):
            try:
                found.append(opened(entry, self.seal))
            except EscrowCorrupt:
                if self._may_succeed(entry, record, stored):
                    raise
        return tuple(found)

    @staticmethod
    def _may_succeed(entry: SealedEntry, record: StateRecord, stored: Versioned) -> bool:
        """Return whether the token in the document must not be sent before somebody has seen to this entry.

        What a damaged entry says of its parent is not to be believed: while the token is in doubt, any may be its
        successor.
        """
        if isinstance(stored.content, Malformed):
            return False
        token = stored.content.fields.get("refresh_token")
        if not isinstance(token, str):
            return False
        digest = digest_of(Secret(token))
        claim = record.claim_on(digest)
        return entry.parent == digest or (claim is not None and claim.outcome == "open")


def client_id_of(credential: Credential, stored: Versioned) -> str | None:
    """Return the client id: the configuration's, else the document's."""
    if credential.client_id:
        return credential.client_id
    value = stored.content.fields.get("client_id") if isinstance(stored.content, Document) else None
    return value if isinstance(value, str) and value else None
