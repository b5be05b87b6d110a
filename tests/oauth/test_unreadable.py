# ruff: noqa: N802 - a test is named after its item of the checklist
"""Bodies that cannot be read, or only with care: items S21 to S23 of the checklist."""

from __future__ import annotations

import json

import pytest
from oauth_parts import (
    NOW,
    QUIET,
    TOKENS,
    answer_to,
    reply,
    request,
    tokens_of,
)

from rotator.answers import classify
from rotator.model import InDoubt, Refreshed, Rejected
from rotator.redact import Secret


@pytest.mark.parametrize(
    "body",
    [
        b'{"access_token": "a", "refresh_tok', b"<html>OK</html>", b"\xff\xfe{}", b'{"access_token": "\xe9"}', b"{}{}",
        json.dumps(TOKENS).encode("utf-16"), json.dumps(TOKENS).encode("utf-32"), b"[" * 200_000, b'{"a":' * 200_000,
        b"'", b'{"access_token": "a",}',
    ],
)  # fmt: skip
def test_S21_an_unreadable_200_is_in_doubt_and_kept(body: bytes) -> None:
    """Nothing of the body is lost: its bytes come back from the kept text."""
    answer = answer_to(body)
    assert isinstance(answer, InDoubt)
    assert answer.body is not None
    assert answer.body.reveal().encode("latin-1") == body


def test_S21_a_cut_200_is_in_doubt_even_when_it_looks_whole() -> None:
    """An incomplete message is not believed, whatever it says."""
    for body in (TOKENS, {"error": "invalid_grant"}):
        assert isinstance(classify(reply(body, complete=False), request(), NOW), InDoubt)


def test_S21_an_empty_200_is_in_doubt_without_a_body() -> None:
    """No bytes, nothing to keep."""
    answer = answer_to(b"", 204)
    assert isinstance(answer, InDoubt)
    assert answer.body is None


def test_S21_a_byte_order_mark_is_no_damage() -> None:
    """UTF-8 with a mark in front reads like UTF-8 without."""
    assert tokens_of(b"\xef\xbb\xbf" + json.dumps(TOKENS).encode()) == tokens_of(TOKENS)


@pytest.mark.parametrize(
    ("content_type", "readable"),
    [
        ("application/json; charset=utf-8", True), ('application/json;charset="UTF-8"', True), ("text/html", True),
        ("application/json; charset=iso-8859-1", False), ("application/json; charset=utf-16", False),
    ],
)  # fmt: skip
def test_S21_a_foreign_charset_counts_where_it_changes_something(content_type: str, readable: bool) -> None:
    """ASCII reads alike under every declared charset; other text only as UTF-8."""
    headers = (("Cache-Control", "no-store"), ("Content-Type", content_type))
    assert isinstance(answer_to(TOKENS, headers=headers), Refreshed)
    text = json.dumps({**TOKENS, "refresh_token": "é"}, ensure_ascii=False)
    assert isinstance(answer_to(text, headers=headers), Refreshed if readable else InDoubt)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "x-unknown"])
def test_S22_a_compressed_200_is_in_doubt_and_never_unpacked(encoding: str) -> None:
    """Identity was asked for; anything else is kept as it came."""
    headers = (*QUIET, ("Content-Encoding", encoding))
    answer = answer_to(TOKENS, headers=headers)
    assert isinstance(answer, InDoubt)
    assert answer.body == Secret(json.dumps(TOKENS))
    assert isinstance(answer_to(TOKENS, headers=(*QUIET, ("Content-Encoding", "Identity"))), Refreshed)


FORM = "access_token=new-access-token-1&refresh_token=new%2Brefresh&token_type=bearer&expires_in=28800&scope="
FRAMED = (("Cache-Control", "no-store"), ("Content-Length", str(len(FORM))))


def test_S23_a_form_is_read_where_the_profile_allows() -> None:
    """GitHub's form-encoded success is a success with `form_reply`, and in doubt without."""
    answer = tokens_of(FORM, of=request({"form_reply": True}), headers=FRAMED)
    assert answer.tokens.refresh_token == Secret("new+refresh")
    assert answer.tokens.expires_in_s == 28800.0
    assert isinstance(answer_to(FORM, headers=FRAMED), InDoubt)


def test_S23_a_form_in_a_failure_is_read_too() -> None:
    """The error of a form-encoded reply is classified by its code."""
    assert isinstance(answer_to("error=invalid_grant", 400, FRAMED, request({"form_reply": True})), Rejected)


@pytest.mark.parametrize(
    "body", [FORM + "&access_token=b", "access_token", "access_token=%ff", "&".join(["a=b"] * 300), "<html>"]
)
def test_S23_a_doubtful_form_is_in_doubt(body: str) -> None:
    """Repeated names, broken encodings and what is no form at all are unreadable."""
    assert isinstance(answer_to(body, headers=FRAMED, of=request({"form_reply": True})), InDoubt)


def test_S23_a_form_whose_end_is_not_marked_is_in_doubt() -> None:
    """Without a length a connection that broke would look like a shorter token."""
    assert isinstance(answer_to(FORM, of=request({"form_reply": True})), InDoubt)
