"""Retries of what was surely not applied: the only use of tenacity."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rotator.errors import RotatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.ports import Clock, Randomness

Result = TypeVar("Result")

ATTEMPTS = 5
"""Together with the waits some eight seconds: long enough for a fail-over of a store's node, short enough to leave
the credential to a later pass when the store is really down."""

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 4.0


class Retrier:
    """Repeats a call that failed in a way that makes a repetition safe (`RotatorError.then == "retry"`).

    The waits grow twofold with full jitter from the injected randomness; tenacity's own random waits and its
    `stop_after_delay` read the global clock and random generator and are not used.
    """

    def __init__(self, clock: Clock, randomness: Randomness, *, attempts: int = ATTEMPTS) -> None:
        self._clock = clock
        self._randomness = randomness
        self._attempts = attempts

    def call(self, function: Callable[[], Result]) -> Result:
        """Return what `function` returns.

        Raises:
            RotatorError: The last failure, when the attempts are used up; any other failure at once.
        """
        try:
            return function()
        except RotatorError as error:
            if error.then != "retry" or self._attempts == 1:
                raise
        self._clock.sleep(self._wait_s(1))
        return self._again(function)

    def _again(self, function: Callable[[], Result]) -> Result:
        # Imported when something failed: tenacity pulls asyncio, and its machinery would cost every call that works
        # more than the call's own share of the processor.
        from tenacity import Retrying, retry_if_exception, stop_after_attempt  # noqa: PLC0415 - as said above

        retrying = Retrying(
            sleep=self._clock.sleep,
            stop=stop_after_attempt(self._attempts - 1),
            wait=lambda state: self._wait_s(state.attempt_number + 1),
            retry=retry_if_exception(lambda error: isinstance(error, RotatorError) and error.then == "retry"),
            reraise=True,
        )
        return retrying(function)

    def _wait_s(self, failures: int) -> float:
        ceiling = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (failures - 1))
        return self._randomness.uniform(0.0, ceiling)
