"""What a tenant reads, whom it believes, and how it words its refusals."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rotator.redact import Secret
from rotator.testing.sandbox import (
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    Client,
    FaceSettings,
    auth0_face,
    dailypay_face,
)
from rotator.testing.sandbox.clients import ASSERTION_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.testing.memory import VirtualClock
    from rotator.testing.sandbox import Face
    from tests.sandbox.conftest import Answer, Refresh, Send, Serve

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
AWKWARD = "z/tZ9V+w f%41:é="
_KEY = ec.generate_private_key(ec.SECP256R1())
_PUBLIC = _KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def _with_client(settings: FaceSettings, client: Client) -> FaceSettings:
    settings.clients[client.client_id] = client
    return settings


# ---------------------------------------------------------------------------------------------------- bodies


def test_auth0_reads_json(serve: Serve, send: Send) -> None:
    """The Auth0 tenant takes a JSON body."""
    face = serve(auth0_face())
    body = {
        "grant_type": "refresh_token",
        "refresh_token": face.login(DEFAULT_CLIENT_ID)["refresh_token"],
        "client_id": DEFAULT_CLIENT_ID,
        "client_secret": DEFAULT_CLIENT_SECRET,
    }
    assert send(face.token_endpoint, body=json.dumps(body), headers=JSON).status == 200


def test_dailypay_refuses_json(serve: Serve, send: Send) -> None:
    """The DailyPay tenant takes form bodies only."""
    face = serve(dailypay_face())
    assert send(face.token_endpoint, body="{}", headers=JSON).error == (400, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"refresh_token": 7}', b'{"refresh_token": "a", "refresh_token": "b"}', b"\xff"],
    ids=["broken", "list", "number", "twice", "bytes"],
)
def test_json_that_is_no_token_request_is_refused(serve: Serve, send: Send, body: bytes) -> None:
    """A JSON body that is not an object of strings, each there once, is an invalid request."""
    assert send(serve(auth0_face()).token_endpoint, body=body, headers=JSON).error == (400, "invalid_request")


@pytest.mark.parametrize("body", ["scope=a&scope=b", b"\xff=1", "scope=%ff"], ids=["twice", "bytes", "escapes"])
def test_a_form_that_cannot_be_read_is_refused(serve: Serve, send: Send, body: bytes | str) -> None:
    """A form with a repeated parameter (RFC 6749 section 3.2) or not in UTF-8 is an invalid request."""
    assert send(serve(dailypay_face()).token_endpoint, body=body, headers=FORM).error == (400, "invalid_request")


def test_a_token_response_must_not_be_stored(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """A token response forbids caching (RFC 6749 section 5.1) and is dated by the injected clock."""
    face = serve(auth0_face())
    headers = refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"]).headers
    assert (headers["Cache-Control"], headers["Pragma"]) == ("no-store", "no-cache")
    assert headers["Content-Type"] == "application/json"
    assert headers["Date"] == "Thu, 01 Jan 2026 00:00:00 GMT"


def test_a_token_endpoint_takes_post_only(serve: Serve, send: Send) -> None:
    """GET on a token endpoint is not allowed."""
    answer = send(serve(auth0_face()).token_endpoint, method="GET")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_paths_are_not_found(serve: Serve, send: Send, method: str) -> None:
    """Nothing else is served."""
    assert send(serve(auth0_face()).token_endpoint + "/else", method=method).status == 404


@pytest.mark.parametrize(("length", "status"), [("many", 411), ("1048577", 413)])
def test_a_body_of_unknown_or_huge_length_is_not_read(serve: Serve, send: Send, length: str, status: int) -> None:
    """A body without a usable length, or of more than a mebibyte, is refused unread."""
    face = serve(auth0_face())
    assert send(face.token_endpoint, headers={"Content-Length": length}).status == status
    assert face.report.requests == 0


# --------------------------------------------------------------------------------------------- grants and scopes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"scope": "openid everything"}, "invalid_scope"),
    ],
)
def test_requests_that_are_refused_do_not_spend(
    serve: Serve, refresh: Refresh, changes: dict[str, str], code: str
) -> None:
    """A refused request leaves its refresh token good."""
    face = serve(dailypay_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    assert refresh(face, token, **changes).error == (400, code)
    assert refresh(face, token).status == 200


def test_a_request_without_a_refresh_token_is_refused(serve: Serve, send: Send) -> None:
    """The refresh token is required."""
    face = serve(dailypay_face())
    body = {"grant_type": "refresh_token", "client_id": DEFAULT_CLIENT_ID, "client_secret": DEFAULT_CLIENT_SECRET}
    assert send(face.token_endpoint, body=urlencode(body), headers=FORM).error == (400, "invalid_request")
    assert face.report.presented == face.report.processed == {}


def test_a_narrower_scope_narrows_the_access_token_only(serve: Serve, refresh: Refresh) -> None:
    """A refresh for less than the granted scope is answered with it, and the next one may ask for all again."""
    face = serve(dailypay_face())
    token = face.login(DEFAULT_CLIENT_ID, scope="offline_access user:read")["refresh_token"]
    narrow = refresh(face, token, scope="user:read").json
    assert narrow["scope"] == "user:read"
    assert refresh(face, narrow["refresh_token"]).json["scope"] == "offline_access user:read"


# ------------------------------------------------------------------------------------------------------- clients


@pytest.mark.parametrize("settings", [auth0_face, dailypay_face])
@pytest.mark.parametrize(
    "credentials",
    [
        {"client_id": DEFAULT_CLIENT_ID, "client_secret": "wrong"},
        {"client_id": DEFAULT_CLIENT_ID},
        {"client_id": "nobody", "client_secret": "any"},
        {},
    ],
    ids=["wrong secret", "no secret", "unknown client", "nothing"],
)
def test_a_client_that_does_not_prove_itself_is_refused(
    serve: Serve, refresh: Refresh, settings: Callable[[], FaceSettings], credentials: dict[str, str]
) -> None:
    """A failed client authentication is a 401 invalid_client and leaves the refresh token good."""
    face = serve(settings())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    answer = refresh(face, token, credentials=credentials)
    assert answer.error == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert refresh(face, token).status == 200


def _basic_face(serve: Serve, settings: FaceSettings) -> tuple[Face, str]:
    client = Client("id/Q 1", "client_secret_basic", secret=Secret(AWKWARD))
    face = serve(_with_client(settings, client))
    return face, face.login(client.client_id)["refresh_token"]


def test_basic_credentials_are_form_decoded(serve: Serve, refresh: Refresh) -> None:
    """A Hydra decodes id and secret of a Basic header as RFC 6749 section 2.3.1 demands, a plus sign included."""
    face, token = _basic_face(serve, dailypay_face())
    headers = _basic(quote_plus("id/Q 1"), quote_plus(AWKWARD))
    assert "+" in quote_plus(AWKWARD)
    assert refresh(face, token, headers=headers, credentials={}).status == 200


def test_unencoded_basic_credentials_fail_at_a_decoding_tenant(serve: Serve, refresh: Refresh) -> None:
    """A secret with a plus or percent sign that was not encoded is another secret after decoding."""
    face, token = _basic_face(serve, dailypay_face())
    answer = refresh(face, token, headers=_basic("id/Q 1", AWKWARD), credentials={})
    assert answer.error == (401, "invalid_client")


def test_basic_credentials_are_taken_as_they_are_by_auth0(serve: Serve, refresh: Refresh) -> None:
    """The Auth0 tenant does not decode a Basic header."""
    face, token = _basic_face(serve, auth0_face())
    assert refresh(face, token, headers=_basic("id/Q 1", AWKWARD), credentials={}).status == 200


def test_an_identifier_beside_basic_credentials_is_allowed(serve: Serve, refresh: Refresh) -> None:
    """The client id may stand in the body too (RFC 6749 section 3.2.1)."""
    face, token = _basic_face(serve, auth0_face())
    answer = refresh(face, token, headers=_basic("id/Q 1", AWKWARD), credentials={"client_id": "id/Q 1"})
    assert answer.status == 200


@pytest.mark.parametrize(
    "authorization",
    ["Bearer x", "Basic %%%", "Basic " + base64.b64encode(b"no-colon").decode(), "Basic /w=="],
    ids=["another scheme", "no base64", "no colon", "no UTF-8"],
)
def test_an_authorization_header_that_cannot_be_read_proves_nothing(
    serve: Serve, refresh: Refresh, authorization: str
) -> None:
    """An unreadable Authorization header is a failed authentication."""
    face, token = _basic_face(serve, auth0_face())
    headers = {"Authorization": authorization}
    assert refresh(face, token, headers=headers, credentials={}).error == (401, "invalid_client")


def test_a_client_uses_the_one_method_it_is_registered_with(serve: Serve, refresh: Refresh) -> None:
    """The right secret in the wrong place is refused."""
    face, token = _basic_face(serve, dailypay_face())
    credentials = {"client_id": "id/Q 1", "client_secret": AWKWARD}
    assert refresh(face, token, credentials=credentials).error == (401, "invalid_client")


def test_two_ways_of_authentication_are_one_too_many(serve: Serve, refresh: Refresh) -> None:
    """A request must not use more than one way to authenticate (RFC 6749 section 2.3)."""
    face = serve(dailypay_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    headers = _basic(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)
    assert refresh(face, token, headers=headers).error == (400, "invalid_request")


def test_a_public_client_names_itself(serve: Serve, refresh: Refresh) -> None:
    """A public client needs its id and no secret."""
    face = serve(_with_client(dailypay_face(), Client("public", "none")))
    token = face.login("public")["refresh_token"]
    assert refresh(face, token, credentials={"client_id": "public"}).status == 200


# ----------------------------------------------------------------------------------------------- private_key_jwt


def _assertion_answer(serve: Serve, refresh: Refresh, **changes: Any) -> Answer:
    """Refresh with a good assertion, but for `changes`; None takes a claim out."""
    face = serve(_with_client(dailypay_face(), Client("keyed", "private_key_jwt", public_key=_PUBLIC.decode())))
    now = int(face._clock.now().timestamp())
    claims = {"iss": "keyed", "sub": "keyed", "aud": face.token_endpoint, "exp": now + 60, "iat": now, "jti": "1"}
    claims |= changes
    claims = {name: value for name, value in claims.items() if value is not None}
    credentials = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": jwt.encode(claims, _KEY, algorithm="ES256"),
    }
    return refresh(face, face.login("keyed")["refresh_token"], credentials=credentials)


def test_a_signed_assertion_proves_a_client(serve: Serve, refresh: Refresh) -> None:
    """A client with a key authenticates by an assertion (RFC 7523)."""
    assert _assertion_answer(serve, refresh).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://elsewhere.example"},
        {"iss": "other"},
        {"sub": DEFAULT_CLIENT_ID},
        {"jti": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1},
        {"exp": 1_767_225_600 + 3600},
        {"nbf": 1_767_225_600 + 60},
    ],
    ids=str,
)
def test_an_assertion_that_does_not_hold_is_refused(serve: Serve, refresh: Refresh, changes: dict[str, Any]) -> None:
    """An assertion for somebody else, by somebody else, without an end, or not of this time proves nothing."""
    assert _assertion_answer(serve, refresh, **changes).error == (401, "invalid_client")


def test_an_assertion_is_good_once(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """The same assertion does not authenticate a second request."""
    face = serve(_with_client(auth0_face(), Client("keyed", "private_key_jwt", public_key=_PUBLIC.decode())))
    base = face.token_endpoint.removesuffix("oauth/token")
    claims = {"iss": "keyed", "sub": "keyed", "aud": base, "exp": clock.now().timestamp() + 60, "jti": "1"}
    credentials = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": jwt.encode(claims, _KEY, algorithm="ES256"),
    }
    answer = refresh(face, face.login("keyed")["refresh_token"], credentials=credentials)
    again = refresh(face, answer.json["refresh_token"], credentials=credentials)
    assert (answer.status, again.error) == (200, (401, "invalid_client"))


# ------------------------------------------------------------------------------------------------------- silence


def test_nothing_is_printed_and_no_token_is_logged(
    serve: Serve, refresh: Refresh, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """At the most talkative log level no token, secret or request line appears anywhere."""
    caplog.set_level(logging.DEBUG)
    face = serve(auth0_face())
    tokens = face.login(DEFAULT_CLIENT_ID)
    refresh(face, tokens["refresh_token"])
    refresh(face, tokens["refresh_token"])
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert "Issue token TokenReply(access_token," in caplog.text
    shown = caplog.text + repr(tokens) + repr(face.report) + repr(face.settings)
    assert "sandbox_rt_" not in shown
    assert "sandbox_at_" not in shown
    assert DEFAULT_CLIENT_SECRET not in shown
