"""Logins and the tokens that descend from them: rotation, replay and reuse detection (RFC 9700 section 4.14.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import jwt

from rotator.redact import Secret
from rotator.testing.sandbox.messages import TokenReply

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.ports import Clock, Ids
    from rotator.testing.sandbox.report import Report
    from rotator.testing.sandbox.settings import DeadReason, FaceSettings


class DeadGrant(Exception):
    """The refresh token is refused."""

    def __init__(self, reason: DeadReason) -> None:
        self.reason: DeadReason = reason
        super().__init__(reason)


@dataclass(slots=True, eq=False)
class Family:
    """One login and all that was issued from it.

    Args:
        number: From 1, in the order of the logins.
        tokens: Its refresh tokens in the order of issue.
    """

    number: int
    client_id: str
    scope: str
    subject: str
    created_at: datetime
    revoked: bool = False
    tokens: list[RefreshToken] = field(default_factory=list, repr=False)


@dataclass(slots=True, eq=False)
class AccessToken:
    """One access token."""

    family: Family = field(repr=False)
    expires_at: datetime
    revoked: bool = False


@dataclass(slots=True, eq=False)
class RefreshToken:
    """One refresh token.

    Args:
        label: Tells it apart without showing it: `3.0` is the first one of the third login.
        access_token: The one issued with it; with a token that does not rotate, the newest one.
        successors: What its use brought forth; several after a replay that branches.
        answer: What its use was answered with, for an idempotent replay.
    """

    text: str = field(repr=False)
    label: str
    family: Family = field(repr=False)
    access_token: AccessToken = field(repr=False)
    idle_since: datetime
    first_used_at: datetime | None = None
    successors: list[RefreshToken] = field(default_factory=list, repr=False)
    answer: TokenReply | None = field(default=None, repr=False)

    def check_client(self, client: object) -> bool:
        """Return whether it was issued to this client: Authlib asks, `TokenBook.admit` has already looked."""
        return getattr(client, "client_id", None) == self.family.client_id

    def get_scope(self) -> str:
        """Return the scope granted at the login, which a refresh cannot exceed (RFC 6749 section 6)."""
        return self.family.scope


class TokenBook:
    """All tokens of one tenant. Not thread-safe: the face calls it under its lock."""

    def __init__(self, settings: FaceSettings, clock: Clock, ids: Ids, counters: Report) -> None:
        self.settings = settings
        self.issuer = ""
        self._clock = clock
        self._ids = ids
        self._counters = counters
        self._families: list[Family] = []
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._access_tokens: dict[str, AccessToken] = {}
        self._id_token_key = hashlib.sha256(ids.new_id().encode()).digest()

    def login(self, client_id: str, scope: str, subject: str) -> TokenReply:
        """Open a family and return its first tokens."""
        family = Family(len(self._families) + 1, client_id, scope, subject, self._clock.now())
        self._families.append(family)
        reply, _ = self._issue(family, scope, with_refresh_token=True)
        return reply

    def standing(self, client_id: str, scope: str, subject: str) -> TokenReply:
        """Return an access token of a grant that needs no login; nothing else comes from it."""
        reply, _ = self._issue(Family(0, client_id, scope, subject, self._clock.now()), scope, with_refresh_token=False)
        self._counters.standing += 1
        return reply

    def admit(self, text: str, client_id: str) -> RefreshToken:
        """Return the refresh token if it may be used now; a reused one takes its family with it.

        A token in the hands of the wrong client is refused without harm to its family, whatever its state.

        Raises:
            DeadGrant: It may not.
        """
        token = self._refresh_tokens.get(text)
        if token is None:
            raise DeadGrant("unknown")
        if token.family.client_id != client_id:
            raise DeadGrant("foreign")
        if token.family.revoked:
            raise DeadGrant("revoked")
        if self._too_old(token):
            raise DeadGrant("expired")
        if token.first_used_at is not None and self.settings.rotates and not self._replayable(token):
            self._counters.reuse_detections += 1
            self.revoke(token.family)
            raise DeadGrant("reused")
        return token

    def exchange(self, token: RefreshToken, scope: str) -> TokenReply:
        """Answer the use of an admitted refresh token: all of its effects happen here, or none."""
        now = self._clock.now()
        replayed = self.settings.rotates and token.first_used_at is not None
        if replayed:
            self._counters.grace_replays += 1
            if self.settings.replay_answer == "idempotent" and token.answer is not None:
                return token.answer
        if self.settings.old_access_token == "revoked":
            token.access_token.revoked = True
        token.first_used_at = token.first_used_at or now
        reply, successor = self._issue(token.family, scope, with_refresh_token=self.settings.rotates)
        if successor is None:
            token.idle_since = now
            token.access_token = self._access_tokens[reply["access_token"]]
        else:
            token.successors.append(successor)
            token.answer = reply
            self._counters.rotations += 1
        return reply

    def revoke(self, family: Family) -> None:
        """Revoke every refresh token of a family, and its access tokens where the tenant does so."""
        family.revoked = True
        self._counters.families_revoked += 1
        if self.settings.reuse_revokes_access_tokens:
            for access_token in self._access_tokens.values():
                if access_token.family is family:
                    access_token.revoked = True

    def family_of(self, text: str) -> Family | None:
        """Return the family of a refresh token, used or not."""
        token = self._refresh_tokens.get(text)
        return token.family if token else None

    def numbered(self, number: int) -> Family:
        """Return a family by its number.

        Raises:
            LookupError: There is no such family.
        """
        if not 1 <= number <= len(self._families):
            raise LookupError(f"{self.settings.name}: there is no login number {number}")
        return self._families[number - 1]

    def label(self, text: str) -> str:
        """Return the label of a refresh token, or `unknown`."""
        token = self._refresh_tokens.get(text)
        return token.label if token else "unknown"

    def live(self, family: Family) -> Secret | None:
        """Return the newest refresh token of the family that can still be used; None when a login is needed."""
        if family.revoked:
            return None
        for token in reversed(family.tokens):
            unused = token.first_used_at is None or not self.settings.rotates
            if unused and not self._too_old(token):
                return Secret(token.text)
        return None

    def access_token_valid(self, text: str) -> bool:
        """Return whether a resource server would accept the access token now."""
        token = self._access_tokens.get(text)
        return token is not None and not token.revoked and self._clock.now() < token.expires_at

    def live_families(self) -> int:
        """Return how many logins can still be refreshed."""
        return sum(self.live(family) is not None for family in self._families)

    def _too_old(self, token: RefreshToken) -> bool:
        now = self._clock.now()
        idle_s, absolute_s = self.settings.rt_idle_s, self.settings.rt_absolute_s
        return (idle_s is not None and now >= token.idle_since + timedelta(seconds=idle_s)) or (
            absolute_s is not None and now >= token.family.created_at + timedelta(seconds=absolute_s)
        )

    def _replayable(self, token: RefreshToken) -> bool:
        """Whether a used token is within its window and immediately before the newest: no successor was used."""
        if token.first_used_at is None or any(successor.first_used_at for successor in token.successors):
            return False
        return self._clock.now() < token.first_used_at + timedelta(seconds=self.settings.grace_window_s)

    def _issue(self, family: Family, scope: str, *, with_refresh_token: bool) -> tuple[TokenReply, RefreshToken | None]:
        now = self._clock.now()
        access_token = AccessToken(family, now + timedelta(seconds=self.settings.lifetime_s))
        access_text = self._new_text("sandbox_at_")
        self._access_tokens[access_text] = access_token
        reply = TokenReply(
            access_token=access_text,
            token_type=self.settings.token_type,
            expires_in=self.settings.lifetime_s,
            scope=scope,
        )
        refresh_token: RefreshToken | None = None
        if with_refresh_token:
            label = f"{family.number}.{len(family.tokens)}"
            text = self._new_text("sandbox_rt_")
            refresh_token = RefreshToken(text, label, family, access_token, now)
            family.tokens.append(refresh_token)
            self._refresh_tokens[text] = refresh_token
            reply["refresh_token"] = text
        if self.settings.sends_id_token and "openid" in family.scope.split():
            reply["id_token"] = self._id_token(family, now)
        return reply, refresh_token

    def _new_text(self, prefix: str) -> str:
        return prefix + (self._ids.new_id() + self._ids.new_id()).replace("-", "")

    def _id_token(self, family: Family, now: datetime) -> str:
        """Return an ID token (OpenID Connect Core section 12.2).

        Signed with HS256: a client that got it straight from the token endpoint need not check the signature
        (section 3.1.3.7), and an RSA signature would cost more than the rest of the refresh.
        """
        claims = {
            "iss": self.issuer,
            "sub": family.subject,
            "aud": family.client_id,
            "iat": int(now.timestamp()),
            "exp": int(now.timestamp()) + self.settings.lifetime_s,
            "auth_time": int(family.created_at.timestamp()),
        }
        return jwt.encode(claims, self._id_token_key, algorithm="HS256")
