"""What arrives at a token endpoint and what leaves it, apart from sockets."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus

import jwt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.testing.sandbox.settings import FaceSettings

_NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


class TokenReply(dict[str, Any]):
    """A token response (RFC 6749 section 5.1) that shows its member names only.

    Authlib writes the response that it sends into its debug log by `repr`.
    """

    def __repr__(self) -> str:
        return f"TokenReply({', '.join(self)})"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, whole and correct; faults bend it later. The body may hold tokens and is not shown."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    @property
    def issued_tokens(self) -> bool:
        """Whether the body is a token response."""
        return self.status == 200

    def with_headers(self, headers: tuple[tuple[str, str], ...]) -> Reply:
        """Return this answer with more headers."""
        return Reply(self.status, (*self.headers, *headers), self.body)


def json_reply(status: int, body: Mapping[str, Any], headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Return a JSON answer that must not be stored (RFC 6749 section 5.1)."""
    return Reply(status, (("Content-Type", "application/json"), *_NO_STORE, *headers), json.dumps(body).encode())


def text_reply(status: int, text: str) -> Reply:
    """Return a page for a person."""
    return Reply(status, (("Content-Type", "text/plain; charset=utf-8"), *_NO_STORE), f"{text}\n".encode())


def error_reply(status: int, code: str, description: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Return an error answer (RFC 6749 section 5.2)."""
    return json_reply(status, {"error": code, "error_description": description}, headers)


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """Id and secret of a Basic header."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request as a tenant reads it.

    Args:
        parameters: The body's members, each a text that occurred once.
        basic: From the `Authorization` header; None when there is none that can be read.
        used_header: Whether there was an `Authorization` header at all.
        problem: Why the body is not a token request, for the `error_description`; None when it is one.
    """

    parameters: Mapping[str, str] = field(repr=False)
    basic: BasicCredentials | None = None
    used_header: bool = False
    problem: str | None = None

    @property
    def refresh_token(self) -> str | None:
        """The refresh token presented, if any."""
        return self.parameters.get("refresh_token")

    @property
    def claimed_client_id(self) -> str:
        """Who the request says it is from, unproved; empty when it does not say."""
        if self.basic:
            return self.basic.client_id
        if "client_id" in self.parameters:
            return self.parameters["client_id"]
        return str(unproved_claims(self.parameters.get("client_assertion", "")).get("sub", ""))


def unproved_claims(assertion: str) -> Mapping[str, Any]:
    """Return the claims of a JWT without checking anything; none if it is no JWT."""
    try:
        claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}
    return claims


def read_token_request(authorization: str, content_type: str, body: bytes, settings: FaceSettings) -> TokenRequest:
    """Return what the tenant reads from a POST to its token endpoint; unreadable parts come back as `problem`."""
    basic = _basic(authorization, decoded=settings.basic_decoding == "form")
    media_type = content_type.partition(";")[0].strip().lower()
    parameters: dict[str, str] = {}
    problem: str | None = None
    try:
        if media_type == "application/x-www-form-urlencoded":
            parameters = _once(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
        elif media_type == "application/json" and "json" in settings.bodies:
            parameters = _texts(json.loads(body, object_pairs_hook=_once))
        else:
            problem = "The request body must be form-encoded."
    except _Unreadable as error:
        problem = str(error)
    except ValueError:  # not UTF-8, or not JSON; the text of the error may quote the body
        problem = "The request body cannot be read."
    return TokenRequest(parameters, basic, used_header=bool(authorization), problem=problem)


class _Unreadable(Exception):
    """The body is well-formed but is no set of parameters."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a mapping; no parameter may be there twice (RFC 6749 section 3.2)."""
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise _Unreadable("A parameter must not be included more than once.")
    return parameters


def _texts(parameters: Any) -> dict[str, str]:
    if not isinstance(parameters, dict) or not all(isinstance(value, str) for value in parameters.values()):
        raise _Unreadable("The request body must be a JSON object of strings.")
    return parameters


def _basic(authorization: str, *, decoded: bool) -> BasicCredentials | None:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if not colon:
        return None
    if decoded:
        # Authlib's own reader leaves `+` alone, Hydra's does not: it is a space in RFC 6749 appendix B.
        client_id, secret = unquote_plus(client_id), unquote_plus(secret)
    return BasicCredentials(client_id, secret)
