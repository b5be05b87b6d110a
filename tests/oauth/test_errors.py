# ruff: noqa: N802 - a test is named after its item of the checklist
"""The response side, errors and pacing: items E1 to E12 of the checklist, and the whole table of statuses."""

from __future__ import annotations

import base64
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus

import pytest
from oauth_parts import CLIENT_SECRET, DATE, NOW, REFRESH_TOKEN, answer_to, reply, request

from rotator.answers import classify
from rotator.model import AnswerRule, InDoubt, Misconfigured, RateLimited, Refreshed, Rejected, Unavailable
from rotator.oauth import build
from rotator.pacing import LONGEST_S, http_date, retry_after_s
from rotator.redact import Secret

HTML = b"<html><body><h1>Forbidden</h1></body></html>"

AUTH0 = (AnswerRule("rate_limited", status=500, code="access_denied", description=re.compile("Global limit")),)
HYDRA = (AnswerRule("unavailable", status=400, code="invalid_request",
                    description=re.compile("Please retry the request")),)  # fmt: skip
GITHUB = (AnswerRule("reauthorize", status=200, code="bad_refresh_token"),)
HUBSPOT = (AnswerRule("reauthorize", code="BAD_REFRESH_TOKEN"),)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 408, 409, 422, 425, 429, 500, 502, 503, 504, 520])
def test_E01_invalid_grant_is_a_rejection_at_every_status(status: int) -> None:
    """Auth0 sends it as 403, Keycloak as 400, others otherwise: the code decides."""
    answer = answer_to({"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}, status)
    assert answer == Rejected("invalid_grant", "Unknown or invalid refresh token.")


@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 303, 304, 307, 308])
def test_E01_a_redirect_or_interim_status_means_what_it_is(status: int) -> None:
    """A body beside a status that is neither success nor error is not believed."""
    assert not isinstance(answer_to({"error": "invalid_grant"}, status), Rejected | Refreshed)


@pytest.mark.parametrize("code", ["interaction_required", "consent_required", "login_required", "mfa_required"])
@pytest.mark.parametrize("status", [400, 401, 403])
def test_E01_codes_that_ask_for_a_person_are_rejections(code: str, status: int) -> None:
    """Entra's and Auth0's demands for an interaction end the grant."""
    assert isinstance(answer_to({"error": code}, status), Rejected)


@pytest.mark.parametrize(
    "code", ["invalid_request", "unsupported_grant_type", "invalid_scope", "invalid_target", "invalid_resource",
             "unauthorized_client", "access_denied", "invalid_dpop_proof"],
)  # fmt: skip
@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_E01_codes_about_the_request_are_for_the_operator(code: str, status: int) -> None:
    """A wrong request leaves the refresh token intact and is tried again in an hour."""
    answer = answer_to({"error": code}, status)
    assert isinstance(answer, Misconfigured)
    assert (answer.error, answer.retry_after_s) == (code, 3600)
    assert answer.hint


TABLE: list[tuple[int, type, float | None]] = [
    (100, InDoubt, None), (101, InDoubt, None), (103, InDoubt, None), (200, InDoubt, None), (204, InDoubt, None),
    (299, InDoubt, None), (300, Misconfigured, 3600), (301, Misconfigured, 3600), (302, Misconfigured, 3600),
    (303, InDoubt, None), (304, Misconfigured, 3600), (307, Misconfigured, 3600), (308, Misconfigured, 3600),
    (400, Misconfigured, 3600), (401, Misconfigured, 900), (402, Misconfigured, 3600), (403, Unavailable, 900),
    (404, Misconfigured, 3600), (405, Misconfigured, 3600), (406, Misconfigured, 3600), (408, Unavailable, 60),
    (409, Unavailable, 60), (410, Misconfigured, 3600), (413, Misconfigured, 3600), (415, Misconfigured, 3600),
    (418, Misconfigured, 3600), (421, Unavailable, 60), (425, Unavailable, 60), (429, RateLimited, 60),
    (451, Misconfigured, 3600), (500, InDoubt, None), (501, Misconfigured, 3600), (502, InDoubt, None),
    (503, Unavailable, 60), (504, InDoubt, None), (505, InDoubt, None), (511, InDoubt, None), (520, InDoubt, None),
    (524, InDoubt, None), (599, InDoubt, None), (600, InDoubt, None), (999, InDoubt, None),
]  # fmt: skip


@pytest.mark.parametrize("body", [b"", HTML, b"{", b"[]", b'"text"', b"{}", b"\xff", b"[" * 200_000])
@pytest.mark.parametrize(("status", "expected", "wait_s"), TABLE)
def test_E02_without_a_code_the_status_decides(status: int, expected: type, wait_s: float | None, body: bytes) -> None:
    """HTML, garbage and nothing are classified by status, never as a rejection."""
    answer = answer_to(body, status)
    assert type(answer) is expected
    assert getattr(answer, "retry_after_s", None) == wait_s
    if isinstance(answer, InDoubt):
        assert answer.body == (Secret(body.decode("latin-1")) if body else None)


@pytest.mark.parametrize(("status", "expected", "wait_s"), TABLE)
def test_E02_a_cut_or_compressed_failure_is_classified_by_its_status(
    status: int, expected: type, wait_s: float | None
) -> None:
    """What stands in a body that did not arrive whole is not believed, a grant's death least of all."""
    cut = reply({"error": "invalid_grant"}, status, complete=False)
    packed = reply({"error": "invalid_grant"}, status, headers=(("Content-Encoding", "gzip"),))
    for one in (cut, packed):
        assert type(classify(one, request(), NOW)) is expected


@pytest.mark.parametrize("error", ["strange_code", {"code": 400, "message": "m"}, ["invalid_grant"], 5, True])
def test_E02_an_unknown_code_is_for_the_operator_or_in_doubt(error: Any) -> None:
    """At 4xx it waits an hour, at 5xx and 2xx it leaves open what happened; 429, 503 and 409 speak for themselves."""
    body = {"error": error}
    for status in (400, 401, 403, 404, 422):
        answer = answer_to(body, status)
        assert isinstance(answer, Misconfigured), status
        assert answer.retry_after_s == 3600
    for status in (200, 500, 502, 504, 520):
        assert isinstance(answer_to(body, status), InDoubt), status
    assert isinstance(answer_to(body, 429), RateLimited)
    assert isinstance(answer_to(body, 503), Unavailable)
    assert isinstance(answer_to(body, 409), Unavailable)


@pytest.mark.parametrize("code", ["server_error", "temporarily_unavailable"])
@pytest.mark.parametrize("status", [400, 500, 502, 503])
def test_E02_a_server_that_says_it_failed_is_unavailable(code: str, status: int) -> None:
    """The standard codes for a failure say that nothing was granted."""
    assert answer_to({"error": code}, status) == Unavailable(60, code)


@pytest.mark.parametrize("status", [408, 421, 425])
def test_E02_what_was_not_read_may_be_sent_again_at_once(status: int) -> None:
    """One immediate retry is right, unless the provider asks to wait; a config code beside it changes nothing."""
    assert answer_to(b"", status) == Unavailable(60, f"http_{status}", at_once=True)
    assert answer_to({"error": "invalid_request"}, status) == Unavailable(60, "invalid_request", at_once=True)
    assert answer_to(b"", status, (("Retry-After", "7"),)) == Unavailable(
        7, f"http_{status}", at_once=False, cooldown_s=7
    )


def test_E04_wrong_client_credentials_are_retried_slowly_with_the_challenge_shown() -> None:
    """invalid_client waits a quarter of an hour and its hint quotes WWW-Authenticate and the description."""
    body = {"error": "invalid_client", "error_description": "Client authentication failed"}
    answer = answer_to(body, 401, (("WWW-Authenticate", 'Basic realm="id"'),))
    assert isinstance(answer, Misconfigured)
    assert (answer.error, answer.retry_after_s) == ("invalid_client", 900)
    assert 'Client authentication failed Basic realm="id"' in answer.hint
    assert "Basic" not in str(answer_to(body, 400, (("WWW-Authenticate", 'Basic realm="id"'),)))


def test_E04_a_clock_that_is_wrong_is_named_as_a_reason() -> None:
    """When the clocks differ, the hint of invalid_client says so: assertions live for a minute."""
    wrong = classify(reply({"error": "invalid_client"}, 401, (("Date", DATE),)), request(), NOW)
    assert "clock" not in str(wrong)
    early = (("Date", "Sat, 21 Nov 2026 11:58:00 GMT"),)
    assert "120 s behind ours" in str(answer_to({"error": "invalid_client"}, 401, early))


def test_E05_auth0_reports_a_rate_limit_as_500() -> None:
    """With Auth0's rule the 500 is paced by its reset; without its text it is what the code says."""
    headers = (("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", str(int(NOW.timestamp()) + 42)))
    body = {"error": "access_denied", "error_description": "Global limit has been reached"}
    assert answer_to(body, 500, headers, request({"rules": AUTH0})) == RateLimited(42, "access_denied")
    assert isinstance(answer_to({"error": "access_denied"}, 500, headers, request({"rules": AUTH0})), Misconfigured)
    assert isinstance(answer_to(body, 403, headers, request({"rules": AUTH0})), Misconfigured)


def test_E05_hydra_reports_a_lost_race_as_an_invalid_request() -> None:
    """With Hydra's rule the hint to retry is unavailable; any other invalid_request stays a configuration error."""
    of = request({"rules": HYDRA})
    lost = {"error": "invalid_request", "error_description": "Failed to refresh. Please retry the request."}
    assert answer_to(lost, 400, of=of) == Unavailable(60, "invalid_request")
    hinted = {"error": "invalid_request", "error_hint": "Please retry the request."}
    assert isinstance(answer_to(hinted, 400, of=of), Unavailable)
    assert isinstance(answer_to({"error": "invalid_request"}, 400, of=of), Misconfigured)


def test_E05_github_reports_a_dead_grant_as_200() -> None:
    """With GitHub's rule a 200 is a rejection."""
    body = {"error": "bad_refresh_token", "error_description": "The refresh token passed is incorrect or expired."}
    answer = answer_to(body, 200, of=request({"rules": GITHUB}))
    assert answer == Rejected("bad_refresh_token", "The refresh token passed is incorrect or expired.")


def test_E05_hubspot_has_no_error_member() -> None:
    """The code is found in the configured member, and the message is shown."""
    body = {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token", "correlationId": "c"}
    of = request({"rules": HUBSPOT, "error_members": ("error", "status")})
    assert answer_to(body, 400, of=of) == Rejected("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
    assert isinstance(answer_to(body, 400), Misconfigured)


def test_E05_the_first_rule_that_matches_decides_before_any_code() -> None:
    """Rules go in order and come before the built-in meaning of a code."""
    rules = (AnswerRule("misconfigured", status=400, code="invalid_grant", description=re.compile("client")),
             AnswerRule("unavailable", code="invalid_grant"), AnswerRule("in_doubt"))  # fmt: skip
    of = request({"rules": rules})
    assert isinstance(answer_to({"error": "invalid_grant", "message": "client"}, 400, of=of), Misconfigured)
    assert isinstance(answer_to({"error": "invalid_grant"}, 400, of=of), Unavailable)
    assert isinstance(answer_to(b"", 429, of=of), InDoubt)


def test_E05_no_rule_turns_garbage_or_tokens_into_anything_else() -> None:
    """An unreadable 200 is in doubt and a token response a success whatever the rules say."""
    of = request({"rules": (AnswerRule("reauthorize"),)})
    assert isinstance(answer_to(HTML, 200, of=of), InDoubt)
    assert isinstance(answer_to({}, 200, of=of), InDoubt)
    assert isinstance(answer_to({"access_token": "a", "token_type": "Bearer"}, 200, of=of), Refreshed)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0), ("1.5", 1.5), ("0", 1.0), ("1000000000", LONGEST_S), ("9" * 5000, LONGEST_S),
        ("Sat, 21 Nov 2026 12:02:00 GMT", 120.0), ("Saturday, 21-Nov-26 12:02:00 GMT", 120.0),
        ("Sat Nov 21 12:02:00 2026", 120.0), ("Sat, 21 Nov 2026 14:02:00 +0200", 120.0),
        ("Sat, 21 Nov 2020 12:00:00 GMT", 1.0), ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_S),
        ("31536000", 31_536_000.0), ("604800", 604_800.0),
        ("-5", None), ("soon", None), ("", None), ("1e9", None), ("٣", None), ("Sat, 99 Nov 2026 12:02:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None), ("120, 60", None),
    ],
)  # fmt: skip
def test_E06_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    """Both forms are read, the past is a second, garbage is nothing, and no wait is cut below what was asked."""
    assert retry_after_s((("retry-AFTER", value),), NOW) == expected


def test_E06_dates_are_measured_from_the_replys_own_date() -> None:
    """A local clock that is five minutes ahead does not shorten the wait."""
    headers = (("Date", DATE), ("Retry-After", "Sat, 21 Nov 2026 12:02:00 GMT"))
    assert retry_after_s(headers, NOW + timedelta(minutes=5)) == 120.0


def test_E06_the_longest_of_repeated_fields_counts() -> None:
    """Two Retry-After headers mean the later one, and a damaged one is ignored."""
    assert retry_after_s((("Retry-After", "5"), ("Retry-After", "x"), ("Retry-After", "9")), NOW) == 9.0


def test_E06_retry_after_comes_before_its_relatives() -> None:
    """Retry-After, then a reset, then RateLimit, each only where those before are missing or damaged."""
    relatives = (("X-RateLimit-Reset", "20"), ("X-RateLimit-Remaining", "0"), ("RateLimit", '"d";r=0;t=30'))
    assert retry_after_s((("Retry-After", "10"), *relatives), NOW) == 10.0
    assert retry_after_s((("Retry-After", "soon"), *relatives), NOW) == 20.0
    assert retry_after_s(relatives[2:], NOW) == 30.0


@pytest.mark.parametrize(
    ("field", "exhausted", "limited"),
    [
        ('"default";r=0;t=10', 10.0, 10.0),
        ('"default";r=5;t=10', None, 10.0),
        ("client;q=10;t=7;r=0", 7.0, 7.0),
        ('"a";r=0;t=10, "b";r=0;t=60, "c";r=9;t=900', 60.0, 60.0),
        ('"default" ; r=0 ; t=10 ; pk=:cHNzdA==:', 10.0, 10.0),
        ('"default";r=0;x="y;t=99";t=10', 10.0, 10.0),
        ('"default";r=0', None, None),
        ('"default";t=0;r=0', 1.0, 1.0),
        ('"default";r=0;t=ten', None, None),
        ('"default";r=0;t=10;', None, None),
        ('"default";r=0;t=10 "b"', None, None),
        ("limit=100, remaining=0, reset=10", None, None),
        (";;;", None, None),
        ("", None, None),
    ],
)
def test_E06_the_ratelimit_field_is_read_strictly(field: str, exhausted: float | None, limited: float | None) -> None:
    """`t` counts where nothing remains, or where the answer says "limited"; a malformed field is ignored."""
    assert retry_after_s((("RateLimit", field),), NOW) == exhausted
    assert retry_after_s((("RateLimit", field),), NOW, limited=True) == limited


def test_E06_a_limited_answer_waits_as_long_as_it_is_told() -> None:
    """429 and 503 honour Retry-After, 403 waits a quarter of an hour at least, a refused request an hour."""
    told = (("Retry-After", "7200"),)
    assert answer_to(b"", 429, told) == RateLimited(7200, "http_429")
    assert answer_to(b"", 503, told) == Unavailable(7200, "http_503", cooldown_s=7200)
    assert answer_to(b"", 403, told) == Unavailable(7200, "http_403", cooldown_s=7200)
    assert answer_to(b"", 403, (("Retry-After", "1"),)) == Unavailable(900, "http_403", cooldown_s=1)
    refused = answer_to({"error": "invalid_client"}, 401, told)
    assert isinstance(refused, Misconfigured)
    assert refused.retry_after_s == 7200
    assert refused.cooldown_s == 7200


def test_E06_a_wait_that_the_provider_asks_for_is_told_with_every_setback() -> None:
    """Whatever an answer means, its Retry-After is carried on, so that every replica can keep to it."""
    told = (("Retry-After", "30"),)
    for answer in (answer_to(b"", 502, told), answer_to({"error": "invalid_grant"}, 400, told)):
        assert isinstance(answer, InDoubt | Rejected)
        assert answer.cooldown_s == 30


@pytest.mark.parametrize("code", ["too_many_requests", "too_many_attempts"])
def test_E06_a_code_that_says_too_many_is_a_rate_limit(code: str) -> None:
    """Auth0's codes are rate limits at 429 and elsewhere."""
    for status in (429, 403, 400):
        assert answer_to({"error": code}, status) == RateLimited(60, code)


@pytest.mark.parametrize("body", [{"error": "access_denied"}, {"error": "server_error"}, HTML, b""])
def test_E06_429_is_a_rate_limit_whatever_it_says(body: Any) -> None:
    """The status alone says that nothing was processed; without a header the wait is a minute."""
    answer = answer_to(body, 429)
    assert isinstance(answer, RateLimited)
    assert answer.retry_after_s == 60


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (str(int(NOW.timestamp()) + 30), 30.0), (str((int(NOW.timestamp()) + 30) * 1000), 30.0), ("30", 30.0),
        (str(int(NOW.timestamp()) - 30), 1.0), ("999999999", LONGEST_S), ("x", None), ("-1", None), ("", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["X-RateLimit-", "X-Rate-Limit-", "x-ratelimit-", "RateLimit-"])
def test_E07_a_reset_is_an_instant_or_a_duration_by_its_size(name: str, value: str, expected: float | None) -> None:
    """Above 10^9 it is epoch seconds, far above that milliseconds, below it seconds from now."""
    assert retry_after_s(((f"{name}Reset", value), (f"{name}Remaining", "0")), NOW) == expected
    assert retry_after_s(((f"{name}Reset", value),), NOW, limited=True) == expected


def test_E07_a_reset_counts_only_where_the_budget_is_used_up() -> None:
    """A window that still has room asks nobody to wait."""
    headers = (("X-RateLimit-Reset", "30"), ("X-RateLimit-Remaining", "5"))
    assert retry_after_s(headers, NOW) is None
    assert answer_to(b"", 503, headers) == Unavailable(60, "http_503")
    assert answer_to(b"", 429, headers) == RateLimited(30, "http_429")


def test_E07_an_http_date_is_read_or_refused() -> None:
    """What is no date is none, and a date without a zone is UTC."""
    assert http_date("nonsense") is None
    assert http_date(DATE) == NOW
    assert http_date("Sat, 21 Nov 2026 12:00:00 -0000") == NOW


def test_E10_dpop_is_said_to_be_unsupported() -> None:
    """A provider that wants DPoP is a configuration error that says so; nothing is retried with a nonce."""
    answer = answer_to({"error": "use_dpop_nonce"}, 400, (("DPoP-Nonce", "n"),))
    assert isinstance(answer, Misconfigured)
    assert "DPoP" in answer.hint
    assert answer.retry_after_s == 3600


SECRETS = (REFRESH_TOKEN, CLIENT_SECRET, quote_plus(REFRESH_TOKEN), quote_plus(CLIENT_SECRET))


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500, 503])
@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client", "server_error", "access_denied", None])
def test_E11_no_answer_quotes_a_secret_of_the_request(status: int, code: str | None) -> None:
    """A server that echoes the request in every member and header brings none of it into the answer."""
    for secret in SECRETS:
        body = {"error": code or secret, "error_description": f"bad {secret}\r\n{secret}", "message": secret}
        answer = answer_to(body, status, (("WWW-Authenticate", f"Basic {secret}"), ("Location", secret)))
        assert secret not in repr(answer)


def test_E11_an_echoed_assertion_or_header_is_masked_too() -> None:
    """What the request carried beside the tokens is masked: the signed assertion and the Basic value."""
    basic = build(request({"client_auth": "client_secret_basic"}), None)
    signed = build(request({"client_auth": "private_key_jwt"}), Secret("signed.client.assertion"))
    for http in (basic, signed):
        assert not isinstance(http, Misconfigured)
        value = http.headers.get("Authorization", "signed.client.assertion").split()[-1]
        body = json.dumps({"error": "invalid_client", "error_description": f"refused: {value}"})
        answer = classify(reply(body, 401), request(), NOW, echoes=http.echoes)
        assert "refused: ***" in str(answer)
    assert base64.b64encode(quote_plus(CLIENT_SECRET).encode()).decode()[8:] not in str(answer)


def test_E11_a_secret_within_another_is_masked_with_it() -> None:
    """Masking the shorter one first would leave the rest of the longer one readable."""
    of = request(refresh_token=Secret("prefix-inner-suffix"), client_secret=Secret("inner"))
    answer = answer_to({"error": "invalid_grant", "error_description": "prefix-inner-suffix inner"}, 400, of=of)
    assert answer == Rejected("invalid_grant", "*** ***")


def test_E11_foreign_text_is_cut_and_free_of_control_characters() -> None:
    """A description is at most 500 characters, a code 100, and neither can move a terminal's cursor."""
    answer = answer_to({"error": "c" * 500, "error_description": "\x1b[2J\r\n" + "d" * 10_000}, 400)
    assert isinstance(answer, Misconfigured)
    assert len(answer.error) == 100
    assert answer.hint.isprintable()
    assert len(answer.hint) < 700


def test_E11_the_description_decides_nothing_without_a_rule() -> None:
    """Words in a description never make a rejection or a rate limit."""
    body = {"error": "invalid_request", "error_description": "invalid_grant: rate limit, refresh token expired"}
    assert isinstance(answer_to(body, 400), Misconfigured)


def test_E12_no_text_form_of_a_reply_or_an_answer_shows_a_body() -> None:
    """A reply shows status and size, a doubt hides what it keeps."""
    shown = repr(reply({"access_token": "hidden-access-token"}))
    assert shown == "HttpReply(200, 39 bytes)"
    assert repr(reply(b"cut", complete=False)) == "HttpReply(200, 3 bytes, cut)"
    assert "hidden" not in repr(answer_to(b'{"access_token": "hidden', 200))
