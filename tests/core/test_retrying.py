"""Retries of what was surely not applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rotator.errors import (
    AuditUnavailable,
    EscrowUnavailable,
    RotatorError,
    StoreCorrupt,
    StoreDenied,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.retrying import ATTEMPTS, Retrier
from rotator.testing.memory import SeededRandomness, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable


class Highest:
    """Draws the upper bound and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []

    def uniform(self, low: float, high: float) -> float:
        self.asked.append((low, high))
        return high


def failing(times: int, error: Callable[[], BaseException]) -> tuple[Callable[[], str], list[int]]:
    calls: list[int] = []

    def function() -> str:
        calls.append(len(calls))
        if len(calls) <= times:
            raise error()
        return "done"

    return function, calls


@pytest.mark.parametrize("error", [StoreUnavailable, EscrowUnavailable, AuditUnavailable])
def test_what_was_surely_not_applied_is_repeated(error: type[RotatorError]) -> None:
    """An error that makes a repetition safe is repeated until the call succeeds."""
    function, calls = failing(ATTEMPTS - 1, lambda: error("busy"))
    assert Retrier(VirtualClock(), SeededRandomness()).call(function) == "done"
    assert len(calls) == ATTEMPTS


@pytest.mark.parametrize(
    "error",
    [
        lambda: StoreDenied("no"),
        lambda: StoreCorrupt("no"),
        lambda: StoreWriteInDoubt("perhaps"),
        lambda: VersionConflict("there", expected=1),
        lambda: ValueError("a defect"),
        KeyboardInterrupt,
    ],
)
def test_everything_else_is_raised_at_once(error: Callable[[], BaseException]) -> None:
    """A write in doubt, a conflict, a refusal and a defect are never repeated blindly."""
    function, calls = failing(1, error)
    clock = VirtualClock()
    with pytest.raises(type(error())):
        Retrier(clock, SeededRandomness()).call(function)
    assert len(calls) == 1
    assert clock.monotonic_s() == 0


def test_giving_up_raises_the_last_failure() -> None:
    """When the attempts are used up the failure itself is raised, never a value and never a wrapper."""
    raised: list[StoreUnavailable] = []

    def function() -> str:
        raised.append(StoreUnavailable(f"failure {len(raised)}"))
        raise raised[-1]

    with pytest.raises(StoreUnavailable) as error:
        Retrier(VirtualClock(), SeededRandomness(), attempts=3).call(function)
    assert error.value is raised[-1]
    assert len(raised) == 3


@pytest.mark.parametrize(
    "second", [StoreDenied("no"), StoreWriteInDoubt("perhaps"), VersionConflict("there", expected=1)]
)
def test_a_failure_of_another_kind_ends_the_retries(second: RotatorError) -> None:
    """A repetition that is refused, or is itself in doubt, is not repeated again."""
    errors = iter([StoreUnavailable("busy"), second, StoreUnavailable("busy")])

    def function() -> str:
        raise next(errors)

    with pytest.raises(type(second)):
        Retrier(VirtualClock(), SeededRandomness()).call(function)
    assert len(list(errors)) == 1


def test_one_attempt_is_one_call() -> None:
    """Without repetitions there is no wait."""
    clock = VirtualClock()
    function, calls = failing(1, lambda: StoreUnavailable("busy"))
    with pytest.raises(StoreUnavailable):
        Retrier(clock, SeededRandomness(), attempts=1).call(function)
    assert len(calls) == 1
    assert clock.monotonic_s() == 0


def test_the_waits_double_up_to_a_bound_and_are_slept_on_the_injected_clock() -> None:
    """Full jitter from the injected randomness: between zero and 0.25, 0.5, 1, 2, 4, 4 … seconds."""
    clock, highest = VirtualClock(), Highest()
    function, _ = failing(7, lambda: StoreUnavailable("busy"))
    assert Retrier(clock, highest, attempts=8).call(function) == "done"
    assert highest.asked == [(0.0, ceiling) for ceiling in (0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0)]
    assert clock.monotonic_s() == 15.75


def test_five_attempts_take_less_than_four_seconds_of_waiting() -> None:
    """With the default, a store that is down costs four waits and no more."""
    clock, highest = VirtualClock(), Highest()
    function, calls = failing(99, lambda: StoreUnavailable("busy"))
    with pytest.raises(StoreUnavailable):
        Retrier(clock, highest).call(function)
    assert len(calls) == 5
    assert clock.monotonic_s() == 3.75
