"""The JSON text of a record's body, read strictly: what no rotator wrote is refused, whatever a parser makes of it."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def body_of(text: object) -> dict[str, Any]:
    """Return the body that a text holds.

    A name that stands twice is refused wherever it stands: a second `presented` would hide the claims of the first.

    Raises:
        ValueError: It is no text, no JSON object, or one that `to_body` cannot have made.
    """
    if not isinstance(text, str):
        raise ValueError("no text")  # noqa: TRY004 - one error for whatever was not written by rotator
    try:
        body = json.loads(text, object_pairs_hook=_once, parse_constant=_refused)
    except RecursionError:
        raise ValueError("deeper than the parser goes") from None
    if not isinstance(body, dict):
        raise ValueError("no object")  # noqa: TRY004 - as above
    return body


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice")
    return fields


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
