"""What a terminal is to be sent, as its environment says. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_dumb(env: Mapping[str, str]) -> bool:
    """Return whether the terminal can do nothing but print."""
    return env.get("TERM", "").lower() in {"dumb", "unknown"}


def takes_escapes(env: Mapping[str, str]) -> bool:
    """Return whether a terminal may be sent escape sequences at all.

    `NO_COLOR`, with any text in it, keeps all of them away and not colours alone (https://no-color.org): who sets it
    mostly records what is printed, where a bold heading is as much in the way as a red one.
    """
    return not (env.get("NO_COLOR") or is_dumb(env))
