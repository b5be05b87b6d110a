"""Any escrow against the in-memory model: keeping, settling, crashes in between, damage and races."""

from __future__ import annotations

import abc
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from escrow_parts import opened
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rotator.errors import EscrowCorrupt, RotatorError
from rotator.escrow.file import _name
from rotator.escrow.record import RecordEscrow
from rotator.ledger import secret_key
from rotator.records import SealedEntry
from rotator.testing.contracts import race
from rotator.testing.memory import MemoryEscrow, MemoryRecordWriter, MemoryStateStore
from tests.stateful.differences import FILE_ESCROW, RECORD_ESCROW, EscrowDifferences
from tests.stateful.running import THREADS, assert_same_error, outcome
from tests.stateful.secret_benches import REPLICAS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rotator.ports import Escrow, StateStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRETS = ("memory:main#one", "arn:aws:x:株/../😀 ?", "MEMORY:main#one")
PARENTS = ("p1", "p2", "../p3")
EXAMPLES = itertools.count()

replicas = st.integers(0, REPLICAS - 1)
secrets = st.integers(0, len(SECRETS) - 1)
parents = st.sampled_from(PARENTS)
some_parents = st.frozensets(parents, max_size=len(PARENTS))
kinds = st.sampled_from(["tokens", "tokens", "reply"])


class EscrowBench(abc.ABC):
    """An escrow three times over one place, and the records around it."""

    differences: EscrowDifferences
    escrows: Sequence[Escrow]
    states: Sequence[StateStore]

    def writer(self, replica: int, identity: str) -> MemoryRecordWriter:
        return MemoryRecordWriter(self.states[replica % REPLICAS], secret_key(identity), identity)

    @abc.abstractmethod
    def damage(self, identity: str, parent: str, content: str) -> None:
        """Replace the bytes of this entry."""


class FileBench(EscrowBench):
    """One folder."""

    differences = FILE_ESCROW

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states = [MemoryStateStore()] * REPLICAS
        self.escrows = [opened(folder) for _ in range(REPLICAS)]

    def damage(self, identity: str, parent: str, content: str) -> None:
        (self.folder / _name(identity, parent)).write_text(content)


class RecordBench(EscrowBench):
    """The records of a state store, each replica with its own instance of it."""

    differences = RECORD_ESCROW

    def __init__(self, states: Sequence[StateStore]) -> None:
        self.states = states
        self.escrows = [RecordEscrow(state) for state in states]

    def damage(self, identity: str, parent: str, content: str) -> None:
        raise AssertionError(self.differences.cannot_be_damaged)


class EscrowModel(MemoryEscrow):
    """The in-memory escrow, whose entries can be damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.damaged: set[tuple[str, str]] = set()

    def keep(self, entry: SealedEntry, writer: Any) -> None:
        """A reply leaves a damaged entry as it is: who knows what it was."""
        key = (entry.identity, entry.parent)
        if key in self.damaged and entry.kind == "reply":
            return
        if key in self.damaged:
            self._entries.pop(key, None)
        self.damaged.discard(key)
        super().keep(entry, writer)

    def clear(self, identity: str, parents: frozenset[str]) -> None:
        super().clear(identity, parents)
        self.damaged -= {(identity, parent) for parent in parents}

    def found(self, identity: str | None = None) -> tuple[SealedEntry, ...]:
        """Return the entries of a secret, or all.

        Raises:
            EscrowCorrupt: One of them is damaged.
        """
        if any(identity in {None, damaged} for damaged, _ in self.damaged):
            raise EscrowCorrupt("damaged")
        return tuple(entry for entry in self.all_waiting() if identity in {None, entry.identity})


class EscrowMachine(RuleBasedStateMachine):
    """After each step every secret's entries, and the list of all, are the model's, for a new instance too."""

    def __init__(self, bench: EscrowBench) -> None:
        super().__init__()
        self.bench = bench
        self.model = EscrowModel()
        example = next(EXAMPLES)
        self.identities = [f"{identity}/{example}" for identity in SECRETS]
        self.writers = {
            (replica, secret): bench.writer(replica, identity)
            for replica in range(REPLICAS)
            for secret, identity in enumerate(self.identities)
        }
        self.fences = dict.fromkeys(range(len(SECRETS)), 0)
        self.count = 0

    # ---------------------------------------------------------------------------------------------- the verbs

    @rule(replica=replicas, secret=secrets, parent=parents, kind=kinds, stale=st.booleans())
    def keep(self, replica: int, secret: int, parent: str, kind: Any, stale: bool) -> None:
        """By a writer that has just read the record, or by one that others have overtaken since."""
        entry = self._entry(secret, parent, kind)
        self.bench.escrows[replica].keep(entry, self._writer(replica, secret, stale=stale))
        self.model.keep(entry, None)

    @rule(replica=replicas, secret=secrets, parents=some_parents, stale=st.booleans())
    def settle(self, replica: int, secret: int, parents: frozenset[str], stale: bool) -> None:
        """The settling write, then the clearing."""
        self._write_settled(replica, secret, parents, stale=stale)
        self.bench.escrows[replica].clear(self.identities[secret], parents)
        self.model.clear(self.identities[secret], parents)

    @rule(replica=replicas, secret=secrets, parents=some_parents)
    def settle_and_crash(self, replica: int, secret: int, parents: frozenset[str]) -> None:
        """The settling write alone: an entry beside the record waits on, one inside it is gone."""
        self._write_settled(replica, secret, parents, stale=False)
        if self.bench.differences.settled_by_the_record:
            self.model.clear(self.identities[secret], parents)

    @rule(replica=replicas, secret=secrets, parents=some_parents)
    def clear_alone(self, replica: int, secret: int, parents: frozenset[str]) -> None:
        """A clearing that comes late, or twice."""
        self.bench.escrows[replica].clear(self.identities[secret], parents)
        if not self.bench.differences.settled_by_the_record:
            self.model.clear(self.identities[secret], parents)

    @rule(replica=replicas)
    def prove(self, replica: int) -> None:
        self.bench.escrows[replica].prove_writable()

    @rule(replica=replicas, secret=secrets)
    def change_the_record(self, replica: int, secret: int) -> None:
        """Another part of the procedure writes the record meanwhile."""
        self.fences[secret] += 1
        fence = self.fences[secret]
        self._writer(replica, secret, stale=False).change(lambda record: replace(record, fence=fence))

    # ------------------------------------------------------------------------------------- at once, and damage

    @rule(secret=secrets, parent=st.none() | parents)
    def keep_together(self, secret: int, parent: str | None) -> None:
        """Replicas at the same moment: entries of different parents all wait, of one parent one of them does."""
        numbered = [parent or PARENTS[n % len(PARENTS)] for n in range(THREADS)]
        entries = [self._entry(secret, one, "tokens") for one in numbered]
        writers = [self.bench.writer(n, self.identities[secret]) for n in range(THREADS)]
        race(lambda n: self.bench.escrows[n % REPLICAS].keep(entries[n], writers[n]), threads=THREADS)
        record = self.bench.writer(0, self.identities[secret]).record
        others = any(one == self.identities[secret] and damaged not in numbered for one, damaged in self.model.damaged)
        last = {} if others else {one.parent: one for one in self.bench.escrows[0].waiting(record)}
        for entry in entries:
            kept = last.get(entry.parent, entry)
            assert others or kept in entries, "none of those that were kept"
            self.model.keep(kept, None)
        if others:  # which one won cannot be seen: settle it
            self.settle(0, secret, frozenset(numbered), stale=False)

    @precondition(lambda self: not self.bench.differences.cannot_be_damaged)
    @rule(which=st.integers(0, 20), content=st.sampled_from(["{", "[]", '{"format": 2}', "\x00" * 20, ""]))
    def damage(self, which: int, content: str) -> None:
        """A file that is cut or overwritten is corrupt; an empty one never was an entry."""
        whole = [key for key in self.model._entries if key not in self.model.damaged]
        if whole:
            identity, parent = whole[which % len(whole)]
            self.bench.damage(identity, parent, content)
            if content:
                self.model.damaged.add((identity, parent))
            else:
                super(EscrowModel, self.model).clear(identity, frozenset({parent}))

    @invariant()
    def what_waits_is_what_the_model_says(self) -> None:
        """For each secret and as a whole, whoever looks, and the rest of every record stands."""
        self.count += 1
        escrow = self.bench.escrows[self.count % REPLICAS]
        for secret, identity in enumerate(self.identities):
            record = self.bench.writer(self.count, identity).record
            self._compare(outcome(lambda r=record: escrow.waiting(r)), outcome(lambda i=identity: self.model.found(i)))  # type: ignore[misc]
            assert record.fence == self.fences[secret]
        real, modelled = outcome(self._all_of_this_example), outcome(self.model.found)
        self._compare(real, modelled)
        assert len({escrow.place for escrow in self.bench.escrows}) == 1

    def teardown(self) -> None:
        """Leave nothing to the next example but the place."""
        for identity in self.identities:
            self.bench.writer(0, identity).change(
                lambda record: self.bench.escrows[0].without(record, frozenset(PARENTS))
            )
            self.bench.escrows[0].clear(identity, frozenset(PARENTS))

    # ------------------------------------------------------------------------------------------------- within

    def _writer(self, replica: int, secret: int, *, stale: bool) -> MemoryRecordWriter:
        if not stale:
            self.writers[replica, secret] = self.bench.writer(replica, self.identities[secret])
        return self.writers[replica, secret]

    def _write_settled(self, replica: int, secret: int, parents: frozenset[str], *, stale: bool) -> None:
        escrow = self.bench.escrows[replica]
        # What a stale writer has not seen it must read first, as `change` does for every write that conflicts: a change
        # that changes nothing in an old record is no write at all.
        writer = self._writer(replica, secret, stale=stale and not self.bench.differences.settled_by_the_record)
        writer.change(lambda record: escrow.without(record, parents))

    def _entry(self, secret: int, parent: str, kind: Any) -> SealedEntry:
        self.count += 1
        at = NOW + timedelta(seconds=self.count)
        return SealedEntry(self.identities[secret], parent, kind, f"r{self.count}", "c", at, f"sealed {self.count}")

    def _all_of_this_example(self) -> tuple[SealedEntry, ...]:
        found = self.bench.escrows[(self.count + 1) % REPLICAS].all_waiting()
        return tuple(entry for entry in found if entry.identity in self.identities)

    @staticmethod
    def _compare(real: Any, modelled: Any) -> None:
        if isinstance(modelled, RotatorError):
            assert_same_error(real, modelled)
        else:
            assert not isinstance(real, RotatorError), f"the model says {modelled!r}, the adapter {real!r}"
            assert len(set(real)) == len(real)
            assert set(real) == set(modelled)


def machine_on(bench: EscrowBench) -> Callable[[], EscrowMachine]:
    return lambda: EscrowMachine(bench)
