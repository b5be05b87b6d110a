"""The OAuth 2.0 part: Authlib's authorization server and refresh grant over a tenant's token book."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Payload,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant

from rotator.testing.sandbox.clients import Assertions, Client, PrivateKeyJwt, authenticate_basic
from rotator.testing.sandbox.families import DeadGrant, RefreshToken, TokenBook
from rotator.testing.sandbox.logins import CodeGrant, DeviceGrant, Logins
from rotator.testing.sandbox.messages import Reply, TokenReply, TokenRequest, error_reply, json_reply
from rotator.testing.sandbox.standing import ClientCredentialsGrant, JwtBearerGrant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotator.ports import Clock
    from rotator.testing.sandbox.settings import DeadReason, FaceSettings

AUTH_METHODS: Final = ("private_key_jwt", "client_secret_basic", "client_secret_post", "none")
_NOMINAL_URI: Final = "https://sandbox.invalid/token"
"""Authlib refuses requests that did not come over TLS, going by their URI and an environment variable. It uses the URI
for nothing else here, so the request states this one; a variable would switch the check off for the whole process."""


class _Payload(OAuth2Payload):  # type: ignore[misc]  # authlib has no types
    """The parameters of a token request, from whichever kind of body."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters

    @property
    def data(self) -> Mapping[str, str]:
        """The parameters; none occurs twice, for such a request does not come this far."""
        return self._parameters


class _Request(OAuth2Request):  # type: ignore[misc]  # authlib has no types
    """A token request in Authlib's terms."""

    def __init__(self, token_request: TokenRequest) -> None:
        super().__init__("POST", _NOMINAL_URI)
        self.token_request = token_request
        self.payload = _Payload(token_request.parameters)

    @property
    def form(self) -> Mapping[str, str]:
        """The parameters, a JSON body's included."""
        return self.token_request.parameters


class _Refused(InvalidGrantError):  # type: ignore[misc]  # authlib has no types
    """A dead grant with the reason, which the tenant words in its own way."""

    def __init__(self, reason: DeadReason) -> None:
        self.reason: DeadReason = reason
        super().__init__()


class _RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]  # authlib has no types
    """RFC 6749 section 6 over the token book, which does in one step what Authlib spreads over four."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def authenticate_token_endpoint_client(self) -> Client:
        """Return the client; it must use one way of authentication and no more (RFC 6749 section 2.3)."""
        parameters = self.request.token_request.parameters
        used = (
            self.request.token_request.used_header,
            "client_secret" in parameters,
            "client_assertion" in parameters,
        )
        if sum(used) > 1:
            raise InvalidRequestError("The client authenticates in more than one way.")
        client: Client = super().authenticate_token_endpoint_client()
        return client

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken:
        """Return the refresh token if it may be used; finding a reused one revokes its family."""
        book: TokenBook = self.server.book
        try:
            return book.admit(refresh_token, self.request.client.client_id)
        except DeadGrant as error:
            raise _Refused(error.reason) from None

    def authenticate_user(self, refresh_token: RefreshToken) -> str:
        """Return who logged in."""
        return refresh_token.family.subject

    def issue_token(self, user: str, refresh_token: RefreshToken) -> TokenReply:  # noqa: ARG002 - Authlib's signature
        """Spend the refresh token and return what it is answered with."""
        book: TokenBook = self.server.book
        return book.exchange(refresh_token, self.request.payload.scope or refresh_token.get_scope())

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """Do nothing: `issue_token` has done it."""


class _CodeGrant(CodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS


class _DeviceGrant(DeviceGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS


class _ClientCredentialsGrant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = tuple(method for method in AUTH_METHODS if method != "none")


class TokenServer(AuthorizationServer):  # type: ignore[misc]  # authlib has no types
    """The token endpoint of one tenant. Not thread-safe: the face calls it under its lock.

    Args:
        audiences: The audiences that an assertion may name.
    """

    def __init__(
        self,
        settings: FaceSettings,
        book: TokenBook,
        clock: Clock,
        audiences: Callable[[], tuple[str, ...]],
        logins: Logins,
    ) -> None:
        super().__init__()
        self.book = book
        self.logins = logins
        self._settings = settings
        self.assertions = Assertions(clock, audiences)
        for grant in (_RefreshGrant, _CodeGrant, _DeviceGrant, _ClientCredentialsGrant, JwtBearerGrant):
            self.register_grant(grant)
        self.register_client_auth_method("client_secret_basic", authenticate_basic)
        self.register_client_auth_method("private_key_jwt", PrivateKeyJwt(self.assertions))

    def answer(self, request: TokenRequest) -> Reply:
        """Process a token request and return the answer to it."""
        if request.problem:
            return error_reply(400, "invalid_request", request.problem)
        reply: Reply = self.create_token_response(request)
        return reply

    def query_client(self, client_id: str) -> Client | None:
        """Return a registered client."""
        return self._settings.clients.get(client_id)

    def create_oauth2_request(self, request: TokenRequest) -> _Request:
        """Return the request in Authlib's terms."""
        return _Request(request)

    def handle_response(self, status: int, body: Mapping[str, Any], headers: list[tuple[str, str]]) -> Reply:
        """Return the answer; of Authlib's headers only the challenge is not there already."""
        challenge = tuple((name, value) for name, value in headers if name == "WWW-Authenticate")
        return json_reply(status, body, challenge)

    def handle_error_response(self, request: _Request, error: Any) -> Reply:
        """Return the answer to a refused request in the tenant's own words."""
        if isinstance(error, _Refused):
            text = self._settings.dead_grant_texts[error.reason]
            return error_reply(self._settings.dead_grant_status, error.error, text)
        if isinstance(error, InvalidClientError):
            error.status_code = 401
        reply: Reply = super().handle_error_response(request, error)
        return reply

    def save_token(self, token: TokenReply, request: _Request) -> None:
        """Do nothing: the book made the token and has it."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: nobody listens."""
