"""Registered clients and how they prove who they are (RFC 6749 section 2.3, RFC 7523 section 3)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jwt
from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError

from rotator.testing.sandbox.messages import unproved_claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.model import ClientAuth
    from rotator.ports import Clock
    from rotator.redact import Secret

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_ASSERTION_S: Final = 300.0
"""Auth0 refuses an assertion that lives longer."""
CLOCK_SKEW_S: Final = 10.0
"""Auth0's allowance for a client's clock."""
_ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "ES256"]


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):  # type: ignore[misc]  # authlib has no types
    """One registered client.

    Args:
        auth: The one way in which it authenticates; any other is refused, as Hydra does.
        secret: For `client_secret_post` and `client_secret_basic`.
        public_key: PEM text, for `private_key_jwt`.
    """

    client_id: str
    auth: ClientAuth = "client_secret_post"
    secret: Secret | None = None
    public_key: str | None = field(default=None, repr=False)

    def check_client_secret(self, client_secret: str) -> bool:
        """Return whether this is the client's secret."""
        return self.secret is not None and hmac.compare_digest(self.secret.reveal().encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002 - Authlib's signature
        """Return whether the client is registered with this method."""
        return self.auth == method

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether the client may use this grant: each may use all that there are."""
        return bool(grant_type)


def authenticate_basic(query_client: Callable[[str], Client | None], request: Any) -> Client | None:
    """Authenticate by the Basic header, decoded as the tenant does it; Authlib's own method decodes differently."""
    basic = request.token_request.basic
    if basic is None:
        return None
    client = query_client(basic.client_id)
    return client if client and client.check_client_secret(basic.client_secret) else None


class Assertions:
    """Checks signed assertions, each good once per `jti` (RFC 7523 section 3).

    Authlib's own classes measure `exp` by the machine's clock; this one goes by the injected clock.

    Args:
        audiences: Returns the audiences that name this tenant, looked up at each use.
    """

    def __init__(self, clock: Clock, audiences: Callable[[], tuple[str, ...]]) -> None:
        self._clock = clock
        self._audiences = audiences
        self._seen: set[tuple[str, str]] = set()

    def claims(self, assertion: str, client: Client | None) -> dict[str, Any]:
        """Return the claims of an assertion that this client signed.

        Raises:
            BadAssertion: It does not hold.
        """
        if client is None or client.public_key is None:
            raise BadAssertion("The assertion names no client with a key.")
        try:
            claims: dict[str, Any] = jwt.decode(
                assertion,
                client.public_key,
                algorithms=_ALGORITHMS,
                audience=list(self._audiences()),
                issuer=client.client_id,
                options={
                    "require": ["iss", "sub", "aud", "exp", "jti"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.InvalidTokenError as error:
            raise BadAssertion(f"The assertion does not hold: {type(error).__name__}.") from None
        self._check_times(claims)
        if (client.client_id, claims["jti"]) in self._seen:
            raise BadAssertion("The assertion was used before.")
        self._seen.add((client.client_id, claims["jti"]))
        return claims

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock.now().timestamp()
        try:
            expires_in_s = float(claims["exp"]) - now
            starts_in_s = max(float(claims.get(name, now)) - now for name in ("iat", "nbf"))
        except (TypeError, ValueError):
            raise BadAssertion("The times of the assertion are no numbers.") from None
        if expires_in_s <= -CLOCK_SKEW_S:
            raise BadAssertion("The assertion expired.")
        if expires_in_s > LONGEST_ASSERTION_S + CLOCK_SKEW_S:
            raise BadAssertion("The assertion lives too long.")
        if starts_in_s > CLOCK_SKEW_S:
            raise BadAssertion("The assertion is from the future.")


class BadAssertion(Exception):
    """An assertion does not hold, for the reason in its text."""


@dataclass(frozen=True, slots=True)
class PrivateKeyJwt:
    """Authenticates a client by an assertion that it signed about itself."""

    assertions: Assertions

    def __call__(self, query_client: Callable[[str], Client | None], request: Any) -> Client | None:
        """Return the client that signed the assertion; None when there is no assertion.

        Raises:
            InvalidClientError: The assertion does not hold.
        """
        parameters = request.token_request.parameters
        if parameters.get("client_assertion_type") != ASSERTION_TYPE:
            return None
        assertion = parameters.get("client_assertion", "")
        client = query_client(str(unproved_claims(assertion).get("sub", "")))
        try:
            self.assertions.claims(assertion, client)
        except BadAssertion as bad:
            raise InvalidClientError(description=str(bad)) from None
        return client
