"""A text that must not leave: masked wherever it is shown, by its type."""

from __future__ import annotations

import hmac
from typing import NoReturn

MASK = "***"


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


def without(text: str, secrets: tuple[Secret | None, ...], *, limit: int = 500) -> str:
    """Return foreign text that is fit to be shown: no control characters, cut at `limit`, given secrets masked.

    Used for an authorization server's `error_description`, which may echo the request (RFC 6749 section 5.2).
    """
    known = [secret.reveal() for secret in secrets if secret]
    for secret in sorted(known, key=len, reverse=True):  # a short one inside a longer one must not spare its rest
        text = text.replace(secret, MASK)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:limit]
