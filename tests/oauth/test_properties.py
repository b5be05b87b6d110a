"""What holds for every reply that can be thought of."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from oauth_parts import CLIENT_SECRET, NOW, REFRESH_TOKEN, TOKENS, request

from rotator.answers import REJECTED, classify
from rotator.http_messages import HttpReply
from rotator.model import AnswerRule, InDoubt, Misconfigured, RateLimited, Refreshed, Rejected, Unavailable
from rotator.pacing import LONGEST_S, retry_after_s
from tests.effort import tried

SECRETS = (REFRESH_TOKEN, CLIENT_SECRET)

texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [*SECRETS, *sorted(REJECTED), "invalid_client", "server_error", "too_many_requests", "Bearer", "x"]
    ),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
values = st.recursive(scalars, lambda deep: st.lists(deep, max_size=3) | st.dictionaries(texts, deep, max_size=3))
names = st.sampled_from(
    ["access_token", "refresh_token", "token_type", "expires_in", "scope", "id_token", "error", "error_description",
     "message", "status", "ok", "refresh_expires_in", "other"]
)  # fmt: skip
objects = st.dictionaries(names, values, max_size=8)
strict_objects = st.dictionaries(names, st.one_of(st.none(), st.booleans(), st.integers(), texts), max_size=8)
bodies = st.one_of(st.binary(max_size=200), objects.map(lambda value: json.dumps(value).encode()), st.just(b""))
numbers = st.one_of(st.integers().map(str), st.floats().map(str), texts)
headers = st.lists(
    st.tuples(
        st.sampled_from(
            ["Retry-After", "X-RateLimit-Reset", "X-RateLimit-Remaining", "X-Rate-Limit-Reset", "RateLimit", "Date",
             "Content-Type", "Content-Encoding", "Content-Length", "WWW-Authenticate", "Cache-Control"]
        ),
        st.one_of(
            numbers,
            st.from_regex(r'\A"[a-z]{0,3}"(;[rtq]=[0-9]{1,18}){0,3}\Z'),
            st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT")),
            st.sampled_from(["application/json; charset=utf-8", "identity", "gzip", "no-store", *SECRETS]),
        ),
    ),
    max_size=4,
).map(tuple)  # fmt: skip
statuses = st.one_of(st.sampled_from([200, 201, 302, 400, 401, 403, 429, 500, 502, 503]), st.integers(100, 999))
of_requests = st.sampled_from([
    request(),
    request({"form_reply": True, "error_members": ("error", "status"), "default_token_type": "Bearer"}),
    request({"rules": (AnswerRule("unavailable", code="x", description=re.compile("."), status=400),)}, scope="a b"),
])  # fmt: skip
replies = st.builds(HttpReply, statuses, headers, bodies, st.booleans(), st.just(NOW), st.just(NOW))

much = tried(400)


@much
@given(replies, of_requests)
def test_every_reply_has_an_answer_that_shows_no_secret(reply: HttpReply, of: Any) -> None:
    """Classifying never raises, its waits are sane, and no text form of the answer holds a secret of the request."""
    answer = classify(reply, of, NOW)
    assert isinstance(answer, Refreshed | RateLimited | Unavailable | InDoubt | Rejected | Misconfigured)
    for shown in (repr(answer), str(answer)):
        assert not any(secret in shown for secret in SECRETS)
    wait_s = getattr(answer, "retry_after_s", 1.0)
    assert 1 <= wait_s <= LONGEST_S


@much
@given(replies, of_requests)
def test_a_rejection_takes_the_servers_explicit_word(reply: HttpReply, of: Any) -> None:
    """Without rules that say so, only a whole readable error with one of the known codes ends a grant."""
    answer = classify(reply, of, NOW)
    if isinstance(answer, Rejected):
        said = json.loads(reply.body) if reply.body[:1] == b"{" else {}
        assert reply.complete
        assert reply.success or reply.status >= 400
        assert REJECTED & {said.get("error"), said.get("status"), answer.error if of.provider.form_reply else None}


def is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return b"error" in body  # a form, where the provider answers in forms


garbage = st.binary(max_size=300).filter(lambda body: not is_object(body))


@much
@given(statuses.filter(lambda status: 200 <= status < 300), garbage, headers, of_requests)
def test_garbage_at_2xx_is_always_in_doubt(status: int, body: bytes, fields: Any, of: Any) -> None:
    """Bytes that are no JSON object never give a token, a retry or a rejection."""
    assert isinstance(classify(HttpReply(status, fields, body, True, NOW, NOW), of, NOW), InDoubt)


@much
@given(st.integers(0, len(json.dumps(TOKENS)) - 1), statuses.filter(lambda status: 200 <= status < 300), headers)
def test_every_beginning_of_a_token_response_is_in_doubt(cut: int, status: int, fields: Any) -> None:
    """A success that is cut anywhere is in doubt and its bytes are kept, framing noticed or not."""
    body = json.dumps(TOKENS).encode()[:cut]
    answer = classify(HttpReply(status, fields, body, True, NOW, NOW), request(), NOW)
    assert isinstance(answer, InDoubt)
    assert (answer.body.reveal().encode("latin-1") if answer.body else b"") == body


@much
@given(statuses.filter(lambda status: not 200 <= status < 300), strict_objects, headers)
def test_only_a_2xx_brings_tokens(status: int, body: dict[str, Any], fields: Any) -> None:
    """Another status is never a success, and tokens beside it are kept."""
    reply = HttpReply(status, fields, json.dumps({**body, **TOKENS}).encode(), True, NOW, NOW)
    answer = classify(reply, request(), NOW)
    assert not isinstance(answer, Refreshed)
    assert isinstance(answer, InDoubt) or dict(fields).keys() & {"Content-Encoding", "Content-Type"}


@much
@given(headers, st.booleans())
def test_a_wait_is_between_a_second_and_a_year(fields: Any, limited: bool) -> None:
    """Pacing never raises and never asks for an instant that cannot be represented."""
    wait_s = retry_after_s(fields, NOW, limited=limited)
    assert wait_s is None or (math.isfinite(wait_s) and 1 <= wait_s <= LONGEST_S)
