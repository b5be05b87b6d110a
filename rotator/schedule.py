"""When a refresh is due. Pure: instants in, instants out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rotator.model import Credential, StoredTokens, TokenTimes

MARGIN_SHARE = 0.1
"""A tenth of the lifetime: six minutes for the usual hour, long enough for several tries."""

LEAST_MARGIN_S = 60.0
MOST_MARGIN_S = 15 * 60.0
"""Nobody gains from refreshing a day-long token hours early; at providers that revoke the old access token on
refresh (DailyPay, GitHub) earliness costs the readers."""

LONGEST_MARGIN_S = 365 * 86_400.0

JITTER_SHARE = 0.1
"""Spreads credentials that were seeded in the same second, always to the earlier side."""

IDLE_SHARE = 1 / 3
"""A refresh token is used after a third of its idle life, so that two whole attempts of the same length remain."""

LAST_TRY_SHARE = 0.25
"""A rotation in doubt is tried again in the last quarter of the margin: as late as still leaves time for a person."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When this document's access token is refreshed.

    Args:
        due_at: When a refresh falls due; None when the expiry is unknown, which is due now.
        eligible_at: When a pass that looks `horizon_s` ahead may already refresh; None as above.
        last_try_at: When a rotation in doubt is presented one last time; None is now.
        expires_at: The deadline.
        why: What makes it due, for people.
    """

    due_at: datetime | None
    eligible_at: datetime | None
    last_try_at: datetime | None
    expires_at: datetime | None
    why: str


def least_margin_s(credential: Credential) -> float:
    """Return how long before expiry a refresh has to begin at the latest: a minute, or two request timeouts."""
    return max(LEAST_MARGIN_S, 2 * credential.provider.timeout_s)


def margin_s(lifetime_s: float | None, credential: Credential) -> float:
    """Return how long before expiry a refresh falls due, in seconds, jitter not counted.

    `refresh_before_expiry` of the credential, else of the provider; else a tenth of the lifetime, at least a minute
    and two request timeouts, at most a quarter of an hour. Never more than half the lifetime.
    """
    provider = credential.provider
    stated = credential.refresh_before_expiry_s or provider.refresh_before_expiry_s
    wanted = stated or min(MOST_MARGIN_S, max(least_margin_s(credential), MARGIN_SHARE * (lifetime_s or 0.0)))
    # Not beyond a year even so: an expiry in antiquity must not lead out of the calendar.
    return min(wanted, LONGEST_MARGIN_S) if lifetime_s is None else min(wanted, lifetime_s / 2)


def jitter_s(credential: Credential, margin: float) -> float:
    """Return this credential's own share of the jitter, the same in every process and on every day."""
    hashed = hashlib.sha256(credential.name.encode()).digest()
    return margin * JITTER_SHARE * int.from_bytes(hashed[:4]) / 2**32


def timing(
    credential: Credential,
    tokens: StoredTokens | TokenTimes,
    *,
    horizon_s: float = 0.0,
    start_at: datetime | None = None,
    grant_ends_at: datetime | None = None,
) -> Timing:
    """Return when the tokens of a document are to be refreshed.

    Args:
        start_at: When the provider's budget demands the start, if that is earlier (`latest_starts`).
        grant_ends_at: When the refresh token itself ends, as far as the provider said.
        horizon_s: For one-shot runs, the time until the next pass: what falls due within it is eligible now, but not
            before half the lifetime, so that passes in quick succession do not rotate again and again. What would end
            before the next pass is done is eligible whatever its age.
    """
    expires_at = tokens.expires_at
    if expires_at is None:
        return Timing(None, None, None, None, "its expiry is unknown")
    issued_at = tokens.issued_at if tokens.issued_at and tokens.issued_at < expires_at else None
    lifetime_s = (expires_at - issued_at).total_seconds() if issued_at else None
    margin = margin_s(lifetime_s, credential)
    due_at = expires_at - timedelta(seconds=margin + jitter_s(credential, margin))
    why = f"its access token expires in less than {margin:.0f} s"
    idle_s = credential.provider.refresh_token_idle_s
    if idle_s and issued_at and issued_at + timedelta(seconds=idle_s * IDLE_SHARE) < due_at:
        due_at = issued_at + timedelta(seconds=idle_s * IDLE_SHARE)
        why = "its refresh token must be used before its idle life ends"
    if grant_ends_at and issued_at:
        # As long before its end as before the access token's, but not in the first half of its own life.
        early_s = min((expires_at - due_at).total_seconds(), (grant_ends_at - issued_at).total_seconds() / 2)
        if grant_ends_at - timedelta(seconds=early_s) < due_at:
            due_at, why = grant_ends_at - timedelta(seconds=early_s), "its refresh token ends before its access token"
    moved = start_at is not None and start_at < due_at
    if start_at is not None and moved:
        due_at, why = start_at, "the provider's budget lets it start no later"
    eligible_at = due_at - timedelta(seconds=horizon_s)
    if issued_at and lifetime_s:
        floor = issued_at + timedelta(seconds=credential.provider.earliest_refresh_s)
        due_at = max(due_at, floor)
        half = issued_at + timedelta(seconds=lifetime_s / 2)
        spare_s = min(least_margin_s(credential), MARGIN_SHARE * lifetime_s)  # cron is late, and a request takes time
        last_pass_at = expires_at - timedelta(seconds=horizon_s + spare_s)
        eligible_at = max(eligible_at, floor if moved else max(floor, min(due_at, half, last_pass_at)))
    return Timing(
        due_at=due_at,
        eligible_at=eligible_at,
        last_try_at=expires_at - timedelta(seconds=margin * LAST_TRY_SHARE),
        expires_at=expires_at,
        why=why,
    )


@dataclass(frozen=True, slots=True)
class Planned:
    """A refresh that waits for its time.

    Args:
        due_at: When it falls due if nothing else is in the way.
        deadline: When the access token ends.
    """

    name: str
    due_at: datetime
    deadline: datetime


def latest_starts(planned: Iterable[Planned], interval_s: float) -> dict[str, datetime]:
    """Return when each refresh has to start so that all keep their deadlines within one budget.

    Unit jobs on one machine: by earliest deadline, walking back from the last one, each starts when it falls due, or
    one interval before its successor, whichever is earlier. If any schedule keeps all deadlines, this one does
    (Jackson's rule). A start in the past means that it is late already.

    Args:
        interval_s: The spacing of requests that the budget allows.
    """
    interval = timedelta(seconds=interval_s)
    starts: dict[str, datetime] = {}
    following: datetime | None = None
    for one in sorted(planned, key=lambda one: (one.deadline, one.name), reverse=True):
        start = one.due_at if following is None else min(one.due_at, following - interval)
        starts[one.name] = following = start
    return starts
