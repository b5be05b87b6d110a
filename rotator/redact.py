"""A text that must not leave: masked wherever it is shown, by its type."""

from __future__ import annotations

import base64
import hmac
import re
from typing import Final, NoReturn
from urllib.parse import quote, quote_plus

MASK = "***"

_SHORTEST_ENCODED: Final = 8
"""Of a shorter secret, hex and base64 are too little to be told from what else stands in a text."""
_PART: Final = 16
"""So many characters of a secret in a row are no accident."""
_LONGEST: Final = 65536
"""Nobody issues a longer token; its other spellings and its parts would take seconds of a request's own time."""
_ROOM: Final = 4
"""How many times as much text as may be shown is searched for parts: masks shorten it."""
_ESCAPE: Final = re.compile("%[0-9A-F]{2}")


class Secret:
    """A token, client secret, assertion or key.

    `str()`, `repr()`, `format()` and logging show a mask; `json.dumps` and `pickle` refuse it. The text comes out
    of `reveal()` alone, so that every place where a secret can leave is found by searching for that word.
    Masking by type was chosen over searching texts for known values: a search misses what it was not told about.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(as_bytes(self._text), as_bytes(other._text))

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


def as_bytes(text: str) -> bytes:
    """Return UTF-8, whatever the text: JSON may hold lone surrogates, and the error of `encode` quotes them."""
    return text.encode("utf-8", "surrogatepass")


def spellings(text: str) -> set[str]:
    """Return how a server may quote a secret: as it is, percent-encoded, in hex, in base64 wherever it begins."""
    # `replace`: what is no Unicode text has no such encoding, and masking must not fail.
    percent = {quote_plus(text, errors="replace"), quote(text, safe="", errors="replace")}
    found = {text} | percent
    if len(text) > _LONGEST:
        return found
    found |= {_ESCAPE.sub(lambda escape: escape[0].lower(), escaped) for escaped in percent}
    raw = as_bytes(text)
    if len(raw) < _SHORTEST_ENCODED:
        return found
    for lead in range(3):
        # Only the characters that follow from the secret alone, whatever was encoded before and behind it.
        whole = base64.b64encode(bytes(lead) + raw + bytes(3)).decode()
        inner = whole[-(-8 * lead // 6) : 8 * (lead + len(raw)) // 6]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found | {raw.hex(), raw.hex().upper()}


def without(text: str, secrets: tuple[Secret | None, ...], *, limit: int = 500) -> str:
    """Return foreign text fit to be shown: no control characters, cut at `limit`, secrets and parts of them masked.

    Used for an authorization server's `error_description`, which may echo the request (RFC 6749 section 5.2).
    """
    known = [secret.reveal() for secret in secrets if secret]
    for secret in sorted(known, key=len, reverse=True):  # a short one inside a longer one must not spare its rest
        text = text.replace(secret, MASK)
    text = _without_parts(text[: _ROOM * limit], [secret for secret in known if _PART <= len(secret) <= _LONGEST])
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:limit]


def _without_parts(text: str, secrets: list[str]) -> str:
    """Mask what a server quotes of a secret before its own limit cuts it off."""
    kept = []
    start = end = 0
    while (end := start + _PART) <= len(text):
        whole = next((secret for secret in secrets if text[start:end] in secret), None)
        if whole is None:
            kept.append(text[start])
            start += 1
            continue
        while end < len(text) and text[start : end + 1] in whole:
            end += 1
        kept.append(MASK)
        start = end
    return "".join(kept) + text[start:]
