"""A secret is masked wherever it could be shown."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import re
import time
import traceback
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.redact import MASK, RUN, Secret, as_bytes, spellings, without

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "s3cr3t-value"


@dataclass(frozen=True)
class Holder:
    inner: Secret


SHOWN: dict[str, Callable[[Secret], str]] = {
    "str": str,
    "repr": repr,
    "f-string": lambda secret: f"{secret}",
    "f-string with a width": lambda secret: f"{secret:>40}",
    "f-string with conversion": lambda secret: f"{secret!r} {secret!s} {secret!a}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - the form under test
    "format": lambda secret: format(secret, "s"),
    "in a list": lambda secret: str([secret, {"a": secret}]),
    "in a dataclass": lambda secret: repr(Holder(secret)),
    "json with default": lambda secret: json.dumps(secret, default=str),
    "logging": lambda secret: logging.LogRecord("x", 10, "p", 1, "%s", (secret,), None).getMessage(),
}


@pytest.mark.parametrize("way", SHOWN)
def test_a_secret_is_masked_however_it_is_shown(way: str) -> None:
    """Promise 7: every way to turn a secret into text shows the mask."""
    shown = SHOWN[way](Secret(TEXT))
    assert TEXT not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "act", [json.dumps, pickle.dumps, copy.copy, copy.deepcopy, lambda one: asdict(Holder(one)), vars]
)
def test_a_secret_refuses_to_be_serialised(act: Callable[[Secret], object]) -> None:
    """What would carry the text out by another door raises, and the traceback does not show it."""
    with pytest.raises(TypeError) as error:
        act(Secret(TEXT))
    assert TEXT not in "".join(traceback.format_exception(error.value))


def test_the_text_comes_out_of_reveal_alone() -> None:
    """There is one door."""
    assert Secret(TEXT).reveal() == TEXT


@given(st.text(), st.text())
def test_secrets_are_equal_when_their_texts_are(one: str, other: str) -> None:
    """Equality and hash go by the text."""
    assert (Secret(one) == Secret(other)) == (one == other)
    assert Secret(one) == Secret(one)
    assert hash(Secret(one)) == hash(Secret(one))
    assert bool(Secret(one)) == bool(one)


def test_a_secret_is_not_equal_to_its_text() -> None:
    """A comparison with a text says nothing about the secret."""
    assert Secret(TEXT) != TEXT
    assert Secret("\ud83d") == Secret("\ud83d")


def test_bytes_of_half_a_surrogate_pair_are_no_error() -> None:
    """JSON may hold half a pair; the error of a plain encoding would quote the text."""
    assert as_bytes("a\ud83d") == b"a\xed\xa0\xbd"


def test_foreign_text_is_masked_cut_and_printable() -> None:
    """Given secrets are masked before anything is cut, control characters become spaces."""
    assert without(f"bad {TEXT}\r\n\x1b[31m", (Secret(TEXT), None, Secret(""))) == "bad ***   [31m"
    assert without("x" * 900, ()) == "x" * 500
    assert without("tail of abcdef", (Secret("abc"), Secret("abcdef"))) == "tail of ***"
    cut = without("x" * 495 + TEXT, (Secret(TEXT),), limit=500)
    assert cut == "x" * 495 + "***"


@given(st.text(), st.text(alphabet="0123456789abcdef", min_size=16, max_size=40), st.text(), st.integers(0, 60))
def test_a_given_secret_is_in_no_foreign_text(before: str, secret: str, after: str, limit: int) -> None:
    """Wherever it stands, no piece of a secret is left by the cut."""
    shown = without(before + secret + after, (Secret(secret),), limit=limit)
    assert secret not in shown
    assert len(shown) <= limit
    assert shown.isprintable()


ENCODERS: dict[str, tuple[Callable[[bytes], str], float]] = {
    "hex": (bytes.hex, 2.0),
    "hex in capitals": (lambda raw: raw.hex().upper(), 2.0),
    "base64": (lambda raw: base64.b64encode(raw).decode(), 4 / 3),
    "base64 for URLs": (lambda raw: base64.urlsafe_b64encode(raw).decode(), 4 / 3),
    "percent": (lambda raw: quote(raw, safe=""), 1.0),
    "percent, in small letters": (lambda raw: re.sub("%..", lambda escape: escape[0].lower(), quote(raw, "")), 1.0),
    "form": (quote_plus, 1.0),
}
"""How bytes may be quoted, and how many characters a byte becomes at least."""


@pytest.mark.parametrize("encoder", ENCODERS)
@given(st.binary(max_size=5), st.text(min_size=8, max_size=40), st.binary(max_size=5))
def test_a_secret_is_masked_in_every_spelling(encoder: str, before: bytes, secret: str, after: bytes) -> None:
    """A server that quotes a secret in an encoding, with whatever around it, leaves none of its characters."""
    encode, least = ENCODERS[encoder]
    quoted = encode(before + secret.encode() + after)

    shown = without(quoted, tuple(map(Secret, spellings(secret))), limit=len(quoted))

    assert MASK in shown
    assert len(quoted) - len(shown) + len(MASK) >= int(len(secret.encode()) * least) - 1


def test_a_short_secret_has_few_spellings() -> None:
    """In hex or base64 it could be part of any word, and its mask would garble a provider's message."""
    assert spellings("a b") == {"a b", "a+b", "a%20b"}


@given(st.text(alphabet="0123456789abcdef", min_size=16, max_size=60), st.data())
def test_a_part_of_a_secret_is_masked(secret: str, data: st.DataObject) -> None:
    """A server whose own limit cuts a quoted secret off, at either end, leaves none of it."""
    length = data.draw(st.integers(16, len(secret)))
    start = data.draw(st.integers(0, len(secret) - length))

    assert without(f"bad <{secret[start : start + length]}>.", (Secret(secret),)) == "bad <***>."


def test_parts_are_masked_fast() -> None:
    """A long description beside long tokens takes no second; of a token of megabytes only the whole is looked for."""
    secrets = tuple(Secret(f"{number:x}" * 4000) for number in range(1 << 12, (1 << 12) + 40))
    begun_s = time.process_time()

    huge = "r" * (8 << 20)
    assert without("d" * 100_000, (*secrets, *map(Secret, spellings(huge)))) == "d" * 500
    assert spellings(huge) == {huge}

    assert time.process_time() - begun_s < 1.0


long_secrets = st.text(alphabet="0123456789abcdef", min_size=RUN, max_size=40)


@given(st.text(), st.lists(long_secrets, min_size=1, max_size=3), st.text(alphabet="0123456789abcdef%-"), st.data())
def test_no_run_of_a_secret_is_shown(before: str, secrets: list[str], after: str, data: st.DataObject) -> None:
    """A server may quote a piece, or pieces of several secrets that overlap: no eight characters of any are left."""
    pieces = []
    for secret in secrets:
        begin = data.draw(st.integers(0, len(secret) - RUN))
        pieces.append(secret[begin : data.draw(st.integers(begin + RUN, len(secret)))])
    shown = without(before + "".join(pieces) + after, tuple(map(Secret, secrets)))
    runs = {secret[at : at + RUN] for secret in secrets for at in range(len(secret) - RUN + 1)}
    assert not [run for run in runs if run in shown]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("got 0123456789%2babc%2F0123456789!", "got ***!"),  # a piece between two runs that is too short by itself
        ("got 0123456789 and, much further on, 0123456789", "got *** and, much further on, ***"),
        ("got 0123456 and abc", "got 0123456 and ***"),
        ("0123456789ab", "***"),  # two secrets that overlap
        ("ab0123456789", "***"),
        ("abab", "******"),
    ],
)
def test_what_is_masked_around_a_quoted_secret(text: str, shown: str) -> None:
    """What stands between two near runs goes too, overlapping secrets go whole, and all else stays."""
    assert without(text, (Secret("0123456789abc0123456789"), Secret("ab0"), Secret("ab"), Secret("abc"))) == shown


def test_only_what_is_shown_of_a_long_text_is_looked_at() -> None:
    """A body of a mebibyte costs no more than its beginning."""
    taken: list[object] = []

    class Counted(str):
        __slots__ = ()

        def __getitem__(self, at: object) -> str:
            taken.append(at)
            return super().__getitem__(at)  # type: ignore[index]

    text = Counted("no secret here. " * 65_536)
    assert without(text, (Secret("0123456789abcdef"),)) == str(text)[:500]
    assert len(taken) < 2_000
