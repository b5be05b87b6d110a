"""How a secret may look in a text, and finding it there: plain, percent-encoded, in hex, in base64 at any alignment."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from rotator.testing.sandbox import DEFAULT_CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKS: Final = {
    "canary-": "a canary",
    "sandbox_rt_": "a refresh token of the sandbox",
    "sandbox_at_": "an access token of the sandbox",
    DEFAULT_CLIENT_SECRET: "the sandbox's client secret",
    "hvs.double-": "a token of the Vault double",
}
"""What the secrets that tests plant begin with. `canary-` is for those that a test invents.

A secret that begins so is found in every output of every test, and nobody has to name it.
"""

CORE: Final = 24
"""So many characters in a row from the middle of a secret are the secret: a part of it leaks, too."""

_RUN: Final = re.compile(r"[A-Za-z0-9_.~+/=-]{12,}")
_LONG_RUN: Final = 20
_FEWEST_CHARACTERS: Final = 6

_SHORT: Final = re.compile(rb"(?<![\w-])(?:rt-\d+-\d+|at-\d+)(?![\w-])")
"""A token of `rotator.testing.provider.MemoryProvider`. Too short to be told from chance in any other form."""

_WINDOW: Final = 7
_FEW: Final = 400
"""Up to so many needles, looking for one after the other (0.3 ns a byte each) beats looking each window up (140 ns)."""


def forms(secret: str) -> dict[bytes, str]:
    """Return each way in which the secret may be written, with its name; see `Needles.find` for percent-encoding."""
    raw = secret.encode("utf-8", "surrogatepass")
    found = {raw.hex().encode(): "hex", raw.hex().upper().encode(): "hex"}
    for lead in range(3):
        # The characters that follow from the secret alone, whatever stands before and behind it.
        whole = base64.b64encode(b"\0" * lead + raw + b"\0" * 3)
        inner = whole[-(-8 * lead // 6) : 8 * (lead + len(raw)) // 6]
        found[inner] = found[inner.translate(_URLSAFE)] = "base64"
    return found | {raw: "plain"}


_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")


def cores(text: str) -> list[str]:
    """Return what stands for the secret `text`: the middle of it, or of each part of it that looks random.

    Of a reply or a key file the frame is no secret, the long runs with digits in them are. What is too short or too
    plain to be told from an ordinary word is left out.
    """
    stripped = text.strip()
    whole = _RUN.fullmatch(stripped)
    runs = [stripped] if whole else [run for run in _RUN.findall(text[:65536]) if _looks_random(run)]
    return [_middle(run) for run in runs if len(set(run)) >= _FEWEST_CHARACTERS]


def _looks_random(run: str) -> bool:
    return len(run) >= _LONG_RUN and any(map(str.isdigit, run)) and any(map(str.isalpha, run))


def _middle(run: str) -> str:
    start = max(0, (len(run) - CORE) // 2)
    return run[start : start + CORE]


def named(secret: str) -> str:
    """Return a name for a secret that gives nothing away."""
    return f"a secret with digest {hashlib.sha256(secret.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


class Needles:
    """What is looked for, in all its forms."""

    def __init__(self) -> None:
        self._needles: dict[bytes, tuple[str, str]] = {}
        self._by_window: dict[bytes, list[bytes]] = {}

    def __len__(self) -> int:
        return len(self._needles)

    def add(self, text: str, name: str) -> None:
        """Look for this text, too; what is found is told by the name."""
        for needle, form in forms(text).items():
            if needle not in self._needles:
                self._needles[needle] = (name, form)
                self._by_window.setdefault(needle[:_WINDOW], []).append(needle)

    def find(self, content: bytes) -> set[tuple[str, str]]:
        """Return the name and the form of each secret in the content."""
        found = self._as_it_is(content)
        if b"%" in content:  # each encoder leaves other characters as they are: decode instead of guessing them
            decoded = unquote_to_bytes(content)
            found |= {(name, "percent-encoded") for name, _ in self._as_it_is(decoded) - found}
        return found

    def _as_it_is(self, content: bytes) -> set[tuple[str, str]]:
        if len(self._needles) <= _FEW:
            return {told for needle, told in self._needles.items() if needle in content}
        return set(self._by_windows(content))

    def _by_windows(self, content: bytes) -> Iterator[tuple[str, str]]:
        by_window = self._by_window
        for at in range(len(content) - _WINDOW + 1):
            window = content[at : at + _WINDOW]
            if window in by_window:
                yield from (self._needles[needle] for needle in by_window[window] if content.startswith(needle, at))


def of_marks() -> Needles:
    """Return the needles of all secrets that begin with a mark."""
    needles = Needles()
    for mark, name in MARKS.items():
        needles.add(mark, name)
    return needles


def short_tokens(content: bytes) -> set[tuple[str, str]]:
    """Return whether a token of the provider in memory stands in the content."""
    return {("a token of the provider in memory", "plain")} if _SHORT.search(content) else set()
