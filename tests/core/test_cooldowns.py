"""The pauses that providers ask for: shared through the state, remembered in memory when it does not answer."""

from __future__ import annotations

import pytest

from rotator.cooldowns import Cooldowns
from rotator.errors import StoreUnavailable
from rotator.ledger import read_provider
from rotator.retrying import Retrier
from rotator.testing.memory import MemoryStateStore, SeededRandomness, VirtualClock
from tests.core.flaky import FlakyState
from tests.core.parts import at

KEY = "provider/p|c"


def over(state: MemoryStateStore) -> Cooldowns:
    return Cooldowns(state, Retrier(VirtualClock(), SeededRandomness()))


def shared(state: MemoryStateStore) -> object:
    return read_provider(state, KEY, Retrier(VirtualClock(), SeededRandomness()))[0].cooldown_until


def test_a_cooldown_is_known_to_every_replica() -> None:
    """What one notes the other reads."""
    state = MemoryStateStore()
    over(state).note(KEY, at(60), "429")
    record = over(state).record(KEY)
    assert (record.cooldown_until, record.reason) == (at(60), "429")


@pytest.mark.parametrize(("first_s", "second_s"), [(600, 30), (30, 600), (30, 30)])
@pytest.mark.parametrize("down", [0, 5, 10])
def test_a_cooldown_is_never_shortened(first_s: float, second_s: float, down: int) -> None:
    """Of two the later end counts, whether or not the state took them."""
    state = FlakyState(*["unavailable"] * down)
    cooldowns = over(state)
    cooldowns.note(KEY, at(first_s), "first")
    cooldowns.note(KEY, at(second_s), "second")
    assert cooldowns.record(KEY).cooldown_until == at(max(first_s, second_s))


def test_a_cooldown_that_could_not_be_written_is_written_with_the_next_look() -> None:
    """The process that was told keeps to it at once, and tells the others as soon as the state answers."""
    state = FlakyState(*["unavailable"] * 10)
    cooldowns = over(state)
    cooldowns.note(KEY, at(60), "429")
    assert shared(state) is None
    assert cooldowns.record(KEY).cooldown_until == at(60)
    assert shared(state) is None
    assert cooldowns.record(KEY).cooldown_until == at(60)
    assert shared(state) == at(60)
    writes = state.script.writes
    assert cooldowns.record(KEY).cooldown_until == at(60)
    assert state.script.writes == writes


def test_without_the_state_there_is_no_answer() -> None:
    """What cannot be read is not guessed."""
    state = MemoryStateStore()

    def down(_: str) -> None:
        raise StoreUnavailable("no answer")

    state.read = down  # type: ignore[method-assign, assignment]
    cooldowns = over(state)
    cooldowns.note(KEY, at(60), "429")
    with pytest.raises(StoreUnavailable):
        cooldowns.record(KEY)


def test_a_read_that_began_before_a_note_does_not_hide_it() -> None:
    """Promise 5: a thread that reads the record while another one is told to wait learns of that."""
    state = MemoryStateStore()
    cooldowns = over(state)
    cooldowns.note(KEY, at(1), "429 of yesterday")
    real = state.read

    def told_meanwhile(key: str) -> object:
        found = real(key)
        state.read = real  # type: ignore[method-assign]
        cooldowns.note(KEY, at(3600), "429")
        return found

    state.read = told_meanwhile  # type: ignore[method-assign, assignment]
    assert cooldowns.record(KEY).cooldown_until == at(3600)
    assert cooldowns.known(KEY) == at(3600)
    assert shared(state) == at(3600)
