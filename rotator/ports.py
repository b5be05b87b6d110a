"""The ports. A docstring here is the contract; `rotator.testing.contracts` holds every adapter to it.

Unless a method says otherwise: implementations are safe to call from many threads at once, they block until the
answer is known, and what they say was written is durable when they return. Who tells people and programs has a port of
its own, `rotator.notifier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from rotator.bulk import BulkReads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from rotator.audit.events import AuditEvent, EventName
    from rotator.errors import StoreError
    from rotator.model import Credential, Document, Provider, RefreshRequest, TokenAnswer, Versioned
    from rotator.records import SealedEntry, StateRecord


class Clock(Protocol):
    """Time, as three readings. Never raises."""

    def now(self) -> datetime:
        """Return the wall clock: an aware UTC instant, which may jump."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never go back; for waits and deadlines."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for `seconds`; zero or less returns at once."""
        ...


class Ids(Protocol):
    """Fresh identifiers."""

    def new_id(self) -> str:
        """Return an identifier that was never returned before, in UUID text form."""
        ...


class Randomness(Protocol):
    """Randomness for backoff."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        ...


class SecretStore(BulkReads, Protocol):
    """Where the credential documents live. There is no plain overwrite and no delete.

    What it says about many secrets at once stands in `rotator.bulk`.
    """

    @property
    def name(self) -> str:
        """The store's name in the configuration."""
        ...

    def read(self, secret: str) -> Versioned:
        """Return the current content of `secret`.

        A content that is binary, empty, not JSON or not an object comes back as `Malformed`, not as an error: the
        secret exists and has a version. The answer may be older than the newest write where the store is eventually
        consistent.

        Raises:
            SecretNotFound: There is no such secret, or it is marked deleted.
            StoreMissing: The store itself (mount, file's folder) does not exist.
            StoreDenied: Not allowed.
            StoreCorrupt: The stored bytes cannot be decoded.
            StoreUnavailable: No answer.
        """
        ...

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """Make `document` the current content if `expected` still is the current version.

        `expected=None` creates the secret and conflicts when it exists. `write_id` identifies the write: a repetition
        with the same id, content and expectation is applied once, and returns what the first call returned (as long
        as nobody wrote since). Nobody else's write is ever replaced unseen.

        Returns:
            The new version, as `read` would return it.

        Raises:
            VersionConflict: Another version is current; nothing was changed.
            SecretNotFound: `expected` is a version and there is no such secret.
            StoreMissing: As in `read`.
            StoreDenied: Not allowed; nothing was changed.
            StoreRejected: The store refuses the content for good (too large, say); nothing was changed.
            StoreUnavailable: Surely not applied.
            StoreWriteInDoubt: Perhaps applied; read and compare.
        """
        ...

    def prove_writable(self, secret: str) -> None:
        """Prove that `compare_and_swap` on `secret` would be allowed, without changing what a reader sees.

        Raises:
            SecretNotFound: There is no such secret.
            StoreMissing: As in `read`.
            StoreDenied: A write would be refused.
            StoreUnavailable: No answer.
        """
        ...


Stored: TypeAlias = "tuple[Mapping[str, Any] | None, int]"
"""A state record as it is stored: body and revision; `(None, 0)` when there is none."""


class StateStore(Protocol):
    """Small JSON records under compare-and-swap."""

    @property
    def shared(self) -> bool:
        """Whether every replica of a deployment sees the same records."""
        ...

    @property
    def batch(self) -> int:
        """How many keys `read_many` reads with one call of the backend; at least 1."""
        ...

    def read(self, key: str) -> Stored:
        """Return the record's body and revision; `(None, 0)` when there is none.

        Strongly consistent: what a returned write left is seen.

        Raises:
            StoreMissing: The table, mount or folder does not exist.
            StoreDenied: Not allowed.
            StoreCorrupt: The stored bytes cannot be decoded.
            StoreUnavailable: No answer.
        """
        ...

    def read_many(self, keys: Sequence[str]) -> Mapping[str, Stored | StoreError]:
        """Return what `read` returns for each of the keys; every key is in the answer, once.

        Strongly consistent, record by record: the records need not be of one moment. A fault of a single record,
        StoreCorrupt above all, stands in its place and is not raised, so that one bad record does not stop a fleet.
        More than `batch` keys are read with several calls, and the failure of one loses the answers of all: who wants
        to retry calls one by one asks for `batch` keys at a time.

        Raises:
            StoreMissing: As in `read`.
            StoreDenied: Not allowed.
            StoreUnavailable: No answer, or not for every key.
        """
        ...

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        """Replace the record's body if its revision is `expected` (0: if there is none), in one atomic step.

        Of any number of concurrent calls with the same expectation at most one succeeds.

        Returns:
            The new revision, greater than `expected`.

        Raises:
            VersionConflict: Another revision is current; nothing was changed.
            StoreMissing: As in `read`.
            StoreDenied: Not allowed; nothing was changed.
            StoreRejected: The store refuses the content for good; nothing was changed.
            StoreUnavailable: Surely not applied.
            StoreWriteInDoubt: Perhaps applied; read and compare.
        """
        ...

    def keys(self, prefix: str) -> Iterable[str]:
        """Return the keys that begin with `prefix`, in no particular order, as a list that is complete on return.

        Raises:
            StoreMissing: As in `read`.
            StoreDenied: Not allowed.
            StoreUnavailable: No answer.
        """
        ...

    def prove_writable(self) -> None:
        """Prove that `compare_and_swap` would be allowed, without changing a record.

        Raises:
            StoreMissing: As in `read`.
            StoreDenied: A write would be refused.
            StoreUnavailable: No answer.
        """
        ...


class RecordWriter(Protocol):
    """One secret's state record in the hands of the holder of its lease. For one thread."""

    @property
    def record(self) -> StateRecord:
        """The record as last read or written."""
        ...

    def change(self, change: Callable[[StateRecord], StateRecord]) -> StateRecord:
        """Apply a pure change to the record by compare-and-swap, on a re-read record after every conflict.

        The change may be applied several times to ever newer records; writing is skipped when it changes nothing.

        Raises:
            StoreError: As `StateStore.compare_and_swap`, but for VersionConflict, after retries.
        """
        ...


class Escrow(Protocol):
    """Sealed token sets that were received and are not yet confirmed in the store.

    Keyed by the secret's identity and the digest of the refresh token that they succeed.
    """

    @property
    def shared(self) -> bool:
        """Whether every replica sees the entries."""
        ...

    @property
    def place(self) -> str:
        """The place's durable and unique name.

        Written into claims, so that another replica knows whether it could see a successor.

        Raises:
            EscrowUnavailable: The place cannot be read or made.
        """
        ...

    def waiting(self, record: StateRecord) -> tuple[SealedEntry, ...]:
        """Return what waits for this record's secret.

        Raises:
            EscrowUnavailable: The place cannot be read.
            EscrowCorrupt: An entry for this secret cannot be decoded.
        """
        ...

    def keep(self, entry: SealedEntry, writer: RecordWriter) -> None:
        """Make the entry durable; one with the same identity and parent is replaced.

        But a `reply` never replaces `tokens`, nor tokens those of a later request (`rotator.record_changes.stays`).

        Raises:
            EscrowUnavailable: It is not durable.
        """
        ...

    def without(self, record: StateRecord, parents: frozenset[str]) -> StateRecord:
        """Return the record as the settling write should leave it: an escrow inside the record drops the entries.

        Pure.
        """
        ...

    def clear(self, identity: str, parents: frozenset[str]) -> None:
        """Remove the entries, after the settling write; those that are not there are no error.

        Raises:
            EscrowUnavailable: They may come back after a crash, which does no harm.
        """
        ...

    def all_waiting(self) -> tuple[SealedEntry, ...]:
        """Return every entry of every secret, for `escrow list`.

        Raises:
            EscrowUnavailable: The place cannot be read.
            EscrowCorrupt: An entry cannot be decoded; the message names it.
        """
        ...

    def prove_writable(self) -> None:
        """Prove that `keep` would work, leaving nothing behind.

        Raises:
            EscrowUnavailable: It would not.
        """
        ...


class Seal(Protocol):
    """Authenticated encryption (AES-256-GCM)."""

    def seal(self, plain: bytes, context: str) -> str:
        """Return base64 text that only `open` with the same key and context turns back.

        Raises:
            ConfigError: The key cannot be loaded.
        """
        ...

    def open(self, sealed: str, context: str) -> bytes:
        """Return what was sealed.

        Raises:
            SealBroken: Another key, another context, or damaged.
            ConfigError: The key cannot be loaded.
        """
        ...

    def audit_digest(self, text: str) -> str:
        """Return 16 hex digits of an HMAC-SHA-256 of `text`, keyed from the seal key: for audit events.

        Raises:
            ConfigError: The key cannot be loaded.
        """
        ...


class AuditSink(Protocol):
    """Where audit events go."""

    def record(self, event: AuditEvent) -> None:
        """Record one event, durably.

        Raises:
            AuditUnavailable: It may not be durable.
        """
        ...

    def prove_writable(self) -> None:
        """Prove that `record` would work, as far as that can be known without recording.

        Raises:
            AuditUnavailable: It would not.
        """
        ...


class Trail(Protocol):
    """The audit trail, as the procedure sees it."""

    def warm_up(self) -> None:
        """Load what the first event would have to wait for."""
        ...

    def record(
        self, event: EventName, credential: Credential, *, rotation_id: str | None = None, **details: Any
    ) -> AuditEvent:
        """Record an event with its common fields in every sink, durably.

        Raises:
            AuditUnavailable: It may not be durable in one of them.
        """
        ...


class TokenEndpoint(Protocol):
    """The provider's token endpoint."""

    def warm_up(self, provider: Provider) -> None:
        """Load what a request to this provider needs and what takes its time once: libraries, trusted authorities.

        Called before a slot of the provider's budget is taken, for a request that is late for its slot does not leave.
        Opens no connection. What cannot be loaded here is told by `refresh`; only a library that is not installed is a
        defect at once.
        """
        ...

    def refresh(self, request: RefreshRequest, *, deadline_s: float, begun_s: float | None = None) -> TokenAnswer:
        """Present a refresh token: one request on a fresh connection, one answer, whatever happens.

        `begun_s` is the reading of the clock's `monotonic_s` from which the deadline counts; None is now. A caller that
        checks a lease passes its reading from before the check: a process that is paused between check and call, for
        whatever long, then sends nothing, for its deadline is over before the first byte.

        Never re-sent by any layer below. Ends within `deadline_s` seconds, name resolution excepted. Raises nothing:
        a failure is an answer, and one whose phase is unknown is `InDoubt`.
        """
        ...

    def reachable(self, endpoint: str, *, deadline_s: float) -> str | None:
        """Return None when a TLS connection to the endpoint's host can be opened, else what is wrong.

        Sends no HTTP request. On a loopback `http://` endpoint, opens a TCP connection.
        """
        ...
