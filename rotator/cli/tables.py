"""Tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rotator.status import Row

COLOURS = {
    "fresh": "green",
    "due": "cyan",
    "cooling_down": "yellow",
    "in_doubt": "magenta",
    "latched": "red",
    "unusable": "red",
}


PIPE_WIDTH = 1000
"""Where no terminal limits the width, nothing is cut: a program reads the names, and somebody greps for the advice."""

ADVICE_WIDTH = 24
"""What the advice keeps on a narrow terminal, where it would otherwise be the first column to vanish."""


def print_status(rows: Sequence[Row], now: datetime) -> None:
    """Print the table of `status` to stdout; narrow terminals and NO_COLOR are honoured by rich."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(status_table(rows, now))


def status_table(rows: Sequence[Row], now: datetime) -> Table:
    """Return the table of `status`, with times relative to `now`."""
    table = Table(box=None, pad_edge=False)
    for heading in ("NAME", "PROVIDER", "STATE", "EXPIRES", "NEXT", "ROTATED"):
        table.add_column(heading, no_wrap=True)
    table.add_column("WHAT TO DO", overflow="fold", min_width=ADVICE_WIDTH)
    for row in rows:
        todo = "" if row.state == "fresh" else " → ".join(filter(None, (row.reason, row.action)))
        table.add_row(
            Text(row.name),  # as text: a name or a message with brackets in it is no markup
            Text(row.provider),
            Text(row.state, style=COLOURS[row.state]),
            away(row.expires_at, now),
            away(row.next_refresh_at, now),
            away(row.last_rotated_at, now),
            Text(todo),
        )
    return table


def away(instant: datetime | None, now: datetime) -> str:
    """Return how far away an instant is: `in 5m`, `3h ago`, or a dash."""
    if instant is None:
        return "-"
    seconds = (instant - now).total_seconds()
    size = abs(seconds)
    text = f"{size:.0f}s"
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if size >= 2 * length:
            text = f"{size / length:.0f}{unit}"
            break
    return f"in {text}" if seconds >= 0 else f"{text} ago"
