"""Replies of a token endpoint, damaged: an answer whatever they are, and tokens that can be kept; no secret told."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rotator.answers import classify
from rotator.documents import document_text, merged, parse_document, stored_tokens
from rotator.http_messages import HttpReply
from rotator.model import (
    AnswerRule,
    Document,
    InDoubt,
    Misconfigured,
    RateLimited,
    Refreshed,
    Rejected,
    StoredTokens,
    Unavailable,
)
from rotator.oauth import build
from rotator.pacing import LONGEST_S, retry_after_s
from rotator.received import REPLY_KEPT, Received, opened, sealed_reply, sealed_tokens
from rotator.records import SealedEntry
from rotator.redact import Secret
from rotator.seal import AesSeal
from rotator.token_sets import members_of
from tests.core.parts import jwt, stored
from tests.effort import tried
from tests.fuzz.leaks import INSIDE, INSIDE_TOO, PROCESS, assert_secret, spellings
from tests.fuzz.mutations import foreign_json, mutated_bytes
from tests.oauth.oauth_parts import NOW, request

if TYPE_CHECKING:
    from rotator.model import RefreshRequest

REFRESH = 'canary rt/é+%&="<Zx81qPw7>'
"""The refresh token that is presented: with characters that every encoding changes."""

ANSWERS = (Refreshed, RateLimited, Unavailable, InDoubt, Rejected, Misconfigured)
SEAL = AesSeal(lambda: bytes(32))

ECHOES = [
    spelling
    for secret in (REFRESH, PROCESS)
    for encoded in (secret, quote(secret, safe=""), quote_plus(secret))
    for spelling in (encoded, re.sub("%..", lambda found: found[0].lower(), encoded))
]
"""How a server quotes what it was sent: in small hex digits, too, as .NET's encoder writes them."""

SUCCESSES: list[dict[str, Any]] = [
    {"access_token": INSIDE, "refresh_token": INSIDE_TOO, "token_type": "Bearer", "expires_in": 3600, "scope": "a b"},
    {
        "access_token": jwt(exp=1, sub="u"), "refresh_token": INSIDE_TOO, "token_type": "bearer", "expires_in": "3600",
        "id_token": jwt(iss="https://id.example", sub="user-1", aud=["client-1"], azp="client-1"),
        "refresh_token_expires_in": 15897600, "not-before-policy": 0, "session_state": {"a": [1, 2]},
    },
    {"access_token": INSIDE, "token_type": "Bearer", "expires_in": 1e3, "scope": ["a", "b"]},
]  # fmt: skip
FAILURES: list[dict[str, Any]] = [
    {"error": "invalid_grant", "error_description": f"the token {echo} is expired", "error_codes": [70008]}
    for echo in ECHOES
] + [
    {"error": "invalid_client", "message": ECHOES[-1], "error_hint": ECHOES[0], "status": ECHOES[2]},
    {"error": {"code": ECHOES[0]}, "error_description": ECHOES[2]},
    {"ok": False, "error": ECHOES[4]},
]
FORMS = [f"access_token={INSIDE}&refresh_token={INSIDE_TOO}&token_type=bearer&expires_in=3600&scope=a%2Cb".encode()]
REQUESTS = [
    request(refresh_token=Secret(REFRESH), client_secret=Secret(PROCESS), granted_scope="a b"),
    request(
        {"client_auth": "client_secret_basic", "form_reply": True, "error_members": ("error", "status")},
        refresh_token=Secret(REFRESH), client_secret=Secret(PROCESS),
        id_token=Secret(jwt(iss="https://id.example", sub="user-1", aud="client-1")),
    ),
    request(
        {"rules": (AnswerRule("unavailable", code="invalid_grant", status=400),), "default_token_type": "Bearer"},
        refresh_token=Secret(REFRESH), client_secret=Secret(PROCESS), scope="a",
    ),
]  # fmt: skip

HEADERS = [
    ("Retry-After", "120"), ("Retry-After", "Sat, 21 Nov 2026 12:05:00 GMT"), ("Date", "Sat, 21 Nov 2026 12:00:00 GMT"),
    ("X-RateLimit-Reset", "1795262700"), ("X-RateLimit-Remaining", "0"), ("RateLimit-Reset", "30"),
    ("RateLimit", '"default";r=0;t=30, "burst";r=1;t=5'), ("Content-Type", "application/json; charset=utf-8"),
    ("Content-Encoding", "identity"), ("Content-Length", "200"), ("Cache-Control", "no-store"),
    ("WWW-Authenticate", f'Basic realm="{ECHOES[-1]}", error="{ECHOES[0]}"'.encode().decode("latin-1")),
]  # fmt: skip
STATUSES = (100, 200, 201, 204, 302, 303, 400, 401, 403, 404, 408, 409, 413, 421, 425, 429, *range(500, 505), 599)


@st.composite
def headers(draw: st.DrawFn) -> tuple[tuple[str, str], ...]:
    """Return some headers, their values damaged."""
    chosen = draw(st.lists(st.sampled_from(HEADERS), max_size=4))
    changed = [
        (name, draw(mutated_bytes([value.encode("latin-1")], most=2)).decode("latin-1")) for name, value in chosen
    ]
    return tuple(draw(st.sampled_from([chosen, changed])))


bodies = st.one_of(foreign_json(SUCCESSES), foreign_json(FAILURES), mutated_bytes(FORMS))


def answer_to(status: int, fields: Any, body: bytes, of: RefreshRequest, *, complete: bool = True) -> Any:
    http = build(of, None)
    assert not isinstance(http, Misconfigured)
    reply = HttpReply(status, fields, body, complete, NOW, NOW)
    return classify(reply, of, NOW, echoes=http.echoes)


@tried(400, cost=2)
@given(st.sampled_from(STATUSES), headers(), bodies, st.sampled_from(REQUESTS), st.booleans())
def test_a_damaged_reply_has_an_answer_without_a_secret(
    status: int, fields: Any, body: bytes, of: RefreshRequest, complete: bool
) -> None:
    """Every reply has one of the six answers, and no word holds what was sent, however the server writes it."""
    answer = answer_to(status, fields, body, of, complete=complete)
    assert isinstance(answer, ANSWERS)
    if isinstance(answer, Refreshed):
        assert_secret(answer, REFRESH, PROCESS, INSIDE, INSIDE_TOO)
    elif whole(body, fields):  # what was damaged itself is no secret any more, and no server quotes it so
        assert_secret(answer, REFRESH, PROCESS)
    if isinstance(answer, InDoubt) and body:
        assert answer.body == Secret(body.decode("latin-1"))


def whole(body: bytes, fields: Any) -> bool:
    """Return whether a reply quotes what was sent as servers do, undamaged, or not at all."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return False
    texts = [value for value in values.values() if isinstance(value, str)] if isinstance(values, dict) else []
    left = " ".join([*texts, *(value.encode("latin-1").decode("utf-8", "replace") for _, value in fields)])
    for echo in sorted(ECHOES, key=len, reverse=True):
        left = left.replace(echo, "")
    return not any(spelling in left for secret in (REFRESH, PROCESS) for spelling in spellings(secret))


@tried(300, cost=2)
@given(headers(), st.one_of(foreign_json(SUCCESSES), mutated_bytes(FORMS)), st.sampled_from(REQUESTS))
def test_tokens_that_arrived_can_be_kept_and_written(fields: Any, body: bytes, of: RefreshRequest) -> None:
    """A success survives the escrow unchanged and makes a document that the next refresh can be made from."""
    answer = answer_to(200, fields, body, of)
    if not isinstance(answer, Refreshed):
        return
    tokens = answer.tokens
    entry = sealed_tokens(Received(tokens, NOW, "0" * 32, "r"), SEAL, "identity", "one")
    waiting = opened(replace(entry), SEAL)
    assert waiting.tokens == tokens
    before = Document({"refresh_token": REFRESH, "team": "payroll"})
    after = parse_document(document_text(merged(before, tokens, sent_at=NOW, provider=of.provider)))
    assert isinstance(after, Document)
    assert after.fields["team"] == "payroll"
    read = stored_tokens(replace(stored(), content=after), of.provider)
    assert isinstance(read, StoredTokens)
    assert read.refresh_token == (tokens.refresh_token or Secret(REFRESH))
    if not tokens.extra_problem:
        assert read.access_token == tokens.access_token
    members = members_of(HttpReply(200, fields, body, True, NOW, NOW), form=of.provider.form_reply)
    assert members is not None
    assert tokens.access_token.reveal() == members["access_token"]


@tried(100)
@given(bodies)
@example(b"a" * (REPLY_KEPT + 1))
@example(b"a\0\xff" * REPLY_KEPT)
def test_what_cannot_be_read_is_kept_for_an_operator(body: bytes) -> None:
    """The bytes of a reply in doubt go into the escrow and come out again, as many as have room."""
    entry = sealed_reply(Secret(body.decode("latin-1")), SealedEntry("i", "p", "reply", "r", "c", NOW, ""), SEAL)
    waiting = opened(entry, SEAL)
    assert waiting.tokens is None
    plain = json.loads(SEAL.open(entry.sealed, "escrow|i|p"))
    kept = plain["body"].encode("latin-1")
    assert body.startswith(kept)
    assert size_in_json(kept) <= REPLY_KEPT
    assert kept == body or size_in_json(body[: len(kept) + 1]) > REPLY_KEPT


def size_in_json(body: bytes) -> int:
    return len(json.dumps(body.decode("latin-1"), ensure_ascii=False).encode()) - len('""')


@tried(300)
@given(headers(), st.booleans())
def test_damaged_pacing_headers_ask_for_a_wait_or_nothing(fields: Any, limited: bool) -> None:
    """No header makes a wait that is shorter than a second or longer than a year."""
    wait_s = retry_after_s(fields, NOW, limited=limited)
    assert wait_s is None or 1 <= wait_s <= LONGEST_S


# ------------------------------------------------------------------------------------------ what was found, by name


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("of", REQUESTS[:2], ids=["post", "basic"])
def test_a_request_that_is_quoted_is_masked_in_every_spelling(echo: str, of: RefreshRequest) -> None:
    """A server that quotes the refresh token, the client secret or the header, percent-encoded in either case."""
    body = json.dumps({"error": "invalid_grant", "error_description": f"no such token: {echo}"}).encode()
    assert_secret(answer_to(400, (), body, of), REFRESH, PROCESS)


def test_a_secret_that_a_header_quotes_is_masked() -> None:
    """Bytes of UTF-8 in a header are read as Latin-1."""
    quoted = REFRESH.encode().decode("latin-1")
    assert_secret(answer_to(401, (("WWW-Authenticate", f'Bearer error="{quoted}"'),), b"{}", REQUESTS[0]), REFRESH)


def test_an_authorization_header_that_is_quoted_is_masked() -> None:
    """The base64 of the client's credentials, as they were sent."""
    sent = base64.b64encode(f"client-1:{quote_plus(PROCESS)}".encode()).decode()
    fields = (("WWW-Authenticate", f'Basic realm="Basic {sent}"'),)
    body = json.dumps({"error": "invalid_client", "error_description": sent}).encode()
    assert sent not in repr(answer_to(401, fields, body, REQUESTS[1]))
