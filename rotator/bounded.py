"""Work that is waited for no longer than a given time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def bounded(work: Callable[[], object], within_s: float) -> bool:
    """Do the work in a thread of its own; return whether it was done in time.

    Nothing is done, and not in time, where the system allows no further thread.

    What is not done by then goes on, and ends with the process: for work that nothing depends on, whose libraries have
    deadlines for parts of it only. Name resolution has none at all.

    Raises:
        Exception: What the work raised.
    """
    raised: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits
            raised.append(error)

    thread = threading.Thread(target=run, name="bounded", daemon=True)
    if not started(thread):
        return False
    thread.join(max(0.0, within_s))
    if raised:
        raise raised[0]
    return not thread.is_alive()


def started(thread: threading.Thread) -> bool:
    """Start a thread; return whether the system allowed it. A container's limit of processes counts threads, too."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True
