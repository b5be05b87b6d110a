"""Requests and replies of grants that need no refresh token (RFC 6749 section 4.4, RFC 7523 section 2.1)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from oauth_parts import TOKENS, answer_to, request, tokens_of

from rotator.http_messages import HttpRequest
from rotator.model import InDoubt, Misconfigured, RefreshRequest
from rotator.oauth import JWT_BEARER, build
from rotator.redact import Secret

KINDS = ("client_credentials", "jwt_bearer")
ASSERTION = Secret("signed-grant-assertion")


def standing(kind: str, **changes: Any) -> RefreshRequest:
    return request({"grant": kind, **changes}, refresh_token=None)


def sent(of: RefreshRequest) -> dict[str, str]:
    built = build(of, None, ASSERTION if of.provider.grant == "jwt_bearer" else None)
    assert isinstance(built, HttpRequest), built
    return dict(parse_qsl(built.body.decode()))


def test_client_credentials_ask_in_the_clients_name() -> None:
    """The grant type, and the client's authentication; nothing else."""
    assert sent(standing("client_credentials")) == {
        "grant_type": "client_credentials",
        "client_id": "client-1",
        "client_secret": "client-secret-Qy27+%",
    }


def test_an_assertion_needs_no_client_beside_it() -> None:
    """With client_auth: none the assertion alone says who asks."""
    assert sent(standing("jwt_bearer", client_auth="none")) == {
        "grant_type": JWT_BEARER,
        "assertion": ASSERTION.reveal(),
    }


def test_a_client_may_authenticate_beside_its_assertion() -> None:
    """A provider that wants both gets both."""
    assert sent(standing("jwt_bearer"))["client_secret"] == "client-secret-Qy27+%"


def test_without_an_assertion_nothing_is_sent() -> None:
    """A grant that could not be signed is no request."""
    assert isinstance(build(standing("jwt_bearer"), None), Misconfigured)


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_of_the_configuration_takes_the_place_of_none_of_ours(kind: str) -> None:
    """Whatever `token_parameters` hold, the grant type is the grant's."""
    assert sent(standing(kind, token_parameters=(("grant_type", "password"),)))["grant_type"] != "password"


@pytest.mark.parametrize("kind", KINDS)
def test_a_refresh_token_that_comes_all_the_same_is_not_kept(kind: str) -> None:
    """Nobody would present it (RFC 6749 section 4.4.3)."""
    assert tokens_of(TOKENS, of=standing(kind)).tokens.refresh_token is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_life_of_that_refresh_token_is_not_kept_either(kind: str) -> None:
    """Or the access token would be refreshed before a token ends that nobody has."""
    assert tokens_of({**TOKENS, "refresh_expires_in": 1800}, of=standing(kind)).tokens.refresh_expires_in_s is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_rejection_asks_for_no_login(kind: str) -> None:
    """What is called a dead grant is the client's to mend, and is tried again in an hour."""
    answer = answer_to({"error": "invalid_grant", "error_description": "not approved"}, 400, of=standing(kind))
    assert isinstance(answer, Misconfigured)
    assert (answer.error, answer.retry_after_s) == ("invalid_grant", 3600)
    assert "it says: not approved" in answer.hint


def test_an_unreadable_reply_is_in_doubt_here_too() -> None:
    """Whether a token was issued is not known; what follows from that is decided elsewhere."""
    assert isinstance(answer_to("<html>", of=standing("client_credentials")), InDoubt)


def test_the_assertion_is_masked_in_what_a_server_says() -> None:
    """An error that quotes the assertion shows none of it."""
    of = standing("jwt_bearer", client_auth="none")
    built = build(of, None, ASSERTION)
    assert isinstance(built, HttpRequest)
    assert ASSERTION in built.echoes
