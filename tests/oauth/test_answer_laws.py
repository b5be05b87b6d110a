"""Laws of classifying, against an independent reading of the table in the design's facts about OAuth.

What may be presented again is what matters: an answer counts as "surely not processed" only if its status or its code
says so, whatever else stands in it.
"""

from __future__ import annotations

import json
import math
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from oauth_parts import NOW, QUIET, TOKENS, answer_to, reply, request
from test_properties import headers, objects, statuses, strict_objects

from rotator.answers import classify
from rotator.http_messages import HttpReply
from rotator.model import InDoubt, Misconfigured, RateLimited, Refreshed, Rejected, Unavailable
from rotator.pacing import LONGEST_S, retry_after_s
from tests.effort import tried

law = tried(200)

SAYS_NOT_PROCESSED = {408, 409, 421, 425, 429, 503}
CODES_OF_PACING = {"too_many_requests", "too_many_attempts"}
CODES_OF_FAILURE = {"server_error", "temporarily_unavailable"}
CODES_OF_A_PERSON = {"invalid_grant", "interaction_required", "consent_required", "login_required", "mfa_required"}
CODES_OF_THE_REQUEST = {
    "invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
    "invalid_target", "invalid_resource", "access_denied", "use_dpop_nonce", "invalid_dpop_proof",
}  # fmt: skip
WRONG_ENDPOINT = {404, 405, 406, 413, 415, 501}

codes = st.sampled_from(
    sorted(CODES_OF_PACING | CODES_OF_FAILURE | CODES_OF_A_PERSON | CODES_OF_THE_REQUEST)
) | st.text(max_size=8)
errors = st.none() | st.fixed_dictionaries({"error": codes}, optional={"error_description": st.text(max_size=20)})


def allowed(status: int, code: str | None) -> set[type]:
    """Return the classes that the table allows for a reply without tokens."""
    success, failure = 200 <= status < 300, status >= 400
    if not success and not failure:
        return {InDoubt} if status == 303 or status < 200 else {Misconfigured}
    if code in CODES_OF_A_PERSON:
        return {Rejected}
    if code in CODES_OF_PACING or status == 429:
        return {RateLimited}
    if status in SAYS_NOT_PROCESSED - {503}:
        return {Unavailable}
    if code in CODES_OF_FAILURE:
        return {Unavailable}
    if code in CODES_OF_THE_REQUEST:
        return {Misconfigured}
    if status == 503 or (status == 403 and not code):
        return {Unavailable}
    if 400 <= status < 500 or status in WRONG_ENDPOINT:
        return {Misconfigured}
    return {InDoubt}


@law
@given(st.integers(100, 999) | st.sampled_from(sorted(SAYS_NOT_PROCESSED | WRONG_ENDPOINT | {200, 303, 403})), errors)
@example(200, {"error": "server_error"})
@example(502, {"error": ""})
def test_every_reply_without_tokens_is_where_the_table_puts_it(status: int, body: dict[str, str] | None) -> None:
    """For every status and code, known or not, the class is the table's."""
    answer = answer_to(json.dumps(body) if body else b"", status)
    assert {type(answer)} == allowed(status, (body or {}).get("error"))


@law
@given(statuses.filter(lambda status: status >= 500 and status not in {501, 503}), headers, st.binary(max_size=60))
def test_a_failure_of_the_server_without_a_code_is_never_surely_unprocessed(
    status: int, fields: Any, body: bytes
) -> None:
    """A gateway that lost the answer says 5xx: whatever headers stand beside it, the token may be spent."""
    answer = classify(HttpReply(status, fields, b"<" + body, True, NOW, NOW), request(), NOW)
    assert isinstance(answer, InDoubt)


@law
@given(statuses, headers, strict_objects, st.sampled_from(["access_token", "refresh_token"]))
def test_a_reply_that_shows_a_new_token_is_never_thrown_away(
    status: int, fields: Any, body: dict[str, Any], name: str
) -> None:
    """Whatever else it says, a readable reply with tokens is a success or kept for a person."""
    plain = tuple((header, value) for header, value in fields if not header.startswith("Content-"))
    text = json.dumps({**body, name: "a-new-token-that-nobody-has"}).encode()
    answer = classify(HttpReply(status, plain, text, True, NOW, NOW), request(), NOW)
    assert isinstance(answer, Refreshed | InDoubt)
    if isinstance(answer, InDoubt):
        assert answer.body is not None
        assert answer.body.reveal().encode("latin-1") == text


@law
@given(statuses, objects, st.dictionaries(st.from_regex(r"\Ax_[a-z]{1,6}\Z"), st.integers(), min_size=1), st.booleans())
def test_unknown_members_order_and_layout_mean_nothing(
    status: int, body: dict[str, Any], more: dict[str, int], turned: bool
) -> None:
    """RFC 6749 section 5.1: the class does not depend on what is not understood, nor on how JSON is laid out."""
    pairs = list({**body, **more}.items())
    other = json.dumps(dict(reversed(pairs) if turned else pairs), indent=2)
    assert type(answer_to(other, status)) is type(answer_to(json.dumps(body), status))


@law
@given(
    st.dictionaries(st.sampled_from(["error_description", "error_uri", "message"]), st.text()), st.integers(200, 299)
)
def test_words_beside_tokens_do_not_spoil_a_success(more: dict[str, str], status: int) -> None:
    """Only an error, or `ok: false`, makes a reply with tokens anything but a success."""
    assert isinstance(answer_to({**more, **TOKENS}, status), Refreshed)


# ------------------------------------------------------------------------------------------------------- pacing

spellings = st.sampled_from(["Retry-After", "retry-after", "RETRY-AFTER", "rEtRy-AfTeR"])


def bounded(seconds: float) -> float:
    return max(1.0, min(seconds, LONGEST_S))


@law
@given(st.integers(0, 10**12), spellings, st.booleans())
def test_a_number_of_seconds_is_taken_as_it_is(seconds: int, name: str, limited: bool) -> None:
    """Retry-After in seconds is waited for to the second, at least one and at most a year."""
    assert retry_after_s(((name, f" {seconds} "),), NOW, limited=limited) == bounded(seconds)


@law
@given(st.integers(-(10**7), 10**8), st.integers(-1000, 1000), spellings)
def test_an_instant_is_measured_by_the_providers_own_clock(ahead_s: int, skew_s: int, name: str) -> None:
    """With a Date, our clock has no say; without one the instant counts from the arrival."""
    told_at = NOW + timedelta(seconds=skew_s)
    until = format_datetime(told_at + timedelta(seconds=ahead_s), usegmt=True)
    dated = ((name, until), ("Date", format_datetime(told_at, usegmt=True)))
    assert retry_after_s(dated, NOW) == bounded(ahead_s)
    assert retry_after_s(dated[:1], NOW) == bounded(ahead_s + skew_s)


@law
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), headers, st.booleans())
def test_of_several_the_longest_counts_and_nothing_beside_it(waits: list[int], fields: Any, limited: bool) -> None:
    """Retry-After goes before every other header, and a repeated one is obeyed at its longest."""
    others = tuple((name, value) for name, value in fields if name not in {"Retry-After", "Date"})
    asked = tuple(("Retry-After", str(wait)) for wait in waits)
    assert retry_after_s(others + asked, NOW, limited=limited) == bounded(max(waits))


@law
@given(st.sampled_from(["-5", "1e3", "0x10", "5 s", "five", "", "+5", "\u0665", "NaN", "inf", "1,5"]), st.booleans())
def test_what_is_no_number_of_seconds_asks_for_nothing(value: str, limited: bool) -> None:
    """A malformed Retry-After is no header at all, and no error."""
    assert retry_after_s((("Retry-After", value),), NOW, limited=limited) is None


@law
@given(statuses, objects, st.integers(1, 10**6))
def test_no_class_sends_before_the_time_that_was_named(status: int, body: dict[str, Any], asked_s: int) -> None:
    """Promise 5: whatever the answer means, its Retry-After is in it, as a wait or as everybody's cooldown."""
    answer = classify(reply(body, status, (*QUIET, ("Retry-After", str(asked_s)))), request(), NOW)
    if isinstance(answer, Refreshed):
        return
    if isinstance(answer, RateLimited):
        assert answer.retry_after_s == asked_s
        return
    assert answer.cooldown_s == asked_s
    wait_s = getattr(answer, "retry_after_s", math.inf)
    assert wait_s >= asked_s
    assert not getattr(answer, "at_once", False)
