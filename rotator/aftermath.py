"""What is noted of a credential once new tokens have arrived: its next pause, the grant's age and end. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.documents import presented_digest, stored_tokens
from rotator.model import Malformed
from rotator.records import Grant, Hold
from rotator.schedule import timing

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.model import Credential, StoredTokens, TokenSet, Versioned
    from rotator.received import Received

UNKNOWN_LIFETIME_S = 15 * 60.0
"""An access token of unknown lifetime counts as due, but is refreshed on this fixed interval, not in a loop."""

UNPUBLISHED_PAUSE_S = 3600.0
"""A token set whose access token must not be published is a defect that a person has to see to; an hourly retry
notices when the provider has mended it."""

WARN_AGAIN_S = 86_400.0
WARN_SHARE = 0.25
WARN_BEFORE_S = 7 * 86_400.0
SLIDES_S = 30.0
"""A refresh token whose end comes within a week, or within the last quarter of a shorter life, is announced daily.
An end that moves by more than half a minute with a rotation is renewed by it; by less, it is counted in whole seconds
on two clocks."""


def pause_after(
    credential: Credential, arrived: TokenSet, stored: StoredTokens | Malformed, now: datetime, pause_s: float
) -> Hold | None:
    """Return the pause before the next refresh when the new tokens would be due at once: a loop helps nobody.

    Args:
        arrived: What the provider answered.
        stored: What the document holds now.
        pause_s: The shortest pause, in seconds.
    """
    if isinstance(stored, Malformed):
        return None
    digest = presented_digest(stored)
    least = now + timedelta(seconds=pause_s)
    if arrived.extra_problem:
        until = now + timedelta(seconds=UNPUBLISHED_PAUSE_S)
        return Hold(digest, until, least, "unpublished", arrived.extra_problem, "", person=True)
    when = timing(credential, stored)
    if when.due_at is None:
        until = now + timedelta(seconds=UNKNOWN_LIFETIME_S)
        return Hold(digest, until, now, "lifetime_unknown", "", "set default_lifetime for this provider")
    if when.due_at <= now:
        return Hold(digest, least, least, "short_lifetime", "the new access token is due again at once", "")
    return None


def grant_after(
    credential: Credential, presented: Versioned, before: Grant | None, received: Received, now: datetime
) -> tuple[Grant, datetime | None]:
    """Return what is known of the grant now, and its end when that is to be announced.

    Args:
        presented: The document whose refresh token was presented.
        before: What the record says of a grant.
    """
    provider = credential.provider
    if before is not None and before.digest != received.parent:
        before = None
    since = before.since if before else _first_seen(credential, presented, now)
    expires_at = before.expires_at if before else None
    if received.tokens.refresh_expires_in_s is not None:
        expires_at = received.sent_at + timedelta(seconds=received.tokens.refresh_expires_in_s)
        if slides(before.expires_at if before else None, expires_at):
            since = now  # this life began with this token: its last quarter is what is announced
    elif expires_at is None and provider.refresh_token_absolute_s is not None:
        expires_at = since + timedelta(seconds=provider.refresh_token_absolute_s)
    warned_at = before.warned_at if before else None
    announce = False
    if expires_at:
        early_s = min(WARN_BEFORE_S, WARN_SHARE * (expires_at - since).total_seconds())
        silent = warned_at is None or now - warned_at >= timedelta(seconds=WARN_AGAIN_S)
        announce = silent and expires_at - now <= timedelta(seconds=early_s)
    grant = Grant(received.successor, since, expires_at, now if announce else warned_at)
    return grant, expires_at if announce else None


def slides(before: datetime | None, after: datetime | None) -> bool:
    """Return whether a rotation renews the refresh token's life: the end that the provider states moved with it."""
    return before is not None and after is not None and after - before > timedelta(seconds=SLIDES_S)


def _first_seen(credential: Credential, presented: Versioned, now: datetime) -> datetime:
    tokens = stored_tokens(presented, credential.provider)
    return (None if isinstance(tokens, Malformed) else tokens.issued_at) or now
