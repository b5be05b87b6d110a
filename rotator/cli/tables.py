"""The table of `status`: laid out for the width that there is."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from rotator.cli import terminal
from rotator.cli.context import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rich.text import Text

    from rotator.status import Row

COLOURS = {
    "fresh": "green",
    "due": "cyan",
    "cooling_down": "yellow",
    "in_doubt": "magenta",
    "latched": "red",
    "unusable": "red",
}

HEADINGS = ("NAME", "PROVIDER", "STATE", "EXPIRES", "NEXT", "ROTATED")
NAME, PROVIDER, STATE, EXPIRES, NEXT, ROTATED = range(len(HEADINGS))
ADVICE = "WHAT TO DO"

DISPENSABLE = (ROTATED, PROVIDER, NEXT)
"""What goes first where a terminal is too narrow for all: a name that is cut can be given to no command."""

ADVICE_WIDTH = 40
"""With less than this beside the columns, the advice has lines of its own."""

ARROW = " → "
BETWEEN = "  "
INDENT = "    "


class Line(NamedTuple):
    """A line of the table.

    Args:
        state: The state that is named in it, from the column `at` on; empty in a line without one.
    """

    text: str
    state: str = ""
    at: int = 0


def print_status(rows: Sequence[Row], now: datetime, below: Sequence[str]) -> None:
    """Print the table of `status` to stdout, and lines below it."""
    lines = [*status_lines(rows, now, terminal.columns()), *map(Line, ("", *below) if rows else below)]
    if terminal.is_coloured():
        page = terminal.console()
        with page.capture() as captured:
            page.print(coloured(lines), soft_wrap=True, end="")
        say(captured.get())
    else:  # what has no colours needs no library that is dear to import
        say("\n".join(line.text for line in lines))


def coloured(lines: Sequence[Line]) -> Text:
    """Return lines as one text in which each state has its colour."""
    from rich.text import Text  # noqa: PLC0415 - on use

    text = Text("\n".join(line.text for line in lines))  # as text: brackets in a message are no markup
    begin = 0
    for line in lines:
        if line.state:
            text.stylize(COLOURS[line.state], begin + line.at, begin + line.at + len(line.state))
        begin += len(line.text) + 1
    return text


def status_lines(rows: Sequence[Row], now: datetime, width: int | None) -> Iterator[Line]:
    """Yield the table, its heading first, with times relative to `now`.

    Where all of it does not fit, the advice gets lines of its own below each row, then columns are left out, and a name
    that is longer than the rest leaves room for has a line to itself. Names and commands are never cut.

    Args:
        width: Of the terminal; None lets each row have one line, however long.
    """
    cells = [HEADINGS, *(_cells(row, now) for row in rows)]
    advice = [ADVICE, *(ARROW.join(advice_of(row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    beside = _taken(widths, range(len(HEADINGS))) + len(BETWEEN)
    if width is None or beside + max(map(len, advice)) <= width or width - beside >= ADVICE_WIDTH:
        for line, todo in zip(cells, advice, strict=True):
            first, *more = _wrapped(todo, None if width is None else width - beside)
            yield _line(line, widths, range(len(HEADINGS)), first)
            yield from (Line(" " * beside + rest) for rest in more)
        return
    shown = list(range(len(HEADINGS)))
    for column in DISPENSABLE:
        if _taken(widths, shown) > width:
            shown.remove(column)
    others = _taken(widths, shown) - widths[NAME]
    widths[NAME] = max(len(HEADINGS[NAME]), min(widths[NAME], width - others))
    yield _line(HEADINGS, widths, shown)
    for line, row in zip(cells[1:], rows, strict=True):
        name = line[NAME]
        if len(name) > widths[NAME]:
            yield Line(name)
            line = ("", *line[1:])  # noqa: PLW2901 - the rest of the row
        yield _line(line, widths, shown)
        for number, sentence in enumerate(advice_of(row)):
            text = sentence if number == 0 else ARROW.lstrip() + sentence
            yield from (Line(INDENT + part) for part in _wrapped(text, max(ADVICE_WIDTH, width) - len(INDENT)))


def advice_of(row: Row) -> list[str]:
    """Return what is wrong with a credential and what to do about it, as far as there is any; nothing of fresh ones."""
    return [] if row.state == "fresh" else [_on_one_line(text) for text in (row.reason, row.action) if text]


def _on_one_line(text: str) -> str:
    """Return a text without what would break its line, or tell the terminal something: it may quote anybody."""
    return "".join(one if one.isprintable() else "\ufffd" for one in " ".join(text.split()))


def _cells(row: Row, now: datetime) -> tuple[str, ...]:
    times = (away(instant, now) for instant in (row.expires_at, row.next_refresh_at, row.last_rotated_at))
    return (row.name, row.provider, row.state, *times)


def _taken(widths: Sequence[int], columns: Sequence[int]) -> int:
    return sum(widths[column] for column in columns) + len(BETWEEN) * (len(columns) - 1)


def _line(cells: Sequence[str], widths: Sequence[int], columns: Sequence[int], todo: str = "") -> Line:
    text = BETWEEN.join(cells[column].ljust(widths[column]) for column in columns)
    text = f"{text}{BETWEEN}{todo}" if todo else text.rstrip()
    state = cells[STATE] if cells[STATE] in COLOURS else ""
    return Line(text, state, _taken(widths, columns[: columns.index(STATE)]) + len(BETWEEN))


def _wrapped(text: str, width: int | None) -> list[str]:
    """Return a text in lines; no word is cut, for it may be a name or an option."""
    if width is None or len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


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
