"""How far long work is, for whoever watches it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told how far long work is.

    Called in the thread that does the work, as often as that gets on, some thousand times a second at most. Returns at
    once and raises nothing. What is told last need not be the end: work that fails tells nothing more.
    """

    def __call__(self, doing: str, done: int, total: int, /) -> None:
        """Take note.

        Args:
            doing: What is being done, for people, as `reading 2,000 credentials`. Holds no secret.
            done: How much of it is done.
            total: How much of it there is, in the same unit; 0 where nobody knows.
        """


def unwatched(_doing: str, _done: int, _total: int, /) -> None:
    """Nobody watches."""


def many(count: int, what: str) -> str:
    """Return a count of things: `1 credential`, `2,000 credentials`."""
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"
