"""Reading all that a decision needs."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.documents import stored_digest
from rotator.errors import EscrowCorrupt, RotatorError, SecretNotFound, StoreError, StoreUnavailable
from rotator.ledger import SecretLedger, provider_key, secret_key
from rotator.model import Document
from rotator.policy import Situation
from rotator.received import opened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rotator.cooldowns import Cooldowns
    from rotator.model import Actor, Credential, Provider, Versioned
    from rotator.policy import Waiting
    from rotator.ports import Clock, Escrow, Seal, SecretStore, StateStore, Stored
    from rotator.records import ProviderRecord, SealedEntry, StateRecord
    from rotator.retrying import Retrier


@dataclass(frozen=True, slots=True)
class Observed:
    """What was read of one credential, and the ledger to write its record with.

    Args:
        at: When the reading began; what is older than a few seconds is read again before it is acted on.
        in_bulk: Read together with others, for planning; read again before it is acted on, however young.
    """

    situation: Situation
    ledger: SecretLedger
    provider_key: str
    at: datetime
    in_bulk: bool = False


@dataclass(slots=True)
class ProviderReads:
    """Providers' records, each read from the state once while it is young. Thread-safe: at worst one is read twice.

    Args:
        young_s: How long a reading counts.
    """

    cooldowns: Cooldowns
    clock: Clock
    young_s: float
    _read: dict[str, tuple[ProviderRecord, datetime]] = field(default_factory=dict)

    def of(self, key: str) -> ProviderRecord:
        """Return the record.

        Raises:
            StoreError: The state cannot be read.
        """
        known = self._read.get(key)
        now = self.clock.now()
        if known is None or not timedelta(0) <= now - known[1] <= timedelta(seconds=self.young_s):
            known = self._read[key] = self.cooldowns.record(key), now
        return known[0]


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
        try:
            stored = self.retrier.call(lambda: store.read(credential.secret))
        except SecretNotFound as error:
            raise _not_found(credential, error) from None
        ledger = SecretLedger(self.state, stored.identity, self.retrier)
        ledger.load()
        provider = self.cooldowns.record(provider_key_of(credential, stored))
        observed = self._observed(credential, stored, ledger, provider, at)
        situation = replace(
            observed.situation, horizon_s=horizon_s, force=force, start_at=start_at, shared_with=shared_with
        )
        return replace(observed, situation=situation)

    def observe_many(
        self,
        credentials: Sequence[Credential],
        providers: ProviderReads,
        *,
        horizon_s: float = 0.0,
        force: bool = False,
    ) -> list[Observed | RotatorError]:
        """Read everything about credentials of one store, in as few calls as store and state take; errors are values.

        For planning: what is to be acted on is observed by itself (`rotator.bulk`), and marked so here.

        Args:
            providers: The providers' records, each read once while it is young.
        """
        at = self.clock.now()
        store = self.stores[credentials[0].store]
        answers = store.read_many([credential.secret for credential in credentials])
        found = {secret: stored for secret, stored in answers.items() if not isinstance(stored, StoreError)}
        if not found and len(credentials) > 1:
            # The store does not answer at all: one more question, with the usual retries, tells for all of them.
            error = self._attempted(credentials[0], horizon_s=horizon_s, force=force)
            if isinstance(error, StoreUnavailable):
                return [error] * len(credentials)
        try:
            records = self._records([stored.identity for stored in found.values()])
        except RotatorError as error:
            return [error] * len(credentials)
        results: list[Observed | RotatorError] = []
        for credential in credentials:
            stored = found.get(credential.secret)
            if stored is None:
                unread = answers[credential.secret]
                again = isinstance(unread, StoreUnavailable)  # this one only, or only in bulk
                results.append(
                    self._attempted(credential, horizon_s=horizon_s, force=force)
                    if again or not isinstance(unread, StoreError)
                    else _not_found(credential, unread)
                )
                continue
            try:
                ledger = SecretLedger(self.state, stored.identity, self.retrier)
                record = records[secret_key(stored.identity)]
                if isinstance(record, StoreError):
                    raise record
                ledger.take(record)
                provider = providers.of(provider_key_of(credential, stored))
                observed = self._observed(credential, stored, ledger, provider, at)
                situation = replace(observed.situation, horizon_s=horizon_s, force=force)
                results.append(replace(observed, situation=situation, in_bulk=True))
            except RotatorError as error:
                results.append(error)
        return results

    def _attempted(self, credential: Credential, *, horizon_s: float, force: bool) -> Observed | RotatorError:
        try:
            return self.observe(credential, horizon_s=horizon_s, force=force)
        except RotatorError as error:
            return error

    def _records(self, identities: Sequence[str]) -> Mapping[str, Stored | StoreError]:
        keys = [secret_key(identity) for identity in identities]
        return self.retrier.call(lambda: self.state.read_many(keys)) if keys else {}

    def _observed(
        self, credential: Credential, stored: Versioned, ledger: SecretLedger, provider: ProviderRecord, at: datetime
    ) -> Observed:
        situation = Situation(
            credential=credential,
            stored=stored,
            record=ledger.record,
            provider=provider,
            waiting=self._waiting(credential, ledger.record, stored),
            now=self.clock.now(),
            holder=self.actor.holder,
            place=self.escrow.place,
            escrow_shared=self.escrow.shared,
        )
        return Observed(situation, ledger, provider_key_of(credential, stored), at)

    def _waiting(self, credential: Credential, record: StateRecord, stored: Versioned) -> tuple[Waiting, ...]:
        """Open what waits; an entry that does not open matters only when it may succeed the token in the document."""
        found = []
        for entry in self.retrier.call(lambda: self.escrow.waiting(record)):
            try:
                found.append(opened(entry, self.seal))
            except EscrowCorrupt:
                if self._may_succeed(entry, record, stored, credential.provider):
                    raise
        return tuple(found)

    @staticmethod
    def _may_succeed(entry: SealedEntry, record: StateRecord, stored: Versioned, provider: Provider) -> bool:
        """Return whether the token in the document must not be sent before somebody has seen to this entry.

        What a damaged entry says of its parent is not to be believed: while the token is in doubt, any may be its
        successor.
        """
        digest = "" if provider.stands else stored_digest(stored, provider)
        if not digest:
            return False  # nothing can be spent
        claim = record.claim_on(digest)
        return entry.parent == digest or (claim is not None and claim.outcome == "open")


def _not_found(credential: Credential, error: StoreError) -> StoreError:
    """Return the error with the command that mends it: a login, where one is known."""
    if not isinstance(error, SecretNotFound):
        return error
    return SecretNotFound(error.message, hint=error.hint.replace("rotator put NAME", credential.login))


def provider_key_of(credential: Credential, stored: Versioned) -> str:
    """Return the key of the record that the credential's provider and client share."""
    return key_of_client(credential, client_id_of(credential, stored))


def key_of_client(credential: Credential, client_id: str | None) -> str:
    """Return the key of the record that the credential's provider and this client share."""
    return _provider_key(credential.provider.token_endpoint, client_id)


_provider_key = functools.lru_cache(maxsize=4096)(provider_key)
"""Fleets have few clients, and one text for each of them: 100,000 texts of a hundred bytes are ten megabytes."""


def client_id_of(credential: Credential, stored: Versioned) -> str | None:
    """Return the client id: the configuration's, else the document's."""
    if credential.client_id:
        return credential.client_id
    value = stored.content.fields.get("client_id") if isinstance(stored.content, Document) else None
    return value if isinstance(value, str) and value else None
