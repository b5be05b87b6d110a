"""The in-memory adapters keep the contract, and the virtual parts are deterministic."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, NoReturn

import pytest

from rotator.audit.events import AuditEvent
from rotator.errors import VersionConflict
from rotator.records import Grant
from rotator.testing.contracts import (
    EscrowContract,
    EscrowHarness,
    SecretStoreContract,
    SecretStoreHarness,
    StateStoreContract,
    StateStoreHarness,
    cannot_show,
    race,
)
from rotator.testing.memory import (
    EPOCH,
    MemoryAudit,
    MemoryEscrow,
    MemoryRecordWriter,
    MemorySecretStore,
    MemoryStateStore,
    SeededRandomness,
    SequentialIds,
    VirtualClock,
)

if TYPE_CHECKING:
    from rotator.records import StateRecord

ALWAYS_THERE = "memory is always there, and holds anything"


class Memory:
    """What both stores in memory cannot show."""

    def missing_store(self) -> NoReturn:
        cannot_show(ALWAYS_THERE)

    def denied_store(self) -> NoReturn:
        cannot_show(ALWAYS_THERE)

    def unreachable_store(self) -> NoReturn:
        cannot_show(ALWAYS_THERE)


class SecretsInMemory(Memory, SecretStoreHarness):
    def __init__(self) -> None:
        self.store = self.memory = MemorySecretStore("main", VirtualClock())
        self.ids = SequentialIds()

    def new_name(self) -> str:
        return f"oauth/{self.ids.new_id()}"

    def raw_set(self, secret: str, content: str | bytes) -> None:
        self.memory.raw_put(secret, content)

    def raw_get(self, secret: str) -> str | bytes:
        return self.memory.raw_get(secret)

    def raw_delete(self, secret: str) -> None:
        self.memory.raw_delete(secret)

    def raw_label(self, secret: str, labels: dict[str, str]) -> None:
        self.memory.raw_label(secret, labels)

    def reopened(self) -> MemorySecretStore:
        return self.memory

    def damage(self, secret: str) -> NoReturn:
        cannot_show(ALWAYS_THERE)

    def refused_document(self) -> NoReturn:
        cannot_show(ALWAYS_THERE)


class TestMemorySecretStore(SecretStoreContract):
    @pytest.fixture
    def harness(self) -> SecretsInMemory:
        return SecretsInMemory()

    def test_created_at_is_the_virtual_time(self) -> None:
        """A version carries the clock's reading at its write."""
        clock = VirtualClock()
        store = MemorySecretStore("main", clock)
        clock.advance(90)
        store.raw_put("a", "{}")
        clock.advance(90)
        assert store.read("a").created_at == EPOCH + timedelta(seconds=90)

    def test_a_name_that_was_deleted_never_repeats_a_version(self) -> None:
        """A secret that is created anew continues the numbers, so that an old expectation cannot match."""
        store = MemorySecretStore("main", VirtualClock())
        store.raw_put("a", "{}")
        store.raw_delete("a")
        store.raw_put("a", "{}")
        assert store.versions(["a"])["a"].version == "2"


class StateInMemory(Memory, StateStoreHarness):
    def __init__(self) -> None:
        self.store = self.memory = MemoryStateStore()

    def reopened(self) -> MemoryStateStore:
        return self.memory

    def damage(self, key: str) -> None:
        self.memory.raw_put(key, "{cut")

    def refused_body(self) -> NoReturn:
        cannot_show(ALWAYS_THERE)


class TestMemoryStateStore(StateStoreContract):
    @pytest.fixture
    def harness(self) -> StateInMemory:
        return StateInMemory()

    def test_it_can_pass_for_a_private_one(self) -> None:
        """`shared` is what the test says, True by default."""
        assert MemoryStateStore().shared
        assert not MemoryStateStore(shared=False).shared


class EscrowInMemory(EscrowHarness):
    def __init__(self, *, shared: bool) -> None:
        self.escrow = MemoryEscrow("memory", shared=shared)
        self.state = MemoryStateStore()

    def writer(self, identity: str) -> MemoryRecordWriter:
        return MemoryRecordWriter(self.state, f"secret/{identity}", identity)

    def reopened(self) -> MemoryEscrow:
        return self.escrow

    def damage(self, identity: str) -> NoReturn:
        cannot_show(ALWAYS_THERE)

    def broken(self) -> NoReturn:
        cannot_show(ALWAYS_THERE)


class TestMemoryEscrow(EscrowContract):
    @pytest.fixture(params=[False, True], ids=["private", "shared"])
    def harness(self, request: pytest.FixtureRequest) -> EscrowInMemory:
        return EscrowInMemory(shared=request.param)


# ---------------------------------------------------------------------------------------------------- record writer


def with_fence(fence: int) -> StateRecord:
    from rotator.records import StateRecord

    return StateRecord("memory:main#a", fence=fence)


def test_a_record_writer_applies_its_change_to_the_newest_record() -> None:
    """After a conflict the change is applied again, to what the other writer left."""
    state = MemoryStateStore()
    slow = MemoryRecordWriter(state, "secret/a", "memory:main#a")
    MemoryRecordWriter(state, "secret/a", "memory:main#a").change(lambda _: with_fence(5))
    slow.change(lambda record: with_fence(record.fence + 1))
    assert slow.record == MemoryRecordWriter(state, "secret/a", "memory:main#a").record == with_fence(6)


def test_a_record_writer_does_not_write_what_changes_nothing() -> None:
    """A change that returns an equal record leaves the revision alone."""
    state = MemoryStateStore()
    writer = MemoryRecordWriter(state, "secret/a", "memory:main#a")
    writer.change(lambda record: record)
    assert state.read("secret/a") == (None, 0)


def test_a_record_writer_keeps_every_field() -> None:
    """What is written comes back as the record it was."""
    from rotator.records import Done, StateRecord

    record = StateRecord("memory:main#a", fence=3, grant=Grant("d", EPOCH), history=(Done("r", EPOCH, "1", "2"),))
    state = MemoryStateStore()
    MemoryRecordWriter(state, "secret/a", "memory:main#a").change(lambda _: record)
    assert MemoryRecordWriter(state, "secret/a", "memory:main#a").record == record


# ------------------------------------------------------------------------------------------- clock, ids, randomness


def test_virtual_time_passes_only_by_sleeping_and_advancing() -> None:
    """Both clocks move by exactly what was slept or advanced, and by nothing for zero or less."""
    clock = VirtualClock()
    clock.sleep(1.5)
    clock.sleep(0)
    clock.sleep(-3)
    clock.advance(58.5)
    assert clock.monotonic_s() == 60.0
    assert clock.now() == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def test_virtual_time_is_in_utc_wherever_it_starts() -> None:
    """A start in another zone reads as the same instant in UTC."""
    start = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    now = VirtualClock(start).now()
    assert now == start
    assert now.utcoffset() == timedelta(0)


def test_virtual_time_does_not_go_back() -> None:
    """Advancing by a negative number is refused."""
    with pytest.raises(ValueError, match="does not go back"):
        VirtualClock().advance(-1)


def test_virtual_time_adds_up_over_threads() -> None:
    """Sleeps of many threads lose no second."""
    clock = VirtualClock()
    race(lambda _: [clock.sleep(1) for _ in range(200)])
    assert clock.monotonic_s() == 1600


def test_ids_are_uuids_that_count_up_and_differ_between_series() -> None:
    """Ids have UUID form, never repeat, and are the same in every run."""
    ids, other = SequentialIds(), SequentialIds(series=1)
    first, second = ids.new_id(), ids.new_id()
    assert first == "00000001-0000-4000-8000-000000000000"
    assert len({first, second, other.new_id(), other.new_id()}) == 4
    assert str(uuid.UUID(second)) == second


def test_randomness_follows_from_the_seed() -> None:
    """The same seed draws the same numbers, another seed others, all inside the bounds."""

    def drawn(seed: int) -> list[float]:
        randomness = SeededRandomness(seed)
        return [randomness.uniform(2.0, 3.0) for _ in range(50)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert all(2.0 <= number < 3.0 for number in drawn(1))
    assert max(drawn(1)) - min(drawn(1)) > 0.8


def test_the_audit_sink_keeps_events_in_order() -> None:
    """Recorded events stand in `events`, oldest first."""
    audit = MemoryAudit()
    for number in (1, 2):
        audit.record(AuditEvent("rotation.started", str(number), EPOCH, "payroll-export", "dailypay", "main", {}))
    assert [event.event_id for event in audit.events] == ["1", "2"]


def test_a_race_tells_winners_from_losers_and_hides_no_other_error() -> None:
    """`race` counts the expected error as a loss and raises any other."""

    def one_wins(number: int) -> int:
        if number:
            raise VersionConflict("x", expected=None)
        return number

    assert race(one_wins, loses=VersionConflict) == ([0], 7)
    with pytest.raises(VersionConflict):
        race(one_wins)
