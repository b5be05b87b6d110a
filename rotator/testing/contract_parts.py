"""What the contract suites share."""

from __future__ import annotations

import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, TypeVar

import pytest

from rotator.model import Document

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.errors import RotatorError
    from rotator.model import Versioned
    from rotator.testing.harnesses import SecretStoreHarness

Support: TypeAlias = Literal[True] | str
"""True, or the reason why a backend has no such behaviour."""

THREADS = 8
"""Enough that an unguarded read-then-write is caught in most races, few enough for a small machine."""

TOKENS = Document({"access_token": "at-1", "refresh_token": "rt-1", "expires_at": 1_767_225_600})
CANARY = "canary-refresh-token"
"""Stands in documents where an error might quote it, and in no name."""

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


def write_id(number: int) -> str:
    """Return an id in UUID form, as the port's callers use."""
    return f"{number:08d}-0000-4000-8000-000000000000"


def created(harness: SecretStoreHarness, document: Document = TOKENS) -> tuple[str, Versioned]:
    """Create a secret under a new name; return the name and what the write returned."""
    name = harness.new_name()
    return name, harness.store.compare_and_swap(name, document, expected=None, write_id=write_id(1))


def shown(error: BaseException) -> str:
    """Return everything that a log could show of an error: its texts, its arguments and the whole chain."""
    chain: list[Any] = []
    link: BaseException | None = error
    while link is not None:
        chain.append((str(link), repr(link), link.args))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return f"{chain} {''.join(traceback.format_exception(error))}"
