"""What the state stores share: a body as JSON text, read strictly, its revisions, and reading records one by one."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

from rotator.errors import StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rotator.errors import StoreError
    from rotator.ports import Stored

_STEPS = 2**20
"""Greatest step from one revision to the next: 2^33 writes of one record stay below 2^53."""


def revision_after(expected: int, text: str) -> int:
    """Return the revision of a body that is written in the place of revision `expected`.

    It grows by a step that follows from the body. With steps of one, a record that was deleted, or restored from an old
    backup, comes to a number again that a process which was paused before still expects, and that process writes over
    the claims made since; so many bodies have equal steps that this takes a chance of one in a million.
    """
    return expected + 1 + zlib.crc32(text.encode("utf-8", "surrogatepass")) % _STEPS


def body_of(text: object) -> dict[str, Any]:
    """Return the body that a text holds; what no rotator wrote is refused, whatever a parser makes of it.

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


def one_by_one(read: Callable[[str], Stored], keys: Iterable[str]) -> dict[str, Stored | StoreError]:
    """Return what `StateStore.read_many` does, by single reads.

    Raises:
        StoreError: As `read`, but for StoreCorrupt, which stands in the record's place.
    """
    found: dict[str, Stored | StoreError] = {}
    for key in dict.fromkeys(keys):
        try:
            found[key] = read(key)
        except StoreCorrupt as error:
            found[key] = error
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice")
    return fields


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
