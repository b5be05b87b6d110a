"""Durations as people write them: `90s`, `5m`, `2h`, `1d`, or a number of seconds."""

from __future__ import annotations

import math
import re

UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

LONGEST_S = 100 * 365 * 86400.0
"""A century: more is a slip of the pen, and date arithmetic must not overflow on it."""

HINT = "write 90s, 5m, 2h, 1d or a number of seconds"

_TEXT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([^0-9.]*)")


def parse_duration(value: object, *, zero: bool = False) -> float:
    """Return the seconds that `value` stands for.

    Args:
        value: A text such as `5m`, or a number of seconds (a text of digits is one too: `${VAR}` yields texts).
        zero: Whether zero is allowed.

    Raises:
        ValueError: What is wrong with it, without quoting it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("is not a duration")  # noqa: TRY004 - one error for every bad duration
    seconds = _from_text(value) if isinstance(value, str) else value
    if isinstance(seconds, float) and math.isnan(seconds):  # an integer may be beyond what floats hold
        raise ValueError("is not a duration")
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    if seconds == 0 and not zero:
        raise ValueError("must be longer than zero")
    if seconds > LONGEST_S:
        raise ValueError("is longer than a hundred years")
    return float(seconds)


def _from_text(text: str) -> float:
    if not text.strip():
        raise ValueError("is empty")
    if text.startswith("-"):
        raise ValueError("a duration cannot be negative")
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError("is not a duration")
    if match[2] not in UNITS_S:
        raise ValueError("has an unknown unit")
    return float(match[1]) * UNITS_S[match[2]]
