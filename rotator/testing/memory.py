"""Every port in memory: the contract suites' first customers, and the floor of the simulation.

Nothing here fails by itself. A test that needs a fault wraps a port; a fault built into the fake would be one more
thing that can drift from the contract.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from rotator.bulk import carries, read_each
from rotator.documents import document_text, parse_document
from rotator.errors import SecretNotFound, StoreCorrupt, VersionConflict
from rotator.model import Found, Listed, Versioned
from rotator.record_bodies import state_record, to_body
from rotator.record_changes import stays
from rotator.state.bodies import one_by_one, revision_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rotator.audit.events import AuditEvent
    from rotator.errors import StoreError
    from rotator.model import Document, Malformed
    from rotator.ports import Clock, RecordWriter, StateStore, Stored
    from rotator.records import SealedEntry, StateRecord

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Where virtual time begins unless a test says otherwise."""


class VirtualClock:
    """Time that passes only when somebody sleeps or a test advances it. Thread-safe.

    Args:
        start: The wall clock's first reading, an aware instant. The monotonic clock begins at 0.
    """

    def __init__(self, start: datetime = EPOCH) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the virtual wall clock, in UTC."""
        return (self._start + timedelta(seconds=self.monotonic_s())).astimezone(UTC)

    def monotonic_s(self) -> float:
        """Return the virtual seconds that passed since the start."""
        with self._lock:
            return self._elapsed_s

    def sleep(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass and return at once; zero or less changes nothing."""
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass.

        Raises:
            ValueError: `seconds` is negative; a monotonic clock cannot go back.
        """
        if seconds < 0:
            raise ValueError("virtual time does not go back")
        with self._lock:
            self._elapsed_s += seconds


class SequentialIds:
    """Identifiers in UUID form that count up: the same in every run. Thread-safe.

    Args:
        series: Told apart by the last group of digits; give each replica its own.
    """

    def __init__(self, series: int = 0) -> None:
        self._series = series
        self._count = 0
        self._lock = threading.Lock()

    def new_id(self) -> str:
        """Return the next identifier."""
        with self._lock:
            self._count += 1
            return f"{self._count:08x}-0000-4000-8000-{self._series:012x}"


class SeededRandomness:
    """Numbers that follow from the seed alone, on every version of Python. Thread-safe."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._count = 0
        self._lock = threading.Lock()

    def uniform(self, low: float, high: float) -> float:
        """Return the next number between `low` and `high`."""
        with self._lock:
            self._count += 1
            drawn = hashlib.sha256(f"{self._seed}:{self._count}".encode()).digest()
        return low + (high - low) * int.from_bytes(drawn[:6]) / 2**48


@dataclass(frozen=True, slots=True)
class _Version:
    number: int
    content: str | bytes
    parsed: Document | Malformed
    created_at: datetime
    write_id: str = ""
    replaced: str | None = None


class MemorySecretStore:
    """A secret store in memory: versions count up from 1 per secret, `created_at` comes from the clock."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._current: dict[str, _Version] = {}
        self._numbers: dict[str, int] = {}
        self._labels: dict[str, Mapping[str, str]] = {}

    def read(self, secret: str) -> Versioned:
        """See `SecretStore.read`; never stale."""
        with self._lock:
            return self._versioned(secret, self._found(secret))

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """See `SecretStore.compare_and_swap`."""
        text = document_text(document)
        with self._lock:
            current = self._current.get(secret)
            if current is None and expected is not None:
                raise self._not_found(secret)
            if current is None or str(current.number) == expected:
                return self._versioned(secret, self._add(secret, text, write_id, expected, document))
            if (current.write_id, current.content, current.replaced) == (write_id, text, expected):
                return self._versioned(secret, current)
            raise VersionConflict(self._identity(secret), expected=expected)

    @property
    def batch(self) -> int:
        """See `SecretStore.batch`; any number would do."""
        return 100

    def read_many(self, secrets: Sequence[str]) -> Mapping[str, Versioned | StoreError]:
        """See `SecretStore.read_many`; by `read`, so that a subclass whose reads go wrong has to change that alone."""
        return read_each(self.read, secrets)

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """See `SecretStore.versions`; never lags."""
        with self._lock:
            return {
                secret: Listed(self._identity(secret), str(self._current[secret].number))
                for secret in secrets
                if secret in self._current
            }

    def find(self, prefix: str, labels: Mapping[str, str]) -> Mapping[str, Found]:
        """See `SecretStore.find`; never lags."""
        with self._lock:
            return {
                secret: Found(secret, self._identity(secret), str(held.number), self._labels.get(secret, {}))
                for secret, held in self._current.items()
                if secret.startswith(prefix) and carries(self._labels.get(secret, {}), labels)
            }

    def prove_writable(self, secret: str) -> None:
        """See `SecretStore.prove_writable`."""
        with self._lock:
            self._found(secret)

    def raw_put(self, secret: str, content: str | bytes) -> None:
        """Set the content as another program would, whatever it is and whatever is there."""
        with self._lock:
            self._add(secret, content)

    def raw_label(self, secret: str, labels: Mapping[str, str]) -> None:
        """Set the secret's labels as its owner would; those of before go."""
        with self._lock:
            self._labels[secret] = dict(labels)

    def raw_get(self, secret: str) -> str | bytes:
        """Return what is held, as it is.

        Raises:
            SecretNotFound: There is no such secret.
        """
        with self._lock:
            return self._found(secret).content

    def raw_delete(self, secret: str) -> None:
        """Delete the secret as another program would; a later one of that name continues its numbers."""
        with self._lock:
            self._current.pop(secret, None)
            self._labels.pop(secret, None)

    def _identity(self, secret: str) -> str:
        return f"memory:{self.name}#{secret}"

    def _not_found(self, secret: str) -> SecretNotFound:
        return SecretNotFound(f"{self._identity(secret)}: no such secret", hint=f"rotator put {secret}")

    def _found(self, secret: str) -> _Version:
        if secret not in self._current:
            raise self._not_found(secret)
        return self._current[secret]

    def _add(
        self,
        secret: str,
        content: str | bytes,
        write_id: str = "",
        replaced: str | None = None,
        parsed: Document | None = None,
    ) -> _Version:
        number = self._numbers.get(secret, 0) + 1
        self._numbers[secret] = number
        read = parsed or parse_document(content)
        self._current[secret] = _Version(number, content, read, self._clock.now(), write_id, replaced)
        return self._current[secret]

    def _versioned(self, secret: str, held: _Version) -> Versioned:
        return Versioned(
            identity=self._identity(secret),
            version=str(held.number),
            created_at=held.created_at,
            content=held.parsed,
        )


class MemoryStateStore:
    """A state store in memory. Bodies are held as JSON text, so that a caller's later changes do not reach them."""

    batch = 100

    def __init__(self, *, shared: bool = True) -> None:
        self.shared = shared
        self._lock = threading.Lock()
        self._records: dict[str, tuple[str, int]] = {}

    def read(self, key: str) -> Stored:
        """See `StateStore.read`."""
        with self._lock:
            if key not in self._records:
                return None, 0
            text, revision = self._records[key]
        try:
            body: dict[str, Any] = json.loads(text)
        except ValueError:
            raise StoreCorrupt(f"memory state, key {key}: not JSON") from None
        return body, revision

    def read_many(self, keys: Sequence[str]) -> Mapping[str, Stored | StoreError]:
        """See `StateStore.read_many`."""
        return one_by_one(self.read, keys)

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        """See `StateStore.compare_and_swap`."""
        text = json.dumps(dict(body))
        with self._lock:
            _, revision = self._records.get(key, ("", 0))
            if revision != expected:
                raise VersionConflict(f"memory state, key {key}", expected=expected)
            revision = revision_after(expected, text)
            self._records[key] = (text, revision)
        return revision

    def keys(self, prefix: str) -> list[str]:
        """See `StateStore.keys`."""
        with self._lock:
            return [key for key in self._records if key.startswith(prefix)]

    def prove_writable(self) -> None:
        """See `StateStore.prove_writable`; memory always is."""

    def raw_dump(self) -> dict[str, tuple[str, int]]:
        """Return all records with their revisions, as a backup holds them."""
        with self._lock:
            return dict(self._records)

    def raw_restore(self, records: Mapping[str, tuple[str, int]]) -> None:
        """Put a backup in the place of everything, as a database's restore does."""
        with self._lock:
            self._records = dict(records)

    def raw_put(self, key: str, text: str) -> None:
        """Set the stored text as it is, JSON or not; the revision grows."""
        with self._lock:
            _, revision = self._records.get(key, ("", 0))
            self._records[key] = (text, revision_after(revision, text))


class MemoryRecordWriter:
    """A record writer over any state store, for the escrow suite and for tests of single steps. For one thread.

    Args:
        state: Where the record lives.
        key: Under which key.
        identity: The secret's identity, for a record that does not exist yet.
    """

    record: StateRecord
    _revision: int

    def __init__(self, state: StateStore, key: str, identity: str) -> None:
        self._state = state
        self._key = key
        self._identity = identity
        self._read()

    def change(self, change: Callable[[StateRecord], StateRecord]) -> StateRecord:
        """See `RecordWriter.change`; tries again for as long as others get in between."""
        while True:
            new = change(self.record)
            if new == self.record:
                return new
            try:
                self._revision = self._state.compare_and_swap(self._key, to_body(new), expected=self._revision)
            except VersionConflict:
                self._read()
                continue
            self.record = new
            return new

    def _read(self) -> None:
        body, self._revision = self._state.read(self._key)
        self.record = state_record(self._identity, body)


class MemoryEscrow:
    """An escrow in memory, beside the record.

    Args:
        place: Its name in claims.
        shared: Whether it passes for one that every replica sees; private by default, as a file is.
    """

    def __init__(self, place: str = "memory", *, shared: bool = False) -> None:
        self.place = place
        self.shared = shared
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], SealedEntry] = {}

    def waiting(self, record: StateRecord) -> tuple[SealedEntry, ...]:
        """See `Escrow.waiting`."""
        return tuple(entry for entry in self.all_waiting() if entry.identity == record.identity)

    def keep(self, entry: SealedEntry, writer: RecordWriter) -> None:  # noqa: ARG002 - the port: not every escrow needs the record
        """See `Escrow.keep`."""
        with self._lock:
            before = self._entries.get((entry.identity, entry.parent))
            if before is None or not stays(before, entry):
                self._entries[entry.identity, entry.parent] = entry

    def without(self, record: StateRecord, parents: frozenset[str]) -> StateRecord:  # noqa: ARG002 - the port: nothing of ours is in the record
        """See `Escrow.without`: the record as it is."""
        return record

    def clear(self, identity: str, parents: frozenset[str]) -> None:
        """See `Escrow.clear`."""
        with self._lock:
            for parent in parents:
                self._entries.pop((identity, parent), None)

    def all_waiting(self) -> tuple[SealedEntry, ...]:
        """See `Escrow.all_waiting`."""
        with self._lock:
            return tuple(self._entries.values())

    def holds(self, parent: str) -> bool:
        """Return whether the token set that succeeds this digest waits here, for any secret."""
        return any(entry.parent == parent and entry.kind == "tokens" for entry in self._entries.values())

    def prove_writable(self) -> None:
        """See `Escrow.prove_writable`; memory always is."""


class MemoryAudit:
    """An audit sink that keeps its events in `events`, oldest first. Thread-safe."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        """See `AuditSink.record`."""
        self.events.append(event)  # atomic in CPython

    def prove_writable(self) -> None:
        """See `AuditSink.prove_writable`; memory always is."""
