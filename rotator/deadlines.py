"""Refreshes that wait under one budget: which starts next, and how long that can wait without anybody being late.

Pure. This is `rotator.schedule.latest_starts`, kept up to date: each start is when the refresh falls due, or one
interval before the start of the one that follows by deadline, whichever is earlier. Written out, the start of the
first is the least of `due - position * interval` over all that wait, and nobody starts before the first. So a block of
neighbours by deadline needs to know only that least value, its own positions counted from 0: a change costs a walk
through one block, and the next start a walk over the blocks, where working all starts out anew cost a walk through
the fleet for every refresh.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from operator import itemgetter
from typing import TypeAlias

BLOCK = 256
"""Refreshes in a block before it is cut in two: about the square root of a fleet of 100,000."""

Waiting: TypeAlias = tuple[float, str, float]
"""Deadline, name and due time; instants as epoch seconds, which take a third of the room of a datetime."""

_by_order = itemgetter(0, 1)


class DeadlineQueue:
    """For one thread. Instants are epoch seconds.

    Args:
        interval_s: The spacing of starts that the budget allows.
    """

    __slots__ = ("_blocks", "_count", "_firsts", "_leasts", "_start", "interval_s")

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._blocks: list[list[Waiting]] = []
        self._firsts: list[tuple[float, str]] = []
        self._leasts: list[float | None] = []
        self._start: float | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def pace(self, interval_s: float) -> None:
        """Go by another spacing from now on."""
        if interval_s != self.interval_s:
            self.interval_s = interval_s
            self._leasts = [None] * len(self._blocks)
            self._start = None

    def add(self, name: str, *, due: float, deadline: float) -> None:
        """Let a refresh wait. A name waits once; `remove` it before it is added again."""
        order = (deadline, name)
        index = max(0, bisect_right(self._firsts, order) - 1)
        if not self._blocks:
            self._blocks.append([])
            self._firsts.append(order)
            self._leasts.append(None)
        block = self._blocks[index]
        insort(block, (deadline, name, due), key=_by_order)
        self._count += 1
        if len(block) > 2 * BLOCK:
            self._blocks[index : index + 1] = [block[:BLOCK], block[BLOCK:]]
            self._firsts.insert(index + 1, _by_order(block[BLOCK]))
            self._leasts.insert(index + 1, None)
        self._firsts[index] = _by_order(self._blocks[index][0])
        self._leasts[index] = self._start = None

    def remove(self, name: str, *, deadline: float) -> None:
        """Take a refresh out.

        Raises:
            KeyError: None of that name waits for that deadline.
        """
        order = (deadline, name)
        index = bisect_right(self._firsts, order) - 1
        block = self._blocks[index] if index >= 0 else []
        position = bisect_left(block, order, key=_by_order)
        if position == len(block) or _by_order(block[position]) != order:
            raise KeyError(name)
        del block[position]
        self._count -= 1
        if block:
            self._firsts[index] = _by_order(block[0])
            self._leasts[index] = None
        else:
            del self._blocks[index], self._firsts[index], self._leasts[index]
        self._start = None

    def first(self) -> tuple[str, float] | None:
        """Return who starts next, and the latest moment that lets everybody keep to their times; None if nobody waits.

        The moment may be past: somebody is late already, and to start now is the best that is left.
        """
        if not self._blocks:
            return None
        if self._start is None:
            self._start = self._latest_start()
        return self._blocks[0][0][1], self._start

    def _latest_start(self) -> float:
        start, before = float("inf"), 0
        for index, block in enumerate(self._blocks):
            least = self._leasts[index]
            if least is None:
                interval_s = self.interval_s
                least = min(due - position * interval_s for position, (_, _, due) in enumerate(block))
                self._leasts[index] = least
            start = min(start, least - before * self.interval_s)
            before += len(block)
        return start
