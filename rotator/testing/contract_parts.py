"""What the contract suites share."""

from __future__ import annotations

import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.errors import RotatorError

Support: TypeAlias = Literal[True] | str
"""True, or the reason why a backend has no such behaviour."""

THREADS = 8
"""Enough that an unguarded read-then-write is caught in most races, few enough for a small machine."""

_Result = TypeVar("_Result")


def need(supported: Support) -> None:
    """Skip the running test with the adapter's own reason, if it gives one."""
    if supported is not True:
        pytest.skip(supported)


def cannot_show(reason: str) -> NoReturn:
    """Skip the running test: the harness cannot bring the backend into the state that the test looks at."""
    pytest.skip(reason)


def race(
    call: Callable[[int], _Result], *, loses: type[RotatorError] | tuple[()] = (), threads: int = THREADS
) -> tuple[list[_Result], int]:
    """Run `call(0)`, `call(1)` … at the same moment, each on its own thread.

    Args:
        loses: The error that a loser raises; any other is raised here.

    Returns:
        What the winners returned, and how many lost.
    """
    together = threading.Barrier(threads)

    def run(number: int) -> list[_Result]:
        together.wait(timeout=60)
        try:
            return [call(number)]
        except loses:
            return []

    with ThreadPoolExecutor(threads) as pool:
        outcomes = list(pool.map(run, range(threads)))
    return [result for outcome in outcomes for result in outcome], outcomes.count([])


def shown(error: BaseException) -> str:
    """Return everything that a log could show of an error: its texts, its arguments and the whole chain."""
    chain: list[Any] = []
    link: BaseException | None = error
    while link is not None:
        chain.append((str(link), repr(link), link.args))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return f"{chain} {''.join(traceback.format_exception(error))}"
