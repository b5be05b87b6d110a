"""Grants that need no login: client credentials (RFC 6749 section 4.4) and JWT bearer (RFC 7523 section 2.1)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749.grants import BaseGrant, TokenEndpointMixin

from rotator.testing.sandbox.clients import BadAssertion
from rotator.testing.sandbox.messages import unproved_claims

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class ClientCredentialsGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # authlib has no types
    """A client that asks in its own name."""

    GRANT_TYPE = "client_credentials"

    def validate_token_request(self) -> None:
        """See who asks."""
        self.request.client = self.authenticate_token_endpoint_client()

    def create_token_response(self) -> Any:
        """Answer with an access token."""
        client_id = self.request.client.client_id
        return 200, self.server.book.standing(client_id, self.request.payload.scope or "", client_id), []


class JwtBearerGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # authlib has no types
    """A client that asks for somebody whom its assertion names; the assertion alone says who the client is."""

    GRANT_TYPE = JWT_BEARER

    def validate_token_request(self) -> None:
        """See that the assertion holds, and that its subject has let the client in."""
        assertion = self.request.payload.data.get("assertion", "")
        if not assertion:
            raise InvalidRequestError("The assertion is missing.")
        client = self.server.query_client(str(unproved_claims(assertion).get("iss", "")))
        try:
            claims = self.server.assertions.claims(assertion, client)
        except BadAssertion as bad:
            raise InvalidGrantError(str(bad)) from None
        if claims["sub"] in self.server.book.settings.unapproved:
            raise InvalidGrantError("The user has not approved this client.")
        self.request.client = client
        self._subject = str(claims["sub"])

    def create_token_response(self) -> Any:
        """Answer with an access token."""
        client_id, scope = self.request.client.client_id, self.request.payload.scope or ""
        return 200, self.server.book.standing(client_id, scope, self._subject), []
