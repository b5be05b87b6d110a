"""One record in hand: pure changes by compare-and-swap, whatever happens to a write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rotator.errors import LeaseHeld, StoreCorrupt, StoreDenied, StoreUnavailable
from rotator.ledger import CONFLICTS, SecretLedger, change_provider, provider_key, read_provider, secret_key
from rotator.record_changes import claim, release, take_lease, with_done
from rotator.records import Claim, Done, ProviderRecord, StateRecord
from rotator.retrying import Retrier
from rotator.testing.memory import MemoryStateStore, SeededRandomness, VirtualClock
from tests.core.flaky import FlakyState
from tests.core.parts import NOW, at

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "provider/p"


def retrier() -> Retrier:
    return Retrier(VirtualClock(), SeededRandomness())


def ledger(state: MemoryStateStore) -> SecretLedger:
    found = SecretLedger(state, "i", retrier())
    found.load()
    return found


def stored(state: MemoryStateStore) -> StateRecord:
    return ledger(state).record


def done(name: str) -> Callable[[StateRecord], StateRecord]:
    return lambda record: with_done(record, Done(name, NOW, "1", "2"))


def claiming(rotation_id: str = "r1", holder: str = "me") -> Callable[[StateRecord], StateRecord]:
    new = Claim("d" * 32, rotation_id, NOW, holder)
    return lambda record: claim(record, new, again=False, any_tries=False, lease=at(60))


def names(record: StateRecord) -> list[str]:
    return [one.rotation_id for one in record.history]


def interferes(state: MemoryStateStore, name: str) -> Callable[[], None]:
    """Return an act that writes the record through another ledger."""

    def act() -> None:
        other = SecretLedger(MirrorOf(state), "i", retrier())
        other.load()
        other.change(done(name))

    return act


class MirrorOf(MemoryStateStore):
    """The same records without the script."""

    def __init__(self, state: MemoryStateStore) -> None:
        super().__init__()
        self._lock, self._records = state._lock, state._records


def test_a_change_is_written_and_returned() -> None:
    """The record in hand is what the store holds."""
    state = MemoryStateStore()
    one = ledger(state)
    assert names(one.change(done("r1"))) == ["r1"]
    assert one.record == stored(state)
    assert one.change(done("r2")) == stored(state)


def test_nothing_is_written_when_nothing_changes() -> None:
    """A change without effect costs no write."""
    state = FlakyState()
    one = ledger(state)
    one.change(done("r1"))
    one.change(done("r1"))
    assert state.script.writes == 1


def test_a_conflict_applies_the_change_to_the_newer_record() -> None:
    """After a lost race nothing of the other writer is lost, and the change is applied to what is there now."""
    state = FlakyState()
    one = ledger(state)
    state.script.steps.extend([interferes(state, "other"), interferes(state, "another")])
    assert names(one.change(done("mine"))) == ["other", "another", "mine"]
    assert one.record == stored(state)


@pytest.mark.parametrize("fault", ["unavailable", "applied", "lost", "late"])
def test_a_change_whose_answer_was_lost_counts_once(fault: str) -> None:
    """Applied, not applied or landed late: the record ends as if the write had been answered."""
    state = FlakyState(fault)  # type: ignore[arg-type]
    one = ledger(state)
    assert names(one.change(done("r1"))) == ["r1"]
    assert names(stored(state)) == ["r1"]
    assert one.record == stored(state)
    assert names(one.change(done("r2"))) == ["r1", "r2"]


@pytest.mark.parametrize("fault", ["unavailable", "applied", "lost", "late"])
def test_a_claim_whose_answer_was_lost_is_ones_own(fault: str) -> None:
    """Promise 1: a claim in doubt ends as exactly one claim with one try, and its lease is in hand."""
    state = FlakyState(fault)  # type: ignore[arg-type]
    record = ledger(state).change(claiming())
    assert [one.tries for one in record.presented] == [1]
    assert record.lease
    assert record.lease.holder == "me"
    assert record == stored(state)


def test_a_claim_in_doubt_that_another_won_is_refused() -> None:
    """When the write was not applied and another replica claimed meanwhile, the lease names it."""
    state = FlakyState("lost")

    def other() -> None:
        SecretLedger(MirrorOf(state), "i", retrier()).change(claiming("r2", "other"))

    one = ledger(state)
    state.script.steps.append(other)
    with pytest.raises(LeaseHeld):
        one.change(claiming())
    assert [found.holder for found in stored(state).presented] == ["other"]


def test_a_write_that_was_applied_and_overtaken_is_applied_to_what_is_there() -> None:
    """In doubt, applied, and changed by another before the comparison: the change finds its own effect."""
    state = FlakyState("applied")
    one = ledger(state)
    real = state.read

    def read(key: str) -> object:
        if state.script.writes == 1:
            state.script.writes += 1
            interferes(state, "other")()
        return real(key)

    state.read = read  # type: ignore[method-assign, assignment]
    assert names(one.change(done("mine"))) == ["mine", "other"]
    assert state.script.writes == 2


def test_endless_conflicts_give_up() -> None:
    """A record that changes under every write is left to a later run, and nothing of ours is in it."""
    state = FlakyState()
    one = ledger(state)
    state.script.steps.extend(interferes(state, f"r{number}") for number in range(CONFLICTS + 5))
    with pytest.raises(StoreUnavailable) as error:
        one.change(done("mine"))
    assert "changes without end" in error.value.message
    assert state.script.writes == CONFLICTS
    assert "mine" not in names(stored(state))


def test_a_refused_change_leaves_the_record_as_it_is() -> None:
    """What the change itself raises passes through; nothing is written."""
    state = FlakyState()
    ledger(state).change(lambda record: take_lease(record, holder="other", now=NOW, expires_at=at(60)))
    with pytest.raises(LeaseHeld):
        ledger(state).change(claiming())
    assert state.script.writes == 1


def test_a_store_that_is_down_raises_after_the_retries() -> None:
    """Five writes that surely were not applied end as the store's own error."""
    state = FlakyState(*["unavailable"] * 5)
    with pytest.raises(StoreUnavailable):
        ledger(state).change(done("r1"))
    assert state.script.writes == 5
    assert stored(state) == StateRecord("i")


def test_a_store_that_refuses_is_asked_once() -> None:
    """A denial is passed on at once."""
    state = FlakyState()

    def denied() -> None:
        raise StoreDenied("no")

    state.script.steps.append(denied)
    with pytest.raises(StoreDenied):
        ledger(state).change(done("r1"))
    assert state.script.writes == 1


def test_a_corrupt_record_is_not_overwritten() -> None:
    """What cannot be read stops the ledger: forgotten claims would let a token be spent twice."""
    state = FlakyState()
    state.raw_put(secret_key("i"), '{"format": 9}')
    with pytest.raises(StoreCorrupt):
        ledger(state)
    assert state.script.writes == 0


def test_a_record_that_was_deleted_stops_the_ledger() -> None:
    """A state store that remembers the deletion tells that claims are forgotten; nothing is presented then."""
    state = MemoryStateStore()
    state.read = lambda key: (None, 3)  # type: ignore[method-assign]
    with pytest.raises(StoreCorrupt) as error:
        ledger(state)
    assert "was deleted" in error.value.message


def test_releasing_after_a_lost_answer_keeps_the_fence() -> None:
    """A release that landed late does not take a later lease away."""
    state = FlakyState("ok", "late")
    one = ledger(state)
    one.change(claiming())
    record = one.change(lambda record: release(record, 1))
    assert (record.lease, record.fence) == (None, 1)


# --------------------------------------------------------------------------------------------- provider's record


def test_keys_are_apart_by_kind_and_client() -> None:
    """Two clients of one endpoint have two records; no client is a client of its own."""
    assert secret_key("arn:x") == "secret/arn:x"
    assert provider_key("https://e/t", "c") == "provider/https://e/t|c"
    assert provider_key("https://e/t", None) == "provider/https://e/t|"


def test_a_key_does_not_hold_what_stands_in_an_endpoints_query() -> None:
    """Promise 7: a query may be an API key. Two queries have two records, whose keys and errors show neither."""
    keys = {provider_key(f"https://e/t{query}", "c") for query in ("", "?code=canary-1", "?code=canary-2")}
    state = FlakyState()
    for key in keys:
        state.raw_put(key, '{"format": 7}')
        with pytest.raises(StoreCorrupt, match="https://e/t") as failure:
            read_provider(state, key, retrier())
        assert "canary" not in f"{key} {failure.value}"
    assert len(keys) == 3


@pytest.mark.parametrize("fault", ["unavailable", "applied", "lost", "late"])
def test_a_providers_record_survives_a_lost_answer(fault: str) -> None:
    """The same for the record that replicas share: the change is in it at the end."""
    state = FlakyState(fault)  # type: ignore[arg-type]
    record = change_provider(state, KEY, retrier(), lambda old: replace(old, cooldown_until=at(9)))
    assert record.cooldown_until == at(9)
    assert read_provider(state, KEY, retrier())[0] == record


def test_a_providers_record_that_need_not_change_is_not_written() -> None:
    """A change without effect costs no write."""
    state = FlakyState()
    assert change_provider(state, KEY, retrier(), lambda old: old) == ProviderRecord(KEY)
    assert state.script.writes == 0


def test_endless_conflicts_over_a_providers_record_give_up() -> None:
    """The same bound holds there."""
    state = FlakyState()
    clean = MirrorOf(state)
    numbers = iter(range(100))

    def other() -> None:
        change_provider(clean, KEY, retrier(), lambda old: replace(old, reason=str(next(numbers))))

    state.script.steps.extend([other] * (CONFLICTS + 1))
    with pytest.raises(StoreUnavailable):
        change_provider(state, KEY, retrier(), lambda old: replace(old, cooldown_until=at(9)))
    assert read_provider(state, KEY, retrier())[0].cooldown_until is None
