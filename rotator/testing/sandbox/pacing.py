"""The tenant's rate limit, and whether clients keep to what they were told."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.limits import RateLimit
    from rotator.ports import Clock

PacedBy = Literal["seconds", "http_date", "x_ratelimit", "none"]
"""How a refusal says when to come again: `Retry-After` in one of its two forms (RFC 9110 section 10.2.3), the epoch
second in `x-ratelimit-reset` (Auth0), or not at all."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Where a client stands within the limit, this request included.

    Args:
        over: The limit is exceeded.
        reset_s: Seconds until one more request is within the limit.
    """

    limit: int
    remaining: int
    over: bool
    reset_s: float


class SlidingWindow:
    """Counts the requests of each client in the last `per_s` seconds, refused ones included. Not thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._arrivals: defaultdict[str, deque[float]] = defaultdict(deque)

    def arrival(self, client_id: str, limit: RateLimit) -> Pace:
        """Count a request that arrives now and return where its client stands."""
        now_s = self._clock.monotonic_s()
        arrivals = self._arrivals[client_id]
        while arrivals and arrivals[0] <= now_s - limit.per_s:
            arrivals.popleft()
        arrivals.append(now_s)
        room = limit.requests - len(arrivals)
        reset_s = 0.0 if room > 0 else arrivals[-limit.requests] + limit.per_s - now_s
        return Pace(limit.requests, max(0, room), over=room < 0, reset_s=reset_s)


class Waits:
    """Remembers when each client was told to come again. Not thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_before: dict[str, datetime] = {}

    def told(self, client_id: str, not_before: datetime) -> None:
        """Note what the client was told; an earlier word that reaches further stays."""
        known = self._not_before.get(client_id)
        self._not_before[client_id] = max(known, not_before) if known else not_before

    def too_early(self, client_id: str) -> bool:
        """Return whether a request of the client that arrives now comes before its time."""
        not_before = self._not_before.get(client_id)
        return not_before is not None and self._clock.now() < not_before


def pacing_headers(
    paced_by: PacedBy, wait_s: float, now: datetime, *, limit: int = 1
) -> tuple[tuple[tuple[str, str], ...], datetime]:
    """Return the headers that tell a client to wait, and the instant that they name.

    All three forms count in whole seconds: the wait is rounded up.
    """
    if paced_by == "seconds":
        seconds = math.ceil(wait_s)
        return (("Retry-After", str(seconds)),), now + timedelta(seconds=seconds)
    if paced_by == "none":
        return (), now
    instant = (now + timedelta(seconds=wait_s)).replace(microsecond=0)
    if instant < now + timedelta(seconds=wait_s):
        instant += timedelta(seconds=1)
    if paced_by == "http_date":
        return (("Retry-After", format_datetime(instant, usegmt=True)),), instant
    return (
        ("x-ratelimit-limit", str(limit)),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", str(int(instant.timestamp()))),
    ), instant
