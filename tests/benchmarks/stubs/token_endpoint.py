"""A token endpoint: a refresh token `family.N` is used up by a refresh and brings `family.N+1`.

One that was used before is refused and counted: a benchmark in which that happens is void.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.benchmarks.stubs.server import Answered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.stubs.server import Asked

LIFETIME_S = 3600
FILLING = "x" * 600
"""Makes an access token as long as a usual JWT."""


class TokenEndpoint:
    """Knows a family from its first refresh on."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def seed(self, item: Mapping[str, Any]) -> None:
        """Take nothing: families need no login here."""

    def answer(self, asked: Asked) -> Answered:
        """Answer a refresh (RFC 6749 section 6)."""
        [token] = parse_qs(asked.body.decode())["refresh_token"]
        family, _, number = token.rpartition(".")
        if int(number) < self._newest.get(family, 0):
            return Answered("reused", b'{"error": "invalid_grant"}', 400)
        successor = int(number) + 1
        self._newest[family] = successor
        tokens = {
            "access_token": f"at.{family}.{successor}.{FILLING}",
            "refresh_token": f"{family}.{successor}",
            "token_type": "Bearer",
            "expires_in": LIFETIME_S,
        }
        return Answered("refresh", json.dumps(tokens).encode())
