"""The ports of one simulated process: the in-memory ones, with a switch point and perhaps a fault at each call."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from rotator.answers import classify
from rotator.bulk import read_each
from rotator.errors import (
    AuditUnavailable,
    EscrowUnavailable,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.http_messages import HttpReply
from rotator.model import InDoubt, Unavailable
from rotator.testing.memory import MemoryStateStore
from rotator.testing.sim.faults import PAUSES_S
from rotator.testing.sim.schedule import START, Crash, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rotator.audit.events import AuditEvent
    from rotator.errors import StoreError
    from rotator.model import Document, Found, Listed, Provider, RefreshRequest, TokenAnswer, Versioned
    from rotator.ports import RecordWriter, Stored
    from rotator.records import SealedEntry, StateRecord
    from rotator.testing.sim.faults import Kind
    from rotator.testing.sim.world import World

CALL_S = 0.02
"""What a port call takes at most when all is well."""

_BEFORE = frozenset({"refused_503", "limited_429", "denied_401", "error_500"})
"""Answers of a provider that looked at nothing."""


class _Port:
    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process

    def _point(self, call: str) -> Kind | None:
        """Let others go on, then return what goes wrong with this call."""
        world = self.world
        world.scheduler.pause(world.chance.random() * CALL_S)
        kind = world.faults.draw(self.process.host, call)
        if world.traced:
            world.note(self.process, call, kind)
        if kind:
            world.watch.fails(self.process, call, late=kind in PAUSES_S)
        if kind == "crash_before":
            raise Crash
        if kind in PAUSES_S:
            world.scheduler.pause(PAUSES_S[kind])
        return kind

    def _read(self, call: str, read: Callable[[], Any], stale: Callable[[], Any] | None = None) -> Any:
        kind = self._point(call)
        if kind == "fail" or self.world.down(call):
            raise StoreUnavailable(f"simulated: {call}")
        result = stale() if kind == "stale" and stale else read()
        if kind == "crash_after":
            raise Crash
        return result

    def _write(self, call: str, write: Callable[[], Any]) -> Any:
        kind = self._point(call)
        if kind == "fail" or self.world.down(call):
            self.world.watch.fails(self.process, call)
            raise StoreUnavailable(f"simulated: {call}")
        if kind == "doubt_lost":
            raise StoreWriteInDoubt(f"simulated: {call}")
        if kind == "doubt_late":
            self.world.later(write)
            raise StoreWriteInDoubt(f"simulated: {call}")
        result = write()
        if kind == "crash_after":
            raise Crash
        if kind == "doubt_applied":
            raise StoreWriteInDoubt(f"simulated: {call}")
        return result


class SimStore(_Port):
    """The secret store, with stale reads."""

    name = "main"

    def read(self, secret: str) -> Versioned:
        """See `SecretStore.read`."""
        versioned: Versioned = self._read(
            "store.read", lambda: self.world.store.read(secret), lambda: self.world.stale_read(secret)
        )
        return versioned

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """See `SecretStore.compare_and_swap`; every write is shown to the invariants."""

        def write() -> Versioned:
            before = self.world.store.read(secret)
            written = self.world.store.compare_and_swap(secret, document, expected=expected, write_id=write_id)
            if before.version != written.version:
                self.world.watch.rotator_wrote(before, written)
                self.world.replaced(secret, before)
            return written

        self.world.watch.writes(self.process)
        versioned: Versioned = self._write("store.write", write)
        return versioned

    @property
    def batch(self) -> int:
        """See `SecretStore.batch`."""
        return self.world.store.batch

    def read_many(self, secrets: Sequence[str]) -> Mapping[str, Versioned | StoreError]:
        """See `SecretStore.read_many`; each secret with the faults of a read of its own."""
        return read_each(self.read, secrets)

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """See `SecretStore.versions`."""
        return self.world.store.versions(secrets)

    def find(self, prefix: str, labels: Mapping[str, str]) -> Mapping[str, Found]:
        """See `SecretStore.find`."""
        return self.world.store.find(prefix, labels)

    def prove_writable(self, secret: str) -> None:
        """See `SecretStore.prove_writable`."""


class SimState(_Port):
    """The state store."""

    shared = True
    batch = MemoryStateStore.batch

    def read(self, key: str) -> Stored:
        """See `StateStore.read`."""
        found: Stored = self._read("state.read", lambda: self.world.state.read(key))
        if key.startswith("provider/"):
            self.world.watch.looked_at_cooldown(self.process)
        return found

    def read_many(self, keys: Sequence[str]) -> Mapping[str, Stored | StoreError]:
        """See `StateStore.read_many`: a switch point for each call of the backend."""
        found: dict[str, Stored | StoreError] = {}
        for first in range(0, len(keys), self.batch):
            some = keys[first : first + self.batch]
            found |= self._read("state.read", partial(self.world.state.read_many, some))
            if any(key.startswith("provider/") for key in some):
                self.world.watch.looked_at_cooldown(self.process)
        return found

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        """See `StateStore.compare_and_swap`."""

        def write() -> int:
            revision = self.world.state.compare_and_swap(key, body, expected=expected)
            self.world.watch.state_written(self.process, key, body)
            return revision

        self.world.watch.keeps(self.process)
        result: int = self._write("state.write", write)
        return result

    def keys(self, prefix: str) -> list[str]:
        """See `StateStore.keys`."""
        return self.world.state.keys(prefix)

    def prove_writable(self) -> None:
        """See `StateStore.prove_writable`."""


class SimEscrow(_Port):
    """An escrow: one for all, or one per host."""

    def __init__(self, world: World, process: Process, host: str) -> None:
        super().__init__(world, process)
        self._escrow = world.escrow_of(host)
        self.place = self._escrow.place
        self.shared = self._escrow.shared

    def waiting(self, record: StateRecord) -> tuple[SealedEntry, ...]:
        """See `Escrow.waiting`."""
        kind = self._point("escrow.read")
        if kind == "fail" or self.world.down("escrow"):
            raise EscrowUnavailable("simulated")
        found = self._escrow.waiting(record)
        if kind == "crash_after":
            raise Crash
        return found

    def keep(self, entry: SealedEntry, writer: RecordWriter) -> None:
        """See `Escrow.keep`."""

        def keep() -> None:
            self._escrow.keep(entry, writer)
            self.world.watch.escrowed(self.process, entry)

        self.world.watch.keeps(self.process)
        self._change("escrow.write", keep)

    def without(self, record: StateRecord, parents: frozenset[str]) -> StateRecord:
        """See `Escrow.without`."""
        return self._escrow.without(record, parents)

    def clear(self, identity: str, parents: frozenset[str]) -> None:
        """See `Escrow.clear`."""

        def clear() -> None:
            self._escrow.clear(identity, parents)
            self.world.watch.nothing_lost()

        self._change("escrow.write", clear)

    def all_waiting(self) -> tuple[SealedEntry, ...]:
        """See `Escrow.all_waiting`."""
        return self._escrow.all_waiting()

    def prove_writable(self) -> None:
        """See `Escrow.prove_writable`."""

    def _change(self, call: str, change: Callable[[], None]) -> None:
        kind = self._point(call)
        if kind == "fail" or self.world.down("escrow"):
            raise EscrowUnavailable("simulated")
        change()
        if kind == "crash_after":
            raise Crash
        if kind == "doubt_applied":
            raise EscrowUnavailable("simulated: it was kept all the same")


class SimAudit(_Port):
    """An audit sink."""

    def record(self, event: AuditEvent) -> None:
        """See `AuditSink.record`."""
        kind = self._point("audit.write")
        if kind == "fail" or self.world.down("audit"):
            raise AuditUnavailable("simulated")
        self.world.watch.audited(self.process, event)
        if kind == "crash_after":
            raise Crash
        if kind == "doubt_applied":
            raise AuditUnavailable("simulated: it was recorded all the same")

    def prove_writable(self) -> None:
        """See `AuditSink.prove_writable`."""


class SimEndpoint(_Port):
    """The token endpoint, with lost requests and replies."""

    def warm_up(self, provider: Provider) -> None:
        """See `TokenEndpoint.warm_up`; there is nothing to load."""

    def refresh(self, request: RefreshRequest, *, deadline_s: float, begun_s: float | None = None) -> TokenAnswer:
        """See `TokenEndpoint.refresh`."""
        world = self.world
        kind = self._point("provider.refresh")
        if world.down("provider"):
            return Unavailable(15.0, "simulated: connection refused")
        if kind in _BEFORE:
            return self._told(kind, request)
        if kind == "doubt_lost":
            world.scheduler.pause(deadline_s)
            return InDoubt("simulated: the request was lost")
        if begun_s is not None and world.scheduler.now_s > begun_s + deadline_s:
            return Unavailable(15.0, "the deadline was over before anything was sent")
        world.watch.arrives(self.process, request)
        answer = world.provider.refresh(request, deadline_s=deadline_s)
        world.watch.answered(self.process, request, answer)
        world.people.amid_the_exchange()
        if kind == "crash_after":
            raise Crash
        if kind == "doubt_applied":
            world.scheduler.pause(deadline_s)
            world.watch.handed(self.process, whole=False)
            return InDoubt("simulated: the reply was lost")
        world.scheduler.pause(world.chance.random() * world.slowness_s)
        world.watch.handed(self.process, whole=kind != "error_500_after")
        return self._told(kind, request) if kind == "error_500_after" else answer

    def _told(self, kind: Kind, request: RefreshRequest) -> TokenAnswer:
        """Return what the product makes of an error reply, by its own classification."""
        status, body = int(kind[-3:] if kind[-3:].isdigit() else 500), b"{}"
        headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
        if kind == "limited_429":
            wait_s = self.world.chance.choice((1, 30, 300))
            self.world.watch.asked_to_wait(self.process, wait_s)
            headers = (*headers, ("retry-after", str(wait_s)))
        elif kind == "denied_401":
            body = b'{"error": "invalid_client"}'
        now = START + timedelta(seconds=self.world.scheduler.now_s + self.process.skew_s)
        return classify(HttpReply(status, headers, body, complete=True, sent_at=now, received_at=now), request, now)

    def reachable(self, endpoint: str, *, deadline_s: float) -> str | None:  # noqa: ARG002 - the port's signature
        """See `TokenEndpoint.reachable`."""
        return None


def late(write: Callable[[], Any]) -> None:
    """Apply a write whose answer was lost long ago; by now it may conflict."""
    try:
        write()
    except VersionConflict:
        return
