"""Signing assertions: of a client (RFC 7523 section 2.2; OpenID Connect Core section 9), of a grant (section 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from rotator.model import Misconfigured
from rotator.oauth import RETRY_REFUSED_S
from rotator.redact import Secret

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.model import RefreshRequest

LIFETIME_S = 60
"""Auth0 recommends a minute and takes at most five; the assertion is used once, at once."""

ALGORITHMS = frozenset({
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
})  # fmt: skip
"""Asymmetric ones only: under HS256 the PEM text of a private key would pass as a shared secret."""


def signed_assertion(request: RefreshRequest, *, now: datetime, jwt_id: str) -> Secret | Misconfigured:
    """Return a fresh client assertion for one attempt, or why none can be signed. No text of it quotes the key.

    Args:
        now: `iat`; the assertion ends a minute later.
        jwt_id: `jti`; must be new for every attempt, for a provider accepts each once.
    """
    return _signed(request, {}, now, jwt_id)


def signed_grant(request: RefreshRequest, *, now: datetime, jwt_id: str) -> Secret | Misconfigured:
    """Return a fresh assertion that is the grant itself, or why none can be signed; see `signed_assertion`.

    Its issuer is the client, its subject the provider's `subject`, else the client; `assertion_claims` go before what
    rotator would say, and one of None leaves a claim out, as Google's service accounts want it with `sub`.
    """
    provider = request.provider
    own = {"sub": provider.subject or request.client_id, **dict(provider.assertion_claims)}
    return _signed(request, own, now, jwt_id)


def _signed(request: RefreshRequest, own: dict[str, Any], now: datetime, jwt_id: str) -> Secret | Misconfigured:
    provider = request.provider
    if not request.client_id:
        return _refused("the client_id is missing", "set client_id in the credential's entry or in the document")
    if not request.private_key:
        return _refused("the private_key is missing", "set private_key in the provider's or the credential's entry")
    if provider.algorithm not in ALGORITHMS:
        return _refused(f"the algorithm {provider.algorithm} cannot sign an assertion", "use RS256, PS256, ES256")
    issued_at = int(now.timestamp())
    stated = {
        "iss": request.client_id,
        "sub": request.client_id,
        "aud": provider.audience or provider.token_endpoint,
        "iat": issued_at,
        "exp": issued_at + LIFETIME_S,
        "jti": jwt_id,
        **own,
    }
    claims = {name: value for name, value in stated.items() if value is not None}
    headers = {"kid": provider.key_id} if provider.key_id else None
    try:
        return Secret(jwt.encode(claims, request.private_key.reveal(), provider.algorithm, headers=headers))
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, AttributeError):
        # What PyJWT and cryptography raise on damaged, encrypted and unfitting keys; their texts may quote the key.
        return _refused(
            f"the private_key cannot sign with {provider.algorithm}",
            "it must be an unencrypted PEM private key that fits the algorithm, its line breaks intact",
        )


def _refused(error: str, hint: str) -> Misconfigured:
    return Misconfigured(error, hint, RETRY_REFUSED_S)
