# ruff: noqa: N802 - a test is named after its item of the checklist
"""The client assertion: item R9 of the checklist."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from oauth_parts import NOW, TOKENS, request
from scripted_server import answering, message

from rotator.client_assertion import signed_assertion
from rotator.model import Misconfigured, Refreshed
from rotator.redact import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted_server import ScriptedServer

    from rotator.token_endpoint import HttpTokenEndpoint

OK = message(json.dumps(TOKENS).encode())


def pem(key: Any, password: bytes | None = None) -> str:
    """Return a private key's PEM text."""
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked).decode()


@pytest.fixture(scope="session")
def rsa_key() -> Any:
    """Return an RSA key."""
    return rsa.generate_private_key(65537, 2048)


def test_R09_an_assertion_says_who_for_whom_and_for_how_long(rsa_key: Any) -> None:
    """The claims are those of RFC 7523 section 3, the life is a minute, the key id is in the header."""
    of = request({"client_auth": "private_key_jwt", "key_id": "k1"}, private_key=Secret(pem(rsa_key)))
    assertion = signed_assertion(of, now=NOW, jwt_id="id-1")
    assert isinstance(assertion, Secret)
    claims = jwt.decode(
        assertion.reveal(), rsa_key.public_key(), ["RS256"], options={"verify_aud": False, "verify_exp": False,
                                                                      "verify_iat": False}
    )  # fmt: skip
    issued_at = int(NOW.timestamp())
    assert claims == {
        "iss": "client-1",
        "sub": "client-1",
        "aud": "https://id.example/token",
        "iat": issued_at,
        "exp": issued_at + 60,
        "jti": "id-1",
    }
    assert jwt.get_unverified_header(assertion.reveal())["kid"] == "k1"


def test_R09_the_audience_is_configurable_to_the_letter(rsa_key: Any) -> None:
    """A configured audience is used as it is, its trailing slash included."""
    of = request({"audience": "https://tenant.example/"}, private_key=Secret(pem(rsa_key)))
    assertion = signed_assertion(of, now=NOW, jwt_id="id-1")
    assert isinstance(assertion, Secret)
    claims = jwt.decode(assertion.reveal(), options={"verify_signature": False})
    assert claims["aud"] == "https://tenant.example/"
    assert "kid" not in jwt.get_unverified_header(assertion.reveal())


def test_R09_every_attempt_signs_a_new_assertion(
    serve: Callable[..., ScriptedServer], endpoint: HttpTokenEndpoint, rsa_key: Any
) -> None:
    """Two attempts arrive with two different `jti`."""
    server = serve(answering(OK))
    of = request({"client_auth": "private_key_jwt", "token_endpoint": server.url()}, private_key=Secret(pem(rsa_key)))
    for _ in range(2):
        assert isinstance(endpoint.refresh(of, deadline_s=5), Refreshed)
    forms = [dict(parse_qsl(heard.body.decode())) for heard in server.heard]
    claims = [
        jwt.decode(form["client_assertion"], rsa_key.public_key(), ["RS256"], audience=server.url()) for form in forms
    ]
    assert claims[0]["jti"] != claims[1]["jti"]


def test_R09_a_key_that_cannot_sign_is_refused_without_being_quoted(rsa_key: Any) -> None:
    """Damaged, encrypted, unfitting and public keys and bad algorithms are configuration errors that show no key."""
    good, elliptic = pem(rsa_key), pem(ec.generate_private_key(ec.SECP256R1()))
    for private_key, algorithm in (
        ("-----BEGIN PRIVATE KEY-----\nQUJDREVGRw==\n-----END PRIVATE KEY-----", "RS256"),
        ("QUJDREVGRw no pem at all", "RS256"),
        (pem(rsa_key, b"password"), "RS256"),
        (elliptic, "RS256"),
        (good, "ES256"),
        (good, "HS256"),
        (good, "none"),
        (good, "RS999"),
        ("", "RS256"),
    ):
        of = request({"algorithm": algorithm}, private_key=Secret(private_key))
        refused = signed_assertion(of, now=NOW, jwt_id="id-1")
        assert isinstance(refused, Misconfigured), (algorithm, private_key[:20])
        assert not any(line in str(refused) for line in private_key.splitlines() if len(line) > 8)
    assert isinstance(signed_assertion(request(private_key=None), now=NOW, jwt_id="1"), Misconfigured)
    assert isinstance(
        signed_assertion(request(client_id=None, private_key=Secret(good)), now=NOW, jwt_id="1"), Misconfigured
    )


def test_R09_a_key_that_cannot_sign_sends_nothing(
    serve: Callable[..., ScriptedServer], endpoint: HttpTokenEndpoint
) -> None:
    """A refused assertion means that no connection is opened."""
    server = serve(answering(OK))
    of = request({"client_auth": "private_key_jwt", "token_endpoint": server.url()}, private_key=Secret("no key"))
    assert isinstance(endpoint.refresh(of, deadline_s=5), Misconfigured)
    assert server.connections == 0
