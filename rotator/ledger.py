"""One state record in hand: pure changes, applied by compare-and-swap."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rotator import record_bodies, records
from rotator.addresses import normal
from rotator.errors import StoreCorrupt, StoreUnavailable, StoreWriteInDoubt, VersionConflict
from rotator.redact import as_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.ports import StateStore, Stored
    from rotator.records import ProviderRecord, StateRecord
    from rotator.retrying import Retrier

CONFLICTS = 20
"""A record is contended by the replicas that look at one secret, a handful; twenty lost races in a row mean that
something writes without end."""


def secret_key(identity: str) -> str:
    """Return the key under which a secret's record is kept."""
    return f"secret/{identity}"


def provider_key(endpoint: str, client_id: str | None) -> str:
    """Return the key of the record that a provider and client share.

    By endpoint, not by the provider's configured name: two names for one endpoint, or two spellings of it, share its
    limits. Of a query, which may hold an API key, the key has a digest: errors, databases and their logs show keys. A
    client id comes from a document, whose JSON may hold half a surrogate pair, which no state can keep; it is written
    out.
    """
    place, mark, query = normal(endpoint).partition("?")
    if query:
        query = hashlib.blake2b(as_bytes(query), digest_size=8).hexdigest()
    client = (client_id or "").encode("utf-8", "backslashreplace").decode()
    return f"provider/{place}{mark}{query}|{client}"


class SecretLedger:
    """A secret's record (`rotator.ports.RecordWriter`); keeps the revision last seen. For one thread."""

    def __init__(self, state: StateStore, identity: str, retrier: Retrier) -> None:
        self._state = state
        self._key = secret_key(identity)
        self._identity = identity
        self._retrier = retrier
        self._revision = 0
        self.record: StateRecord = records.StateRecord(identity)

    def load(self) -> StateRecord:
        """Read the record.

        Raises:
            StoreCorrupt: Also for a record that was deleted: the claims that it held are forgotten.
            StoreError: As `StateStore.read`, after retries.
        """
        return self.take(self._retrier.call(lambda: self._state.read(self._key)))

    def take(self, stored: Stored) -> StateRecord:
        """Take over what was just read of the record.

        Raises:
            StoreCorrupt: As `load`.
        """
        body, self._revision = stored
        if body is None and self._revision > 0:
            raise StoreCorrupt(
                f"the state record of {self._identity} was deleted, and its claims are forgotten",
                hint="undelete it; or log in again, put the new token set, and remove the record for good",
            )
        self.record = record_bodies.state_record(self._identity, body)
        return self.record

    def change(self, change: Callable[[StateRecord], StateRecord]) -> StateRecord:
        """Apply a pure change, on a re-read record after every conflict; nothing is written when nothing changes.

        A write whose answer was lost is compared: the change is applied to what is there now. Changes are therefore
        written so that applying one twice is the same as once.

        Raises:
            StoreError: As `StateStore.compare_and_swap`, but for VersionConflict.
        """
        for _ in range(CONFLICTS):
            wanted = change(self.record)
            if wanted == self.record:
                return self.record
            body = record_bodies.to_body(wanted)
            revision = self._revision
            try:
                self._revision = self._retrier.call(
                    lambda: self._state.compare_and_swap(self._key, body, expected=revision)  # noqa: B023 - called at once
                )
            except VersionConflict:
                self.load()
            except StoreWriteInDoubt:
                self.load()
                if self.record == wanted:
                    return wanted
            else:
                self.record = wanted
                return wanted
        raise StoreUnavailable(f"the state record of {self._identity} changes without end")


@dataclass(slots=True)
class CheckedWriter:
    """A record writer that asks before every write."""

    writer: SecretLedger
    check: Callable[[StateRecord], None]

    @property
    def record(self) -> StateRecord:
        """The record as last seen."""
        return self.writer.record

    def change(self, change: Callable[[StateRecord], StateRecord]) -> StateRecord:
        """See `RecordWriter.change`; raises what the check raises."""

        def checked(record: StateRecord) -> StateRecord:
            wanted = change(record)
            if wanted != record:  # else it is our own write, whose answer was lost
                self.check(record)
            return wanted

        return self.writer.change(checked)


def read_provider(state: StateStore, key: str, retrier: Retrier) -> tuple[ProviderRecord, int]:
    """Return a provider's record and its revision.

    Raises:
        StoreError: As `StateStore.read`, after retries.
    """
    body, revision = retrier.call(lambda: state.read(key))
    return record_bodies.provider_record(key, body), revision


def change_provider(
    state: StateStore,
    key: str,
    retrier: Retrier,
    change: Callable[[ProviderRecord], ProviderRecord],
) -> ProviderRecord:
    """Apply a pure change to a provider's record by compare-and-swap and return the record.

    Raises:
        StoreError: As `StateStore.compare_and_swap`, but for VersionConflict.
    """
    for _ in range(CONFLICTS):
        record, revision = read_provider(state, key, retrier)
        wanted = change(record)
        if wanted == record:
            return record
        body = record_bodies.to_body(wanted)
        try:
            retrier.call(lambda: state.compare_and_swap(key, body, expected=revision))  # noqa: B023 - called at once
        except (VersionConflict, StoreWriteInDoubt):
            continue
        return wanted
    raise StoreUnavailable(f"the state record {key} changes without end")
