"""Canaries, and every place and spelling in which one may leave."""

from __future__ import annotations

import base64
import functools
import json
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rotator.audit.sinks import shown as as_json
from rotator.logs import _described

if TYPE_CHECKING:
    from collections.abc import Iterator

INSIDE = "canary_inside_Zx81qPw7Lm"
"""Stands in the foreign bytes."""

INSIDE_TOO = "canary_inside_too_Bd44kRt9"
"""A second one, where two secrets stand in them."""

PROCESS = "canary/process+Hq53vNc2=="
"""Stands in the process: a client secret, a variable, a key. With characters that encodings change."""

SHORTEST_PART = 12
"""So many characters of a canary in a row are a leak, too."""


@functools.cache
def spellings(secret: str) -> tuple[str, ...]:
    """Return how a secret may be written: plain, base64 at each of its three alignments, hex, percent-encoded, JSON."""
    raw = secret.encode()
    padded = [base64.b64encode(b"\x00" * shift + raw).decode() for shift in range(3)]
    whole_groups = [text[4 : 4 * (len(text) // 4 - 1)] for text in padded]
    return (
        secret,
        *whole_groups,
        *(text.replace("+", "-").replace("/", "_") for text in whole_groups),
        raw.hex(),
        raw.hex().upper(),
        quote(secret, safe=""),
        quote(secret, safe="").replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d"),
        "".join(f"%{byte:02X}" for byte in raw),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        secret[:SHORTEST_PART],
        secret[-SHORTEST_PART:],
    )


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what a traceback shows before it: its causes, and its contexts unless they are suppressed.

    What `raise … from None` suppresses is not followed: neither tracebacks nor rotator's log show it, and an error of a
    parser keeps the whole text that it could not read.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def texts_of(thing: Any) -> Iterator[str]:
    """Yield every text in which a value or an error may be shown."""
    yield str(thing)
    yield repr(thing)
    if not isinstance(thing, BaseException):
        return
    yield "".join(traceback.format_exception(thing))
    yield json.dumps(_described(thing), default=as_json)  # what rotator's log says of it
    for link in chain_of(thing):
        yield str(link)
        yield repr(link.args)
        yield repr(vars(link))
        yield from getattr(link, "__notes__", ())


def assert_secret(thing: Any, *secrets: str) -> None:
    """Check that no text of a value or an error holds one of the secrets in any spelling."""
    for text in texts_of(thing):
        for secret in secrets:
            for spelling in spellings(secret):
                assert spelling not in text, f"{secret!r} stands as {spelling!r} in {text[:500]!r}"
