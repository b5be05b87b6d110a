"""Input made to be slow: every reader's time grows with the size of what it reads, and no faster.

Measured in processor time of this thread, so that a busy machine is no finding.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from rotator.answers import classify
from rotator.config import load_config
from rotator.config.durations import parse_duration
from rotator.documents import instant, jwt_claims, parse_document, seconds
from rotator.errors import ConfigError, RotatorError
from rotator.http_messages import HttpReply
from rotator.model import AnswerRule
from rotator.pacing import retry_after_s
from rotator.profiles.schema import Variable
from rotator.record_bodies import state_record
from rotator.redact import Secret, without
from rotator.seal import AesSeal
from rotator.state.bodies import body_of
from rotator.token_endpoint import LONGEST_BODY_BYTES
from tests.oauth.oauth_parts import NOW, request

if TYPE_CHECKING:
    from collections.abc import Callable

MEBIBYTE = 1 << 20
HEADER = 100_000
"""Characters of a header; h11 takes no longer head."""

BUDGET_S = 3.0
"""Processor time for a mebibyte. A reader that needs a microsecond for each character takes one second."""

BODIES = {
    "brackets": b"[" * MEBIBYTE,
    "objects": b'{"a":' * (MEBIBYTE // 5),
    "one number": b"9" * MEBIBYTE,
    "a number in an object": b'{"access_token":"a","expires_in":' + b"9" * MEBIBYTE + b"}",
    "a fraction": b'{"a":0.' + b"1" * MEBIBYTE + b"}",
    "an exponent": b'{"a":1e' + b"9" * MEBIBYTE + b"}",
    "a lifetime of digits": b'{"access_token":"a","token_type":"Bearer","expires_in":"' + b"9" * MEBIBYTE + b'"}',
    "a lifetime of spaces": b'{"access_token":"a","token_type":"Bearer","expires_in":"' + b" " * MEBIBYTE + b'"}',
    "a scope of ones": b'{"access_token":"a","token_type":"Bearer","scope":"' + b"a " * (MEBIBYTE // 2) + b'"}',
    "an error of commas": b'{"error":"x","error_description":"' + b"," * MEBIBYTE + b'"}',
    "escapes": b'{"error":"' + b"\\u0041" * (MEBIBYTE // 6) + b'"}',
    "names": json.dumps({f"name {index}": 0 for index in range(50_000)}).encode(),
    "one name again and again": b"{" + b'"a":1,' * (MEBIBYTE // 6) + b'"a":1}',
    "spaces": b" " * MEBIBYTE,
    "form fields": b"a=1&" * (MEBIBYTE // 4),
    "form escapes": b"a=" + b"%41" * (MEBIBYTE // 3),
    "an id_token of dots": b'{"access_token":"a","token_type":"Bearer","id_token":"' + b"." * MEBIBYTE + b'"}',
    "an id_token of brackets": json.dumps(
        {"access_token": "a", "token_type": "Bearer", "id_token": f"a.{base64.b64encode(b'[' * 700_000).decode()}.c"}
    ).encode(),
    "the refresh token again and again": b'{"error":"x","error_description":"' + b"refresh-token-" * 70_000 + b'"}',
}  # fmt: skip

FIELDS = {
    "seconds": "9" * HEADER,
    "a date of spaces": "Sat, 21 Nov 2026" + " " * HEADER,
    "a date of commas": "Sat," * (HEADER // 4),
    "a date of colons": "Sat, 21 Nov 2026 " + "1:" * (HEADER // 2),
    "members": '"a";r=0;t=1,' * (HEADER // 12),
    "parameters": '"a"' + ";r=0" * (HEADER // 4),
    "parameters without end": '"a"' + ";a" * (HEADER // 2) + "=",
    "spaces between": '"a"' + " " * HEADER + ";r=0",
    "spaces and semicolons": '"a"' + (" " * 50 + ";") * (HEADER // 51),
    "quotes": '"' * HEADER,
    "a charset far away": "a" + ";  charset" * (HEADER // 10),
    "semicolons": ";" * HEADER,
}
NAMES = (
    "Retry-After",
    "Date",
    "RateLimit",
    "X-RateLimit-Reset",
    "Content-Type",
    "WWW-Authenticate",
    "Content-Encoding",
)

YAML = {
    "brackets": "[" * MEBIBYTE,
    "braces": "a: " + "{" * MEBIBYTE,
    "closed brackets": "a: " + "[" * 100_000 + "]" * 100_000,
    "dashes": "- " * (MEBIBYTE // 2),
    "indents": "".join(" " * level + "a:\n" for level in range(1400)),
    "sixtieths": "a: " + ":".join(["1"] * (MEBIBYTE // 2)),
    "digits": "a: " + "9" * MEBIBYTE,
    "hex digits": "a: 0x" + "f" * MEBIBYTE,
    "underscores": "a: 1" + "_" * MEBIBYTE,
    "binary digits": "a: 0b" + "1" * MEBIBYTE,
    "references": "a: " + "${A}" * (MEBIBYTE // 4),
    "references without end": "a: " + "${" * (MEBIBYTE // 2),
    "quoted lines": "a: '" + "\n" * MEBIBYTE + "'",
    "one key again and again": "a: 1\n" * 20_000,
    "keys": "".join(f"k{index}: 1\n" for index in range(10_000)),
    "credentials": "version: 1\ncredentials:\n" + "- {name: a, provider: b}\n" * 3_000,
    "merges": "a: &a {b: 1}\nc: {" + "<<: *a, " * 20_000 + "d: 1}\n",
    "aliases": "a: &a [1]\nc: [" + "*a, " * 30_000 + "]\n",
    "aliases of aliases": "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}' if n else 'x'] * 9)}]\n" for n in range(12)),
    "a scope": "version: 1\ncredentials: [{name: a, provider: b, scope: '" + "a " * 100_000 + "'}]\n",
    "a duration": "version: 1\nproviders: {a: {profile: generic, timeout: '" + "9" * MEBIBYTE + "'}}\n",
    "a profile": "version: 1\nproviders: {a: {profile: '" + "generi" * 100_000 + "'}}\n",
}


def timed(work: Callable[[], Any]) -> float:
    """Return the processor time of some work; errors of rotator's are answers."""
    began = time.thread_time()
    with contextlib.suppress(RotatorError):
        work()
    return time.thread_time() - began


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_reply_of_the_longest_size_is_classified_in_time(body: bytes) -> None:
    """As much as the endpoint reads, whatever is in it, as a success, an error and a document."""
    rule = AnswerRule("unavailable", description=re.compile("(a|,)+$"))
    of = request({"form_reply": True, "rules": (rule,)}, granted_scope="b")
    body = body[:LONGEST_BODY_BYTES]
    for status in (200, 400):
        reply = HttpReply(status, (("Content-Length", "1"),), body, True, NOW, NOW)
        assert timed(lambda reply=reply: classify(reply, of, NOW)) < BUDGET_S  # type: ignore[misc]
    assert timed(lambda: parse_document(body)) < BUDGET_S


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS.keys())
def test_a_header_of_the_longest_size_is_read_in_time(field: str) -> None:
    """As long as the HTTP parser takes, in every header that is read."""
    for name in NAMES:
        reply = HttpReply(429, ((name, field),), b"{}", True, NOW, NOW)
        assert timed(lambda reply=reply: classify(reply, request(), NOW)) < BUDGET_S  # type: ignore[misc]
        assert timed(lambda name=name: retry_after_s(((name, field),), NOW, limited=True)) < BUDGET_S  # type: ignore[misc]


@pytest.mark.parametrize("text", YAML.values(), ids=YAML.keys())
def test_a_configuration_of_a_mebibyte_is_read_in_time(text: str) -> None:
    """Depth, aliases, numbers and references of YAML cost no more than their length."""
    with contextlib.suppress(ConfigError):
        assert timed(lambda: load_config(f"{text}\n", {"A": "a"})) < 2 * BUDGET_S


def test_single_values_are_read_in_time() -> None:
    """Durations, instants, lifetimes, host names, JWTs, sealed texts and masks of a mebibyte."""
    digits, spaces = "9" * MEBIBYTE, " " * MEBIBYTE
    seal = AesSeal(lambda: bytes(32))
    host = Variable.model_validate({"is": "host", "about": "x"})
    works: list[Callable[[], Any]] = [
        lambda: _told(parse_duration, digits),
        lambda: _told(parse_duration, digits + "." + digits),
        lambda: instant(digits),
        lambda: instant(spaces + "x"),
        lambda: instant("2026-01-01T00:00:00." + digits),
        lambda: seconds(digits),
        lambda: jwt_claims(Secret("." * MEBIBYTE)),
        lambda: jwt_claims(Secret("a." + "W" * MEBIBYTE + ".c")),
        lambda: host.text_for("a" * MEBIBYTE),
        lambda: host.text_for("a-." * 80),
        lambda: seal.open("A" * MEBIBYTE, "context"),
        lambda: without("ab" * (MEBIBYTE // 2), (Secret("ab"), Secret("b" * 1000))),
        lambda: _told(body_of, "[" * MEBIBYTE),
        lambda: state_record("i", {"format": 1, "identity": "i", "presented": [{}] * 100_000}),
    ]
    for position, work in enumerate(works):
        assert timed(work) < BUDGET_S, position


def _told(read: Callable[[str], Any], text: str) -> None:
    with contextlib.suppress(ValueError):
        read(text)
