"""The procedure and its ports with a tracer in front: they do what is behind them does, inside spans.

A span is opened only while a rotation is under way in the same thread, so that looks, listings and commands cost a
glance at a context variable. Of an error a span holds its kind alone: its text may name a secret. Thread-safe as what
is behind is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from rotator import outcomes, policy
from rotator.errors import slug
from rotator.model import Refreshed
from rotator.rotation import Rotation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from rotator.audit.events import AuditEvent
    from rotator.errors import StoreError
    from rotator.model import Document, Found, Listed, Provider, RefreshRequest, TokenAnswer, Versioned
    from rotator.observe import Observed
    from rotator.outcomes import Outcome
    from rotator.ports import AuditSink, Escrow, RecordWriter, SecretStore, StateStore, Stored, TokenEndpoint
    from rotator.records import SealedEntry, StateRecord

_SLUG = re.compile("[a-z_]{1,40}")


class Span(Protocol):
    """A span that is open; of a rotation that is not traced, nothing."""

    def note(self, **facts: str | int) -> None:
        """Add attributes; a double underscore in a name stands for a dot."""
        ...

    def failed(self, kind: str) -> None:
        """Mark it as failed, by a kind of error and never by an error's text."""
        ...


class Tracer(Protocol):
    """Opens spans. Never raises, never waits for a collector."""

    def rotation(self, observed: Observed) -> AbstractContextManager[Span]:
        """Return the root span of a rotation, which began with the reading of what was observed."""
        ...

    def step(self, name: str, **facts: str | int) -> AbstractContextManager[Span]:
        """Return a span below the one that is open in this thread; what its block raises marks it as failed."""
        ...

    def state_write(self, key: str) -> AbstractContextManager[Span]:
        """Return the span of a write of the state, by what that write is at this point of the rotation."""
        ...

    def in_rotation(self) -> Span | None:
        """Return the root span of the rotation under way in this thread."""
        ...


@dataclass(frozen=True, slots=True)
class TracedRotation(Rotation):
    """The procedure, inside a root span wherever it is to present a token or to bring one home."""

    tracer: Tracer = field(kw_only=True)

    @classmethod
    def of(cls, rotation: Rotation, tracer: Tracer) -> TracedRotation:
        """Return the same procedure, traced."""
        return cls(*(getattr(rotation, one.name) for one in fields(Rotation)), tracer=tracer)

    def run(self, observed: Observed, *, leave_at: datetime | None = None, leave_by: datetime | None = None) -> Outcome:
        """See `Rotation.run`."""
        if not isinstance(policy.decide(observed.situation), policy.Due | policy.Recover):
            return Rotation.run(self, observed, leave_at=leave_at, leave_by=leave_by)
        with self.tracer.rotation(observed) as span:
            outcome = Rotation.run(self, observed, leave_at=leave_at, leave_by=leave_by)
            _tell(span, outcome)
            return outcome


def _tell(span: Span, outcome: Outcome) -> None:
    span.note(rotator__outcome=slug(type(outcome)))
    reason = getattr(outcome, "reason", "")
    reason = reason if _SLUG.fullmatch(reason) else reason and "other"
    if reason:
        span.note(rotator__reason=reason)
    if isinstance(outcome, outcomes.Failed) or (reason and reason not in outcomes.AT_ONCE):
        span.failed(reason)


@dataclass(frozen=True, slots=True)
class TracedEndpoint:
    """`ports.TokenEndpoint`. See there."""

    behind: TokenEndpoint
    tracer: Tracer

    def warm_up(self, provider: Provider) -> None:
        """See `TokenEndpoint.warm_up`."""
        self.behind.warm_up(provider)

    def refresh(self, request: RefreshRequest, *, deadline_s: float, begun_s: float | None = None) -> TokenAnswer:
        """See `TokenEndpoint.refresh`."""
        with self.tracer.step("exchange", **_http(request.provider.token_endpoint)) as span:
            answer = self.behind.refresh(request, deadline_s=deadline_s, begun_s=begun_s)
            kind = slug(type(answer))
            span.note(rotator__answer=kind)
            if not isinstance(answer, Refreshed):
                span.failed(kind)
            return answer

    def reachable(self, endpoint: str, *, deadline_s: float) -> str | None:
        """See `TokenEndpoint.reachable`."""
        return self.behind.reachable(endpoint, deadline_s=deadline_s)


def _http(url: str) -> dict[str, str | int]:
    """Return OpenTelemetry's attributes of an HTTP client's request, without a query, which may hold a key."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    return {
        "http__request__method": "POST",
        "url__full": parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl(),
        "server__address": parts.hostname or "",
        "server__port": port,
    }


@dataclass(frozen=True, slots=True)
class TracedSink:
    """`ports.AuditSink`. See there."""

    behind: AuditSink
    tracer: Tracer

    def warm_up(self) -> None:
        """Load what the sink loads on first use, if it does."""
        self._call("warm_up")

    def close(self) -> None:
        """Close the sink, if it can be closed."""
        self._call("close")

    def record(self, event: AuditEvent) -> None:
        """See `AuditSink.record`."""
        root = self.tracer.in_rotation()
        if root is not None and event.rotation_id is not None:
            root.note(rotator__rotation_id=event.rotation_id)
        with self.tracer.step("audit", rotator__event=event.event):
            self.behind.record(event)

    def prove_writable(self) -> None:
        """See `AuditSink.prove_writable`."""
        self.behind.prove_writable()

    def _call(self, name: str) -> None:
        method = getattr(self.behind, name, None)
        if method is not None:
            method()


@dataclass(frozen=True, slots=True)
class TracedStore:
    """`ports.SecretStore`. See there."""

    behind: SecretStore
    tracer: Tracer

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
        with self.tracer.step("read document", rotator__store=self.behind.name):
            return self.behind.read(secret)

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """See `SecretStore.compare_and_swap`."""
        with self.tracer.step("write back", rotator__store=self.behind.name):
            return self.behind.compare_and_swap(secret, document, expected=expected, write_id=write_id)

    def prove_writable(self, secret: str) -> None:
        """See `SecretStore.prove_writable`."""
        self.behind.prove_writable(secret)

    def read_many(self, secrets: Sequence[str]) -> Mapping[str, Versioned | StoreError]:
        """See `BulkReads.read_many`."""
        return self.behind.read_many(secrets)

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """See `BulkReads.versions`."""
        return self.behind.versions(secrets)

    def find(self, prefix: str, labels: Mapping[str, str]) -> Mapping[str, Found]:
        """See `BulkReads.find`."""
        return self.behind.find(prefix, labels)


@dataclass(frozen=True, slots=True)
class TracedState:
    """`ports.StateStore`. See there."""

    behind: StateStore
    tracer: Tracer

    @property
    def shared(self) -> bool:
        """See `StateStore.shared`."""
        return self.behind.shared

    @property
    def batch(self) -> int:
        """See `StateStore.batch`."""
        return self.behind.batch

    def read(self, key: str) -> Stored:
        """See `StateStore.read`."""
        with self.tracer.step("read state"):
            return self.behind.read(key)

    def read_many(self, keys: Sequence[str]) -> Mapping[str, Stored | StoreError]:
        """See `StateStore.read_many`."""
        return self.behind.read_many(keys)

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        """See `StateStore.compare_and_swap`."""
        with self.tracer.state_write(key):
            return self.behind.compare_and_swap(key, body, expected=expected)

    def keys(self, prefix: str) -> Iterable[str]:
        """See `StateStore.keys`."""
        return self.behind.keys(prefix)

    def prove_writable(self) -> None:
        """See `StateStore.prove_writable`."""
        self.behind.prove_writable()


@dataclass(frozen=True, slots=True)
class TracedEscrow:
    """`ports.Escrow`. See there."""

    behind: Escrow
    tracer: Tracer

    @property
    def shared(self) -> bool:
        """See `Escrow.shared`."""
        return self.behind.shared

    @property
    def place(self) -> str:
        """See `Escrow.place`."""
        return self.behind.place

    def waiting(self, record: StateRecord) -> tuple[SealedEntry, ...]:
        """See `Escrow.waiting`."""
        return self.behind.waiting(record)

    def keep(self, entry: SealedEntry, writer: RecordWriter) -> None:
        """See `Escrow.keep`."""
        with self.tracer.step("escrow", rotator__kept=entry.kind):
            self.behind.keep(entry, writer)

    def without(self, record: StateRecord, parents: frozenset[str]) -> StateRecord:
        """See `Escrow.without`."""
        return self.behind.without(record, parents)

    def clear(self, identity: str, parents: frozenset[str]) -> None:
        """See `Escrow.clear`."""
        if self.behind.shared:  # it went with the settling write
            self.behind.clear(identity, parents)
            return
        with self.tracer.step("clear escrow"):
            self.behind.clear(identity, parents)

    def all_waiting(self) -> tuple[SealedEntry, ...]:
        """See `Escrow.all_waiting`."""
        return self.behind.all_waiting()

    def prove_writable(self) -> None:
        """See `Escrow.prove_writable`."""
        self.behind.prove_writable()
