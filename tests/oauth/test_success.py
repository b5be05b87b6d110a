# ruff: noqa: N802 - a test is named after its item of the checklist
"""The response side, success: items S1 to S20 of the checklist."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from oauth_parts import (
    CLIENT_SECRET,
    DATE,
    NOW,
    QUIET,
    REFRESH_TOKEN,
    TOKENS,
    answer_to,
    reply,
    request,
    tokens_of,
)

from rotator.answers import classify
from rotator.model import AnswerRule, InDoubt, Misconfigured, RateLimited, Rejected, Unavailable
from rotator.redact import Secret


def without(name: str) -> dict[str, Any]:
    """Return a token response that lacks one member."""
    return {key: value for key, value in TOKENS.items() if key != name}


def test_S01_a_token_response_is_a_success_at_every_2xx() -> None:
    """200, 201 and 203 with an access token bring the tokens, with no warning and no problem."""
    for status in (200, 201, 203):
        answer = tokens_of(TOKENS, status=status)
        assert answer.tokens.access_token.reveal() == "new-access-token-1"
        assert answer.tokens.refresh_token == Secret("new-refresh-token-1")
        assert (answer.tokens.token_type, answer.tokens.expires_in_s) == ("Bearer", 3600.0)
        assert (answer.tokens.extra_problem, answer.warnings) == (None, ())


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ((("Retry-After", "60"),), 60.0),
        ((("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "60")), 60.0),
        ((("X-RateLimit-Remaining", "1"), ("X-RateLimit-Reset", "60")), None),
        ((("RateLimit", '"default";r=0;t=60'),), 60.0),
        ((), None),
    ],
)
def test_a_success_that_asks_to_wait_is_heard(headers: tuple[tuple[str, str], ...], wait_s: float | None) -> None:
    """Promise 5: with the last request of a window come the tokens, and the pause until the next one."""
    assert tokens_of(TOKENS, headers=headers).cooldown_s == wait_s


@pytest.mark.parametrize(
    "body",
    [
        {}, [], None, "text", 1, True, b"", b"null", without("access_token"),
        {**TOKENS, "access_token": ""}, {**TOKENS, "access_token": None}, {**TOKENS, "access_token": 5},
        {**TOKENS, "access_token": ["a"]}, {"ok": False}, {"error": {"code": 5}}, {"error": True},
    ],
)  # fmt: skip
def test_S01_a_2xx_without_an_access_token_is_in_doubt(body: Any) -> None:
    """What is no token response and names no error leaves open whether the refresh token was spent."""
    for status in (200, 201, 204):
        assert isinstance(answer_to(body, status), InDoubt)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": "bad_refresh_token", "error_description": "expired"}, "bad_refresh_token"),
        ({"ok": False, "error": "invalid_refresh_token"}, "invalid_refresh_token"),
    ],
)
def test_S01_an_error_in_a_200_is_read_by_its_code(body: dict[str, Any], code: str) -> None:
    """GitHub and Slack report dead grants as 200: with their rules it is a rejection, without them in doubt."""
    rules = (
        AnswerRule("reauthorize", code="bad_refresh_token"),
        AnswerRule("reauthorize", code="invalid_refresh_token"),
    )
    answer = answer_to(body, of=request({"rules": rules}))
    assert isinstance(answer, Rejected)
    assert answer.error == code
    assert isinstance(answer_to(body), InDoubt)


def test_S01_the_standard_codes_count_in_a_200_too() -> None:
    """RFC codes decide at 200 as they do at 400."""
    assert isinstance(answer_to({"error": "invalid_grant"}), Rejected)
    assert isinstance(answer_to({"error": "invalid_client"}), Misconfigured)
    assert isinstance(answer_to({"error": "too_many_requests"}), RateLimited)
    assert isinstance(answer_to({"ok": False, "error": "temporarily_unavailable"}), Unavailable)


@pytest.mark.parametrize("error", [None, "", False, 0, {}, []])
def test_S01_an_empty_error_member_is_none(error: Any) -> None:
    """`error: null` and its like beside tokens do not make a failure of them."""
    tokens_of({**TOKENS, "error": error, "ok": True})


@pytest.mark.parametrize("status", [200, 400, 403, 429, 500, 503])
@pytest.mark.parametrize(
    "tokens", [{"access_token": "a", "refresh_token": "b"}, {"access_token": "a"}, {"refresh_token": "b"}]
)
def test_S01_tokens_in_a_failure_are_kept_as_in_doubt(status: int, tokens: dict[str, str]) -> None:
    """A reply that contradicts itself is neither believed nor thrown away."""
    for failure in ({"error": "invalid_grant"}, {"error": "strange"}, {"ok": False}):
        answer = answer_to({**failure, **tokens}, status)
        assert isinstance(answer, InDoubt)
        assert answer.body is not None
        assert json.loads(answer.body.reveal()) == {**failure, **tokens}


def test_S01_an_echo_of_the_presented_token_is_no_new_token() -> None:
    """invalid_grant that quotes the request's own refresh token stays a rejection."""
    assert isinstance(answer_to({"error": "invalid_grant", "refresh_token": REFRESH_TOKEN}, 400), Rejected)


def test_S01_other_error_members_may_stand_beside_tokens() -> None:
    """A `status` member that a profile reads errors from is innocent in a token response."""
    tokens_of({**TOKENS, "status": "SUCCESS"}, of=request({"error_members": ("error", "status")}))


def test_S02_without_a_new_refresh_token_the_old_one_stays() -> None:
    """A missing refresh_token comes out as none, which means: keep the old one."""
    assert tokens_of(without("refresh_token")).tokens.refresh_token is None


@pytest.mark.parametrize("empty", ["", None])
def test_S03_an_empty_refresh_token_is_a_missing_one(empty: Any) -> None:
    """`refresh_token: ""` and `null` do not replace the old one."""
    assert tokens_of({**TOKENS, "refresh_token": empty}).tokens.refresh_token is None


@pytest.mark.parametrize("strange", [5, True, ["a"], {"value": "a"}])
def test_S03_a_refresh_token_that_is_no_text_is_in_doubt(strange: Any) -> None:
    """A successor in a form that nobody understands is kept for a person and not dropped."""
    assert isinstance(answer_to({**TOKENS, "refresh_token": strange}), InDoubt)


def test_S05_the_presented_refresh_token_may_come_back() -> None:
    """A server that answers with the very token it was given raises no warning."""
    answer = tokens_of({**TOKENS, "refresh_token": REFRESH_TOKEN.replace("é", "e")},
                       of=request(refresh_token=Secret(REFRESH_TOKEN.replace("é", "e"))))  # fmt: skip
    assert answer.tokens.refresh_token == Secret(REFRESH_TOKEN.replace("é", "e"))
    assert answer.warnings == ()


@pytest.mark.parametrize("token_type", ["bearer", "Bearer", "BEARER"])
def test_S06_bearer_is_known_in_any_case(token_type: str) -> None:
    """The type is compared without regard to case and kept as it was sent."""
    tokens = tokens_of({**TOKENS, "token_type": token_type}).tokens
    assert (tokens.token_type, tokens.extra_problem) == (token_type, None)


@pytest.mark.parametrize("token_type", ["mac", "DPoP", "N_A", 5, ["Bearer"]])
def test_S06_tokens_of_another_type_are_kept_and_not_published(token_type: Any) -> None:
    """A type that readers cannot use is a problem; both tokens are there all the same."""
    tokens = tokens_of({**TOKENS, "token_type": token_type}).tokens
    assert "token_type" in str(tokens.extra_problem)
    assert tokens.refresh_token == Secret("new-refresh-token-1")


def test_S06_a_missing_type_is_assumed_by_configuration_only() -> None:
    """Without a configured default a missing type is a problem, with one it is a warning."""
    assert "token_type" in str(tokens_of(without("token_type")).tokens.extra_problem)
    answer = tokens_of(without("token_type"), of=request({"default_token_type": "Bearer"}))
    assert (answer.tokens.token_type, answer.tokens.extra_problem) == ("Bearer", None)
    assert "Bearer is assumed" in answer.warnings[0]


def test_S06_the_configured_type_is_usable() -> None:
    """A vendor's own name for its bearer tokens is accepted where the profile names it."""
    tokens = tokens_of({**TOKENS, "token_type": "bot"}, of=request({"default_token_type": "bot"})).tokens
    assert (tokens.token_type, tokens.extra_problem) == ("bot", None)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (3600, 3600.0), ("28800", 28800.0), ("3599.0", 3599.0), (3599.5, 3599.5), (0, 0.0), ("0", 0.0), (" 60 ", 60.0),
        (315_360_000, 315_360_000.0),
    ],
)  # fmt: skip
def test_S07_a_lifetime_is_a_number_or_its_digits(sent: Any, expected: float) -> None:
    """Integers, floats and their digits in a text are read without a warning."""
    answer = tokens_of({**TOKENS, "expires_in": sent})
    assert (answer.tokens.expires_in_s, answer.warnings) == (expected, ())


@pytest.mark.parametrize(
    "sent", [-1, -0.5, True, False, "", "-1", "1e3", "inf", "nan", "٣", "3600s", [], {}, "9" * 5000]
)
def test_S07_what_is_no_lifetime_is_left_out_with_a_warning(sent: Any) -> None:
    """Negative numbers, booleans and other texts count as no lifetime; the tokens are kept."""
    answer = tokens_of({**TOKENS, "expires_in": sent})
    assert answer.tokens.expires_in_s is None
    assert answer.warnings[0].startswith("expires_in")


@pytest.mark.parametrize("sent", ["315360001", "1e15", "9" * 400, "9" * 5000, "1e999"])
def test_S07_a_huge_lifetime_does_not_put_off_the_refresh_for_ever(sent: str) -> None:
    """Numbers beyond ten years are cut to that, and what overflows is left out."""
    answer = tokens_of(json.dumps(TOKENS).replace("3600", sent))
    assert answer.tokens.expires_in_s in {315_360_000.0, None}
    assert answer.warnings[0].startswith("expires_in")


def test_S07_not_a_number_is_no_json() -> None:
    """NaN and Infinity make the whole reply unreadable, for JSON has neither."""
    for number in ("NaN", "Infinity", "-Infinity"):
        assert isinstance(answer_to(json.dumps(TOKENS).replace("3600", number)), InDoubt)


@pytest.mark.parametrize("body", [without("expires_in"), {**TOKENS, "expires_in": None}])
def test_S08_a_missing_lifetime_is_said_to_be_missing(body: dict[str, Any]) -> None:
    """No lifetime is invented here: the profile's default is applied where the document is written."""
    assert tokens_of(body).tokens.expires_in_s is None


@pytest.mark.parametrize(("offset_s", "warned"), [(0, False), (30, False), (-30, False), (31, True), (-31, True)])
def test_S11_clocks_that_differ_by_more_than_30_s_are_reported(offset_s: int, warned: bool) -> None:
    """The Date header is compared with the time between sending and receiving."""
    moment = NOW + timedelta(seconds=offset_s)
    date = moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
    answer = tokens_of(TOKENS, headers=(*QUIET, ("Date", date)))
    assert bool(answer.warnings) is warned
    if warned:
        assert f"31 s {'ahead of' if offset_s > 0 else 'behind'} ours" in answer.warnings[0]


def test_S11_the_time_of_the_request_is_no_skew() -> None:
    """A slow reply whose Date lies between sending and receiving fits."""
    slow = replace(reply(TOKENS, headers=(*QUIET, ("Date", DATE))),
                   sent_at=NOW - timedelta(seconds=40), received_at=NOW + timedelta(seconds=40))  # fmt: skip
    assert classify(slow, request(), NOW) == tokens_of(TOKENS)


def test_S12_unknown_members_are_ignored() -> None:
    """Vendors' extras of any shape change nothing, repeated names deep inside them included."""
    extra = {"not-before-policy": 0, "session_state": "x", "hub_id": 5, "instance_url": None, "deep": [{"a": {}}]}
    assert tokens_of({**TOKENS, **extra}) == tokens_of(TOKENS)
    assert tokens_of(json.dumps(TOKENS)[:-1] + ',"deep":{"a":1,"a":2}}') == tokens_of(TOKENS)


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "expires_in", "error", "foo"])
def test_S13_a_repeated_name_makes_the_reply_unreadable(name: str) -> None:
    """With the same name twice nobody can know which one is meant: in doubt, with the body kept."""
    body = json.dumps(TOKENS)[:-1] + f',"{name}":"b","{name}":"c"}}'
    answer = answer_to(body)
    assert isinstance(answer, InDoubt)
    assert answer.body == Secret(body)


@pytest.mark.parametrize("length", [3 * 1024, 64 * 1024, 512 * 1024])
def test_S14_long_tokens_are_whole(length: int) -> None:
    """Nothing is assumed about the size of a token."""
    tokens = tokens_of({**TOKENS, "access_token": "a" * length, "refresh_token": "r" * length}).tokens
    assert len(tokens.access_token.reveal()) == length
    assert tokens.refresh_token == Secret("r" * length)


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\t", "\x7f", "é", "\u2028"])
def test_S15_an_access_token_that_could_break_a_header_is_not_published(character: str) -> None:
    """Characters beyond RFC 6749 appendix A.12 are a problem, and the refresh token is kept."""
    tokens = tokens_of({**TOKENS, "access_token": f"a{character}Set-Cookie: x"}).tokens
    assert "characters" in str(tokens.extra_problem)
    assert tokens.refresh_token == Secret("new-refresh-token-1")


def test_S15_a_strange_refresh_token_is_kept_as_it_came() -> None:
    """A refresh token is never put into a header, so that its characters are worth a warning only."""
    answer = tokens_of({**TOKENS, "refresh_token": "r\n1"})
    assert answer.tokens.refresh_token == Secret("r\n1")
    assert answer.tokens.extra_problem is None
    assert "refresh token" in answer.warnings[0]


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "id_token", "token_type", "scope"])
def test_S15_half_a_surrogate_pair_is_in_doubt(name: str) -> None:
    """Text that no store can hold is kept in the raw body, where it is plain ASCII."""
    body = json.dumps({**TOKENS, name: "\ud800"})
    answer = answer_to(body)
    assert isinstance(answer, InDoubt)
    assert answer.body == Secret(body)


def test_S16_a_narrower_scope_keeps_the_tokens_and_is_reported() -> None:
    """A lost scope gives a warning that begins with `scope` and names it; the tokens are stored."""
    for of in (request(granted_scope="b a"), request(scope="a b", granted_scope="a b c")):
        answer = tokens_of({**TOKENS, "scope": "a"}, of=of)
        assert answer.warnings == ("scope is narrower than required, degraded: b is missing",)
        assert (answer.tokens.scope, answer.tokens.extra_problem) == ("a", None)


def test_S16_a_wider_or_reordered_scope_is_no_degradation() -> None:
    """More scope than asked for is a warning of another kind; another order, commas or a list are nothing."""
    answer = tokens_of({**TOKENS, "scope": "user:read_write user:read"}, of=request(scope="user:read"))
    assert answer.warnings == ("the scope is wider than asked for: user:read_write",)
    for sent in ("b a", "b,a", ["b", "a"]):
        assert tokens_of({**TOKENS, "scope": sent}, of=request(granted_scope="a b")).warnings == ()


@pytest.mark.parametrize("missing", [without("scope"), {**TOKENS, "scope": None}, {**TOKENS, "scope": ""}])
def test_S17_a_missing_scope_is_the_requested_or_the_original_one(missing: dict[str, Any]) -> None:
    """RFC 6749 section 5.1: omitted means identical."""
    assert tokens_of(missing, of=request(scope="a", granted_scope="a b")).tokens.scope == "a"
    assert tokens_of(missing, of=request(granted_scope="a b")).tokens.scope == "a b"
    assert tokens_of(missing).tokens.scope is None


@pytest.mark.parametrize("scope", [5, {"a": 1}, [1]])
def test_S17_a_scope_that_is_no_text_is_left_out(scope: Any) -> None:
    """A scope of another shape changes nothing and is reported."""
    answer = tokens_of({**TOKENS, "scope": scope}, of=request(granted_scope="a"))
    assert answer.tokens.scope == "a"
    assert "scope is no text" in answer.warnings[0]


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        ("refresh_token_expires_in", 15897600, 15897600.0),
        ("refresh_token_expires_in", "15897600", 15897600.0),
        ("refresh_expires_in", 1800, 1800.0),
        ("refresh_expires_in", 0, None),
        ("refresh_expires_in", 9_999_999_999, None),  # centuries: an instant that no record could hold
        ("refresh_expires_in", 10**400, None),
        ("x_refresh_token_expires_in", 8726400, 8726400.0),
        ("refresh_token_expires_in", "soon", None),
        ("refresh_token_expires_in", -1, None),
    ],
)
def test_S19_the_refresh_tokens_own_life_is_recorded(member: str, value: Any, expected: float | None) -> None:
    """The vendors' members are read where they are usable and never required."""
    answer = tokens_of({**TOKENS, member: value})
    assert (answer.tokens.refresh_expires_in_s, answer.warnings) == (expected, ())


@pytest.mark.parametrize("headers", [(), (("Cache-Control", "private"),)])
def test_S20_a_cacheable_reply_is_a_warning(headers: tuple[tuple[str, str], ...]) -> None:
    """A missing no-store is the server's defect and fails nothing."""
    assert tokens_of(TOKENS, headers=headers).warnings == ("the reply is not marked Cache-Control: no-store",)
    assert tokens_of(TOKENS, headers=(("cache-control", "private, No-Store"),)).warnings == ()


def test_E12_foreign_text_in_warnings_and_problems_is_masked() -> None:
    """A server that puts tokens into other members does not bring them into a log."""
    for member in ("token_type", "scope"):
        for secret in (REFRESH_TOKEN, CLIENT_SECRET, TOKENS["access_token"], TOKENS["refresh_token"]):
            answer = tokens_of({**TOKENS, member: f"x {secret}"}, of=request(granted_scope="a"))
            assert secret not in repr(answer)
