"""Python's collector of cycles, out of the way of a start."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Collect no cycles for the length of the block, and look for none later in what it left.

    Imports make some hundred thousand objects that stay, and the collector goes through them again and again to find
    nothing: an eighth of the time of a start, and a pause of every daemon from then on. What the block leaves in cycles
    stays for good: not for work that is repeated. For one thread: two blocks at once end with the first.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()
