"""The escrow inside the state record: whoever sees the record sees what waits for it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from rotator import record_bodies
from rotator.errors import EscrowCorrupt, EscrowUnavailable, StoreCorrupt, StoreError
from rotator.ledger import secret_key
from rotator.record_changes import stays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rotator.ports import RecordWriter, StateStore
    from rotator.records import SealedEntry, StateRecord


class RecordEscrow:
    """Keeps entries in `StateRecord.escrow`. The default wherever the state is shared.

    The write that settles a rotation drops its entry as well (`without`), so there is no moment in which a record
    says "settled" and still shows the entry, or the other way round. See `rotator.ports.Escrow`. Thread-safe.

    Args:
        state: Holds the records; the escrow is shared if the state is.
    """

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self.shared = state.shared
        self.place = "state"

    def waiting(self, record: StateRecord) -> tuple[SealedEntry, ...]:
        """Return the entries in the record. Raises nothing: whoever has the record has them."""
        return record.escrow

    def keep(self, entry: SealedEntry, writer: RecordWriter) -> None:
        """Write the entry into the record; one with the same parent is replaced.

        Raises:
            EscrowUnavailable: The state store did not take it, or perhaps did not.
        """

        def with_entry(record: StateRecord) -> StateRecord:
            others = tuple(one for one in record.escrow if one.parent != entry.parent)
            if any(stays(one, entry) for one in record.escrow):
                return record
            return replace(record, escrow=(*others, entry))

        with _mapped(f"{entry.credential}: the new tokens were not kept in the state record"):
            writer.change(with_entry)

    def without(self, record: StateRecord, parents: frozenset[str]) -> StateRecord:
        """Return the record without the entries of these parents."""
        return replace(record, escrow=tuple(one for one in record.escrow if one.parent not in parents))

    def clear(self, identity: str, parents: frozenset[str]) -> None:
        """Do nothing: the settling write has dropped the entries (`without`)."""

    def all_waiting(self) -> tuple[SealedEntry, ...]:
        """Return the entries of all records.

        Raises:
            EscrowUnavailable: The state store cannot be read.
            EscrowCorrupt: A record cannot be decoded; the message names it.
        """
        prefix = secret_key("")
        entries: list[SealedEntry] = []
        with _mapped("what waits in the state records cannot be listed"):
            for key in sorted(self._state.keys(prefix)):
                entries += self._entries_of(key.removeprefix(prefix))
        return tuple(entries)

    def _entries_of(self, identity: str) -> tuple[SealedEntry, ...]:
        try:
            body, _ = self._state.read(secret_key(identity))
            return record_bodies.state_record(identity, body).escrow
        except StoreCorrupt as error:
            raise EscrowCorrupt(f"what waits for {identity}: {error.message}", hint=error.hint) from error

    def prove_writable(self) -> None:
        """Prove that the state can be written.

        Raises:
            EscrowUnavailable: It cannot.
        """
        with _mapped("the state that holds the escrow cannot be written"):
            self._state.prove_writable()


@contextlib.contextmanager
def _mapped(what: str) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise EscrowUnavailable(f"{what}: {error.message}", hint=error.hint) from error
