"""The pauses that providers ask for: shared through the state, remembered in memory when it does not answer."""

from __future__ import annotations

import pytest

from rotator import slowdown
from rotator.cooldowns import Cooldowns
from rotator.errors import StoreUnavailable
from rotator.ledger import read_provider
from rotator.limits import RateLimit, Told
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


# ------------------------------------------------------------------------------------------------- limits


def test_a_slowdown_is_shared_and_grows_from_what_another_replica_was_told() -> None:
    """Two replicas are told "too many" one after the other: the second doubles the first one's spacing."""
    state = MemoryStateStore()
    one, other = over(state), over(state)
    one.note_limited(KEY, at(1), "429", now=at(0), base_s=1.0)
    other.note_limited(KEY, at(21), "429", now=at(20), base_s=1.0)
    assert other.pace(KEY, at(20)) == slowdown.pace(4.0)
    one.record(KEY)
    assert one.pace(KEY, at(20)) == slowdown.pace(4.0)


def test_a_slowdown_that_the_state_does_not_take_counts_here_and_is_written_later() -> None:
    """The process that was told goes by it at once; the others as soon as the state answers."""
    state = FlakyState(*["unavailable"] * 5)
    cooldowns = over(state)
    cooldowns.note_limited(KEY, at(1), "429", now=at(0), base_s=0.0)
    assert cooldowns.pace(KEY, at(0)) == slowdown.pace(slowdown.FIRST_S)
    cooldowns.flush()
    reader = over(state)
    reader.record(KEY)
    assert reader.pace(KEY, at(0)) == slowdown.pace(slowdown.FIRST_S)


def test_a_written_slowdown_is_not_noted_twice() -> None:
    """An answer of the state that is lost leads to one doubling, and not to two."""
    state = FlakyState("applied", "lost")
    cooldowns = over(state)
    cooldowns.note_limited(KEY, at(1), "429", now=at(0), base_s=1.0)
    assert cooldowns.pace(KEY, at(0)) == slowdown.pace(2.0)


def test_what_the_provider_says_is_left_is_not_exceeded() -> None:
    """Of three that are left none may begin beside three on their way; when the window ends, all may."""
    cooldowns = over(MemoryStateStore())
    cooldowns.sending(KEY)
    cooldowns.answered(KEY, Told(3, 60.0), at(0))
    assert cooldowns.opens_at(KEY, at(1), begun=2) is None
    assert cooldowns.opens_at(KEY, at(1), begun=3) == at(60)
    for _ in range(3):
        cooldowns.sending(KEY)
    assert cooldowns.opens_at(KEY, at(1), begun=3) == at(60)
    cooldowns.answered(KEY, None, at(2))  # an answer that says nothing leaves what was said
    assert cooldowns.opens_at(KEY, at(2), begun=2) == at(60)
    assert cooldowns.opens_at(KEY, at(60), begun=2) is None


def test_what_is_on_its_way_was_not_counted_by_the_provider() -> None:
    """Two requests left while an answer that leaves five was on its way: three remain."""
    cooldowns = over(MemoryStateStore())
    for _ in range(3):
        cooldowns.sending(KEY)
    cooldowns.answered(KEY, Told(5, 60.0), at(0))
    assert cooldowns.opens_at(KEY, at(1), begun=2 + 2) is None
    assert cooldowns.opens_at(KEY, at(1), begun=2 + 3) == at(60)


def test_a_limit_that_the_provider_states_becomes_the_pace() -> None:
    """A hundred a minute; one that asks for a day between requests is taken for a minute, for limits lie."""
    cooldowns = over(MemoryStateStore())
    for limit, expected_s in ((RateLimit(100, 60.0), 0.65), (RateLimit(1, 86_400.0), slowdown.LONGEST_S)):
        cooldowns.sending(KEY)
        cooldowns.answered(KEY, Told(limit=limit), at(0))
        pace = cooldowns.pace(KEY, at(0))
        assert pace is not None
        assert pace.interval_s == pytest.approx(expected_s)


def test_a_new_configuration_goes_by_what_the_old_one_was_told() -> None:
    """A reload forgets neither a slowdown nor what is left."""
    before, after = over(MemoryStateStore()), over(MemoryStateStore())
    before.note_limited(KEY, at(1), "429", now=at(0), base_s=0.0)
    before.sending(KEY)
    before.answered(KEY, Told(1, 60.0), at(0))
    after.take_over(before)
    assert after.pace(KEY, at(0)) == slowdown.pace(slowdown.FIRST_S)
    assert after.opens_at(KEY, at(0), begun=1) == at(60)
