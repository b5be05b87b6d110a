# ruff: noqa: N802 - a test is named after its item of the checklist
"""The ID token of a refresh: item S18 of the checklist."""

from __future__ import annotations

from typing import Any

import pytest
from oauth_parts import (
    ID_TOKEN_CLAIMS,
    TOKENS,
    jwt_of,
    request,
    tokens_of,
)

from rotator.redact import Secret

PREVIOUS = Secret(jwt_of(ID_TOKEN_CLAIMS))


@pytest.mark.parametrize(
    "claims",
    [
        {**ID_TOKEN_CLAIMS, "iat": 2},
        {**ID_TOKEN_CLAIMS, "aud": ["client-1"]},
        {**ID_TOKEN_CLAIMS, "email": "new@example.org", "azp": None},
    ],
)
def test_S18_an_id_token_of_the_same_subject_is_stored(claims: dict[str, Any]) -> None:
    """Same issuer, subject and audience, in either spelling of the audience."""
    answer = tokens_of({**TOKENS, "id_token": jwt_of(claims)}, of=request(id_token=PREVIOUS))
    assert answer.tokens.id_token == Secret(jwt_of(claims))
    assert (answer.tokens.extra_problem, answer.warnings) == (None, ())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"iss": "https://evil.example"}, "iss"),
        ({"sub": "user-2"}, "sub"),
        ({"sub": None}, "sub"),
        ({"aud": "client-2"}, "aud"),
        ({"aud": ["client-1", "client-2"]}, "aud"),
        ({"azp": "client-9"}, "azp"),
    ],
)
def test_S18_another_subject_is_not_published(changes: dict[str, Any], named: str) -> None:
    """A changed iss, sub, aud or azp is a problem that names the claim; the refresh token is kept."""
    new = jwt_of({**ID_TOKEN_CLAIMS, **changes})
    tokens = tokens_of({**TOKENS, "id_token": new}, of=request(id_token=PREVIOUS)).tokens
    assert str(tokens.extra_problem).startswith("wrong subject")
    assert named in str(tokens.extra_problem)
    assert tokens.refresh_token == Secret("new-refresh-token-1")


def test_S18_another_login_is_a_warning() -> None:
    """A changed auth_time or nonce is reported without stopping the publication."""
    new = jwt_of({**ID_TOKEN_CLAIMS, "auth_time": 5, "nonce": "n"})
    answer = tokens_of({**TOKENS, "id_token": new}, of=request(id_token=PREVIOUS))
    assert answer.tokens.extra_problem is None
    assert [warning.split()[4] for warning in answer.warnings] == ["auth_time", "nonce"]


@pytest.mark.parametrize(
    ("new", "previous", "warning"),
    [
        ("not-a-jwt", PREVIOUS, "cannot be read"),
        ("a.b.c", PREVIOUS, "cannot be read"),
        (5, PREVIOUS, "no text"),
        (jwt_of(ID_TOKEN_CLAIMS), Secret("not-a-jwt"), "stored id_token cannot be read"),
        (jwt_of(ID_TOKEN_CLAIMS), None, None),
        (None, PREVIOUS, None),
        ("", PREVIOUS, None),
    ],
)
def test_S18_an_id_token_that_cannot_be_compared_is_at_most_a_warning(
    new: Any, previous: Secret | None, warning: str | None
) -> None:
    """Malformed ID tokens on either side never stop the access token; absent ones are fine."""
    answer = tokens_of({**TOKENS, "id_token": new}, of=request(id_token=previous))
    assert answer.tokens.extra_problem is None
    assert (warning in answer.warnings[0]) if warning else (answer.warnings == ())
