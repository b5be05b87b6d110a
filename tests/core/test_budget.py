"""The provider's pacing, reserved ahead in the shared record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.budget import Budget
from rotator.cooldowns import Cooldowns
from rotator.errors import StoreUnavailable
from rotator.ledger import change_provider
from rotator.limits import Pace, RateLimit
from rotator.retrying import Retrier
from rotator.testing.memory import MemoryStateStore, SeededRandomness, VirtualClock
from tests.core.flaky import FlakyState
from tests.core.parts import NOW, at
from tests.effort import tried

KEY = "provider/p|c"
TEN_A_SECOND = RateLimit(10, 1.0)
"""Slots an eighth of a second apart: the tenth of the budget, and a tenth of the slack of a quarter of a second."""


class Replicas:
    """Budgets of several processes over one state."""

    def __init__(self, state: MemoryStateStore | None = None) -> None:
        self.clock = VirtualClock()
        self.state = state or MemoryStateStore()

    def budget(self, seed: int = 0) -> Budget:
        retrier = Retrier(self.clock, SeededRandomness(seed))
        return Budget(self.state, retrier, self.clock, Cooldowns(self.state, retrier))


def test_slots_are_evenly_spaced_from_now() -> None:
    """The first slot is now, the others follow at the interval of the budget."""
    assert Replicas().budget().reserve(KEY, TEN_A_SECOND, 3) == [at(0), at(0.125), at(0.25)]


def test_what_is_reserved_is_nobody_elses() -> None:
    """Two replicas never share a slot, and the second continues where the first one ended."""
    replicas = Replicas()
    one, other = replicas.budget(1), replicas.budget(2)
    slots = [
        *one.reserve(KEY, TEN_A_SECOND, 3),
        *other.reserve(KEY, TEN_A_SECOND, 2),
        *one.reserve(KEY, TEN_A_SECOND, 1),
    ]
    assert slots == [at(number / 8) for number in range(6)]


def test_providers_and_clients_have_budgets_of_their_own() -> None:
    """The slots of one key do not move those of another."""
    budget = Replicas().budget()
    budget.reserve(KEY, TEN_A_SECOND, 5)
    assert budget.reserve("provider/p|another", TEN_A_SECOND, 1) == [at(0)]


@pytest.mark.parametrize(
    ("limit", "wanted", "count"),
    [
        (TEN_A_SECOND, 1000, 40),  # five seconds ahead
        (RateLimit(1, 60.0), 1000, 1),  # at least one
        (RateLimit(1, 5.0), 1000, 1),
        (TEN_A_SECOND, 0, 1),
        (TEN_A_SECOND, -3, 1),
    ],
)
def test_a_reservation_reaches_five_seconds_ahead(limit: RateLimit, wanted: int, count: int) -> None:
    """What a process reserves and does not use nobody uses: at least one slot, at most five seconds of them."""
    assert len(Replicas().budget().reserve(KEY, limit, wanted)) == count


def test_slots_that_were_missed_are_not_made_up_for() -> None:
    """After a silence the next slot is now: there is no burst."""
    replicas = Replicas()
    replicas.budget().reserve(KEY, TEN_A_SECOND, 5)
    replicas.clock.advance(100)
    assert replicas.budget().reserve(KEY, TEN_A_SECOND, 2) == [at(100), at(100.125)]


def test_no_slot_lies_in_a_cooldown() -> None:
    """Promise 5: after Retry-After the first slot is the end of the pause; one that is over holds nothing back."""
    replicas = Replicas()
    budget = replicas.budget()
    for until_s in (30, -30):
        change_provider(replicas.state, KEY, budget.retrier, lambda old, s=until_s: replace(old, cooldown_until=at(s)))  # type: ignore[misc]
        assert budget.reserve(KEY, TEN_A_SECOND, 1) == [at(30 if until_s > 0 else 30.125)]
    replicas.clock.advance(60)
    assert budget.reserve(KEY, TEN_A_SECOND, 1) == [at(60)]


@pytest.mark.parametrize("fault", ["unavailable", "applied", "lost", "late"])
def test_a_reservation_whose_answer_was_lost_is_not_given_twice(fault: str) -> None:
    """A lost answer may waste slots, and never gives one to two."""
    replicas = Replicas(FlakyState(fault))  # type: ignore[arg-type]
    first = replicas.budget(1).reserve(KEY, TEN_A_SECOND, 2)
    second = replicas.budget(2).reserve(KEY, TEN_A_SECOND, 2)
    assert first[-1] < second[0]


def test_without_the_state_there_is_no_slot() -> None:
    """What cannot be reserved is not given."""
    with pytest.raises(StoreUnavailable):
        Replicas(FlakyState(*["unavailable"] * 5)).budget().reserve(KEY, TEN_A_SECOND, 1)


asks = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40), st.floats(0, 3)), min_size=2, max_size=20)


@tried(200)
@given(st.integers(1, 30), st.sampled_from([1.0, 10.0, 60.0]), asks)
def test_no_window_holds_more_than_the_budget(requests: int, per_s: float, steps: list[tuple[int, int, float]]) -> None:
    """However much is asked for by however many: any window of that length holds at most the configured count.

    Even when a request leaves as late in the slack of its slot as it may, and the later ones leave on time.
    """
    limit = RateLimit(requests, per_s)
    replicas = Replicas()
    slots = []
    for replica, wanted, passed_s in steps:
        replicas.clock.advance(round(passed_s, 6))
        found = replicas.budget(replica).reserve(KEY, limit, wanted)
        assert found[0] >= replicas.clock.now()
        slots += found
    assert slots == sorted(set(slots))
    for first, beyond in zip(slots, slots[requests:], strict=False):
        assert beyond - first >= timedelta(seconds=per_s + limit.slack_s) - timedelta(microseconds=requests)
    assert slots[0] >= NOW


limits = st.builds(RateLimit, st.integers(1, 30), st.sampled_from([0.5, 1.0, 10.0, 60.0]))


@given(st.lists(limits, min_size=1, max_size=3), st.lists(st.floats(0.0, 1.0), min_size=40, max_size=40))
def test_requests_under_several_limits_keep_to_each(several: list[RateLimit], lateness: list[float]) -> None:
    """Entries that lead to one provider and client share the pace that keeps to all their limits, in any order."""
    budget = Replicas().budget()
    for limit in [*several, None]:
        budget.learn(KEY, limit)
    pace = budget.pace(KEY)
    assert isinstance(pace, Pace)
    sent_s = [number * pace.interval_s + late * pace.slack_s for number, late in enumerate(lateness)]
    for limit in several:
        for first, beyond in zip(sent_s, sent_s[limit.requests :], strict=False):
            assert beyond - first >= limit.per_s - 1e-9


def test_without_a_limit_there_is_no_pace() -> None:
    """An entry without a limit asks for none, and does not lift another's."""
    budget = Replicas().budget()
    budget.learn(KEY, None)
    assert budget.pace(KEY) is None
    budget.learn(KEY, TEN_A_SECOND)
    budget.learn(KEY, None)
    assert budget.pace(KEY) == Pace(TEN_A_SECOND.interval_s, TEN_A_SECOND.slack_s)
