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
_LONGEST: Final = 65536
"""Nobody issues a longer token; its other spellings and its runs would take seconds of a request's own time."""
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
    # In a header UTF-8 is read as Latin-1.
    found = {text, text.encode(errors="replace").decode("latin-1")} | percent
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

    Used for an authorization server's `error_description`, which may echo the request (RFC 6749 section 5.2), and may
    quote it as it likes: percent-encoded, with entities or backslashes, without padding, cut. No list of quotings would
    be complete, so every run of RUN characters that the text shares with a secret is masked, with what little stands
    between two such runs. Linear in what is shown and in the secrets; the rest of a long text is not looked at.
    """
    found = _Found([secret.reveal() for secret in secrets if secret])
    shown: list[str] = []
    at = length = 0
    while at < len(text) and length < limit:
        end = found.end_of(text, at)
        shown.append(MASK if end else text[at] if text[at].isprintable() else " ")
        length += len(shown[-1])
        at = end or at + 1
    return "".join(shown)[:limit]


RUN = 8
"""Characters that a text shares with a secret only if it quotes it. A piece of seven, of a token of the least length
that RFC 6749 section 10.10 allows, leaves over 80 bits unknown. A shorter secret is masked where it stands whole."""

GAP = 16
"""Characters between two runs of one quoted secret: an escape, and a piece of the secret that was too short."""


class _Found:
    """Finds secrets in a text."""

    def __init__(self, secrets: list[str]) -> None:
        begun = [secret[:_LONGEST] for secret in secrets]
        self._runs = {secret[at : at + RUN] for secret in begun for at in range(len(secret) - RUN + 1)}
        self._short = sorted((secret for secret in secrets if len(secret) < RUN), key=len, reverse=True)

    def end_of(self, text: str, at: int) -> int:
        """Return where the secret ends that begins in `text` at `at`, with all that overlaps it; 0 if none does."""
        end = self._match(text, at)
        reach = end + GAP if end - at == RUN else end
        at += 1
        while end and at < reach:
            further = self._match(text, at)
            if further - at == RUN:
                end, reach = further, further + GAP
            elif further > end > at:
                end, reach = further, max(reach, further)
            at += 1
        return end

    def _match(self, text: str, at: int) -> int:
        if text[at : at + RUN] in self._runs:
            return at + RUN
        return next((at + len(secret) for secret in self._short if text.startswith(secret, at)), 0)
