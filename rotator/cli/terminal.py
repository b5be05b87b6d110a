"""What stdout is, and the console that prints to it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rotator.terminals import takes_escapes

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 1000
"""Where no terminal limits the width, nothing is cut: a program reads the names, and somebody greps for the advice."""


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout.isatty()


def is_coloured() -> bool:
    """Return whether stdout may be sent escape sequences: on a terminal, or where FORCE_COLOR asks for it.

    NO_COLOR goes before FORCE_COLOR.
    """
    return takes_escapes(os.environ) and (is_terminal() or bool(os.environ.get("FORCE_COLOR")))


def columns() -> int | None:
    """Return how wide a terminal stdout is; None where it is none."""
    if not is_terminal():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


def console() -> Console:
    """Return a console for stdout, as wide as the terminal, or as any line where it is none."""
    from rich.console import Console  # noqa: PLC0415 - on use

    return Console(width=columns() or PIPE_WIDTH, color_system="auto" if is_coloured() else None)
