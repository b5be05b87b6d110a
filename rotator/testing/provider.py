"""An authorization server in memory: single-use refresh tokens, reuse detection, and answers on demand.

For tests of the procedure, where HTTP would only slow things down; `rotator.testing.sandbox` is the one over HTTP.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rotator.model import InDoubt, Refreshed, Rejected, TokenSet, Unavailable
from rotator.redact import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rotator.model import Provider, RefreshRequest, TokenAnswer
    from rotator.ports import Clock

Loss = Literal["before", "after"]


@dataclass(slots=True)
class Family:
    """One grant: the tokens that descend from one login."""

    live: str
    number: int = 0
    revoked: bool = False
    used_at: dict[str, datetime] = field(default_factory=dict)
    issued: set[str] = field(default_factory=set)


class MemoryProvider:
    """Answers refresh requests as a strict server does (RFC 9700 section 4.14.2). Thread-safe.

    Args:
        lifetime_s: Of the access tokens it issues.
        rotates: Whether a refresh token is used up by a refresh.
        grace_s: How long the token presented last may be presented again; each time brings another successor.
    """

    def __init__(self, clock: Clock, *, lifetime_s: float = 3600.0, rotates: bool = True, grace_s: float = 0.0) -> None:
        self.clock = clock
        self.lifetime_s = lifetime_s
        self.rotates = rotates
        self.grace_s = grace_s
        self.forgiving = False
        """Whether any earlier token of a living family may be presented again (Microsoft Entra)."""
        self.presented: Counter[str] = Counter()
        self.reuse_detections = 0
        self.families: list[Family] = []
        self.script: deque[TokenAnswer | Loss | Callable[[RefreshRequest], TokenAnswer]] = deque()
        self._lock = threading.Lock()
        self._issued = 0

    def login(self) -> dict[str, object]:
        """Log a person in: a new family. Returns the token response, with `issued_at` and `expires_at`."""
        with self._lock:
            family = Family(live="")
            self.families.append(family)
            tokens = self._issue(family)
        issued_at = int(self.clock.now().timestamp())
        return {
            "access_token": tokens.access_token.reveal(),
            "refresh_token": family.live,
            "token_type": "Bearer",
            "expires_in": int(self.lifetime_s),
            "issued_at": issued_at,
            "expires_at": issued_at + int(self.lifetime_s),
        }

    def warm_up(self, provider: Provider) -> None:
        """See `TokenEndpoint.warm_up`; there is nothing to load."""

    def refresh(self, request: RefreshRequest, *, deadline_s: float, begun_s: float | None = None) -> TokenAnswer:
        """See `TokenEndpoint.refresh`; what the script holds is answered first.

        In the script, `before` loses the request on its way, `after` loses the reply; a callable answers itself.
        """
        if begun_s is not None and self.clock.monotonic_s() > begun_s + deadline_s:
            return Unavailable(15.0, "the deadline was over before anything was sent")
        with self._lock:
            step = self.script.popleft() if self.script else None
            if step == "before":
                return InDoubt("the connection broke before the server read the request")
            if step == "after":
                self._process(request)
                return InDoubt(f"no reply within {deadline_s} s")
        if callable(step):
            return step(request)
        if step is not None:
            return step
        with self._lock:
            return self._process(request)

    def reachable(self, endpoint: str, *, deadline_s: float) -> str | None:  # noqa: ARG002 - the port's signature
        """See `TokenEndpoint.reachable`; it always is."""
        return None

    def is_live(self, refresh_token: str) -> bool:
        """Return whether a refresh with this token would bring new tokens."""
        return any(family.live == refresh_token and not family.revoked for family in self.families)

    def _process(self, request: RefreshRequest) -> TokenAnswer:
        # A standing grant presents none: as with a token that stays, nothing of it is spent.
        token = request.refresh_token.reveal() if request.refresh_token else self.families[-1].live
        self.presented[token] += 1
        for family in self.families:
            if family.live == token and not family.revoked:
                return Refreshed(self._use(family, token))
            if self.forgiving and token in family.issued and not family.revoked:
                return Refreshed(self._issue(family))
            used_at = family.used_at.get(token)
            if used_at is None:
                continue
            newest = list(family.used_at)[-1] == token
            inside = (self.clock.now() - used_at).total_seconds() <= self.grace_s
            if newest and inside and not family.revoked:
                return Refreshed(self._issue(family))
            family.revoked = True
            self.reuse_detections += 1
            return Rejected("invalid_grant", "the refresh token was already used")
        return Rejected("invalid_grant", "unknown refresh token")

    def _use(self, family: Family, token: str) -> TokenSet:
        if not self.rotates:
            return self._tokens(None)
        family.used_at[token] = self.clock.now()
        return self._issue(family)

    def _issue(self, family: Family) -> TokenSet:
        family.number += 1
        family.live = f"rt-{self.families.index(family)}-{family.number}"
        family.issued.add(family.live)
        return self._tokens(family.live)

    def _tokens(self, refresh_token: str | None) -> TokenSet:
        self._issued += 1
        return TokenSet(
            access_token=Secret(f"at-{self._issued}"),
            refresh_token=Secret(refresh_token) if refresh_token else None,
            token_type="Bearer",
            scope=None,
            id_token=None,
            expires_in_s=self.lifetime_s,
        )
