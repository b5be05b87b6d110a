"""Values for the tests of the pure parts: one provider, one credential, one stored document, one instant."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from rotator.model import Document, TokenSet, Versioned
from rotator.records import Claim, digest_of
from rotator.redact import Secret

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH_S = 1_767_225_600
"""`NOW` in epoch seconds."""

RT = "rt-old"
DIGEST = digest_of(Secret(RT))


def at(seconds: float) -> datetime:
    """Return the instant `seconds` after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def fields(**changes: Any) -> dict[str, Any]:
    """Return the fields of a document whose access token was issued at `NOW` for an hour; None leaves one out."""
    whole = {
        "access_token": "at-old",
        "refresh_token": RT,
        "issued_at": EPOCH_S,
        "expires_at": EPOCH_S + 3600,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def stored(
    content: dict[str, Any] | None = None, *, version: str = "7", created_at: datetime | None = None
) -> Versioned:
    """Return what a store shows."""
    return Versioned("memory:main#payroll", version, created_at, Document(fields() if content is None else content))


def token_set(**changes: Any) -> TokenSet:
    """Return a received token set: a rotated refresh token and an hour of access."""
    given: dict[str, Any] = {
        "access_token": Secret("at-new"),
        "refresh_token": Secret("rt-new"),
        "token_type": "Bearer",
        "scope": None,
        "id_token": None,
        "expires_in_s": 3600.0,
        **changes,
    }
    return TokenSet(**given)


def claim_of(digest: str = DIGEST, **changes: Any) -> Claim:
    """Return an open claim that another, dead holder left behind at `NOW`."""
    given: dict[str, Any] = {"rotation_id": "r-0", "claimed_at": NOW, "holder": "dead", "place": "state", **changes}
    return Claim(digest, **given)


def jwt(**claims: Any) -> str:
    """Return an unsigned token in the form of a JWT."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{body}.c2ln"
