"""Requests and replies to begin from: one valid thing each, of which a test changes what it is about."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rotator.answers import classify
from rotator.http_messages import HttpReply
from rotator.model import InDoubt, Provider, Refreshed, RefreshRequest
from rotator.redact import Secret

if TYPE_CHECKING:
    from scripted_server import ScriptedServer

    from rotator.model import TokenAnswer

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
DATE = "Sat, 21 Nov 2026 12:00:00 GMT"

REFRESH_TOKEN = "refresh-token-Zx81+/=&%é"
CLIENT_SECRET = "client-secret-Qy27+%"
ID_TOKEN_CLAIMS = {"iss": "https://id.example", "sub": "user-1", "aud": "client-1", "iat": 1}


def jwt_of(claims: dict[str, Any]) -> str:
    """Return an unsigned JWT with these claims; nothing here checks a signature."""
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "c2ln"])


def provider(**changes: Any) -> Provider:
    """Return a provider of the generic kind."""
    return replace(Provider(name="acme", profile="generic", token_endpoint="https://id.example/token"), **changes)


def request(provider_changes: dict[str, Any] | None = None, **changes: Any) -> RefreshRequest:
    """Return a refresh request of a confidential client."""
    begun = RefreshRequest(
        provider=provider(**(provider_changes or {})),
        refresh_token=Secret(REFRESH_TOKEN),
        client_id="client-1",
        client_secret=Secret(CLIENT_SECRET),
    )
    return replace(begun, **changes)


TOKENS: dict[str, Any] = {
    "access_token": "new-access-token-1",
    "refresh_token": "new-refresh-token-1",
    "token_type": "Bearer",
    "expires_in": 3600,
}

QUIET = (("Cache-Control", "no-store"), ("Content-Type", "application/json"))
"""Headers of a reply that gives no reason for a warning."""


def reply(
    body: Any = None, status: int = 200, headers: tuple[tuple[str, str], ...] = QUIET, *, complete: bool = True
) -> HttpReply:
    """Return a reply; a body that is neither bytes nor text is sent as JSON."""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return HttpReply(status, headers, body, complete, sent_at=NOW, received_at=NOW)


def answer_to(
    body: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = QUIET, of: RefreshRequest | None = None
) -> TokenAnswer:
    """Classify a reply."""
    return classify(reply(body, status, headers), of or request(), NOW)


def tokens_of(body: Any, of: RefreshRequest | None = None, **changes: Any) -> Refreshed:
    """Classify a reply that has to be a success."""
    answer = answer_to(body, of=of, **changes)
    assert isinstance(answer, Refreshed), answer
    return answer


def to(server: ScriptedServer, host: str = "127.0.0.1") -> RefreshRequest:
    """Return a request to this server."""
    return request({"token_endpoint": server.url(host)})


def doubt(answer: TokenAnswer, body: bytes | None = None) -> InDoubt:
    """Check that the answer is in doubt, and what was kept of the reply."""
    assert isinstance(answer, InDoubt), answer
    assert answer.body == (None if body is None else Secret(body.decode("latin-1")))
    return answer
