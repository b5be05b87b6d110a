"""Ports with a meter in front: they do what is behind them does, and tell how it went. Thread-safe as that is."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rotator.errors import slug

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from rotator.audit.events import AuditEvent
    from rotator.errors import StoreError
    from rotator.model import Document, Found, Listed, Provider, RefreshRequest, TokenAnswer, Versioned
    from rotator.ports import Clock, Escrow, RecordWriter, SecretStore, TokenEndpoint
    from rotator.records import SealedEntry, StateRecord

WELL = "ok"


@dataclass(frozen=True, slots=True)
class CountedEvents:
    """`ports.AuditSink` that keeps nothing: it counts what becomes of rotations, by provider."""

    count: Callable[[str, str], None]

    def record(self, event: AuditEvent) -> None:
        """Count `rotation.succeeded` as `succeeded`, and so on; what is not an end of a rotation counts as nothing."""
        kind, _, outcome = event.event.partition(".")
        if kind == "rotation" and outcome != "started":
            self.count(event.provider, outcome)

    def prove_writable(self) -> None:
        """Return: there is nothing to write to."""


@dataclass(frozen=True, slots=True)
class MeteredEndpoint:
    """`ports.TokenEndpoint`; `took` is called with provider, outcome and seconds."""

    behind: TokenEndpoint
    clock: Clock
    took: Callable[[str, str, float], None]

    def warm_up(self, provider: Provider) -> None:
        """See `TokenEndpoint.warm_up`."""
        self.behind.warm_up(provider)

    def refresh(self, request: RefreshRequest, *, deadline_s: float, begun_s: float | None = None) -> TokenAnswer:
        """See `TokenEndpoint.refresh`."""
        began_s = self.clock.monotonic_s()
        answer = self.behind.refresh(request, deadline_s=deadline_s, begun_s=begun_s)
        self.took(request.provider.name, slug(type(answer)), self.clock.monotonic_s() - began_s)
        return answer

    def reachable(self, endpoint: str, *, deadline_s: float) -> str | None:
        """See `TokenEndpoint.reachable`."""
        return self.behind.reachable(endpoint, deadline_s=deadline_s)


class _Counting:
    """Counts one call when its block ends: `ok`, or the slug of what it raised."""

    __slots__ = ("_called", "_operation")

    def __init__(self, called: Callable[[str, str], None], operation: str) -> None:
        self._called = called
        self._operation = operation

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._called(self._operation, WELL if kind is None else slug(kind))


@dataclass(frozen=True, slots=True)
class MeteredStore:
    """`ports.SecretStore`; `called` is called with the operation and its outcome. See there."""

    behind: SecretStore
    called: Callable[[str, str], None]

    @property
    def name(self) -> str:
        """See `SecretStore.name`."""
        return self.behind.name

    @property
    def batch(self) -> int:
        """See `BulkReads.batch`."""
        return self.behind.batch

    def read(self, secret: str) -> Versioned:
        """See `SecretStore.read`."""
        with self._counting("read"):
            return self.behind.read(secret)

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """See `SecretStore.compare_and_swap`."""
        with self._counting("write"):
            return self.behind.compare_and_swap(secret, document, expected=expected, write_id=write_id)

    def prove_writable(self, secret: str) -> None:
        """See `SecretStore.prove_writable`."""
        with self._counting("prove_writable"):
            self.behind.prove_writable(secret)

    def read_many(self, secrets: Sequence[str]) -> Mapping[str, Versioned | StoreError]:
        """See `BulkReads.read_many`."""
        with self._counting("read_many"):
            return self.behind.read_many(secrets)

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """See `BulkReads.versions`."""
        with self._counting("list"):
            return self.behind.versions(secrets)

    def find(self, prefix: str, labels: Mapping[str, str]) -> Mapping[str, Found]:
        """See `BulkReads.find`."""
        with self._counting("find"):
            return self.behind.find(prefix, labels)

    def _counting(self, operation: str) -> _Counting:
        return _Counting(self.called, operation)


class Waits(NamedTuple):
    """For whom an entry waits, and since when."""

    credential: str
    since: datetime


class CountedEscrow:
    """The entries that this process put into escrow, or found there, and has not cleared. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, Waits]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def around(self, escrow: Escrow) -> Escrow:
        """Return an escrow whose entries are counted here."""
        return _Counted(escrow, self)

    def since(self) -> dict[str, datetime]:
        """Return, by credential, since when the oldest of its entries waits."""
        with self._lock:
            all_of_them = [waits for entries in self._waiting.values() for waits in entries.values()]
        return {waits.credential: waits.since for waits in sorted(all_of_them, key=lambda one: one.since, reverse=True)}

    def take_over(self, before: CountedEscrow) -> None:
        """Go on with what the parts of an earlier configuration knew."""
        with before._lock:
            known = dict(before._waiting)
        with self._lock:
            self._waiting = {**known, **self._waiting}

    def found(self, identity: str, entries: dict[str, Waits]) -> None:
        """Note all that waits for a secret, by parent."""
        if not entries and identity not in self._waiting:
            return  # the case of every look; no lock for it
        with self._lock:
            self._set(identity, entries)

    def kept(self, identity: str, parent: str, waits: Waits) -> None:
        """Note an entry."""
        with self._lock:
            self._set(identity, {**self._waiting.get(identity, {}), parent: waits})

    def cleared(self, identity: str, parents: frozenset[str]) -> None:
        """Note that entries are gone."""
        with self._lock:
            before = self._waiting.get(identity, {})
            self._set(identity, {parent: waits for parent, waits in before.items() if parent not in parents})

    def _set(self, identity: str, entries: dict[str, Waits]) -> None:
        if entries:
            self._waiting[identity] = entries
        else:
            self._waiting.pop(identity, None)


@dataclass(frozen=True, slots=True)
class _Counted:
    """`ports.Escrow`. See there."""

    behind: Escrow
    count: CountedEscrow = field(repr=False)

    @property
    def shared(self) -> bool:
        return self.behind.shared

    @property
    def place(self) -> str:
        return self.behind.place

    def waiting(self, record: StateRecord) -> tuple[SealedEntry, ...]:
        entries = self.behind.waiting(record)
        # What is left of a lost reply is a doubt, and waits for no store.
        self.count.found(record.identity, {one.parent: _waits(one) for one in entries if one.kind == "tokens"})
        return entries

    def keep(self, entry: SealedEntry, writer: RecordWriter) -> None:
        self.behind.keep(entry, writer)
        if entry.kind == "tokens":
            self.count.kept(entry.identity, entry.parent, _waits(entry))

    def without(self, record: StateRecord, parents: frozenset[str]) -> StateRecord:
        return self.behind.without(record, parents)

    def clear(self, identity: str, parents: frozenset[str]) -> None:
        self.behind.clear(identity, parents)
        self.count.cleared(identity, parents)

    def all_waiting(self) -> tuple[SealedEntry, ...]:
        return self.behind.all_waiting()

    def prove_writable(self) -> None:
        self.behind.prove_writable()


def _waits(entry: SealedEntry) -> Waits:
    return Waits(entry.credential, entry.at)
