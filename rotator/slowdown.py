"""How much more slowly a provider is asked after it said "too many". Pure.

A pause alone was rejected: when it is over, a fleet that is behind sends as fast as before, and is told "too many"
again. Each time the spacing of requests doubles; the time that twenty requests take, a minute at most, halves it again
if there was no other time, until the configured budget, or no budget, is reached. A minute whatever the spacing was
rejected: at eight requests a second twenty of them tell as much, and tokens of a minute ended meanwhile.

It lies in the provider's record, so that replicas and later runs go by it; how far it has eased follows from the time,
so that nobody has to write it down.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.limits import Pace

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.records import ProviderRecord

FIRST_S = 1.0
"""Spacing after the first time where no budget is configured: about what providers without a stated limit let pass."""

LONGEST_S = 60.0
"""A provider that says "too many" to everything is asked once a minute, whatever else it says."""

EASE_S = 60.0
EASE_REQUESTS = 20
SMALLEST_S = 0.05
"""A spacing that has eased below this is over: a round trip takes longer."""

SAME_S = 5.0
"""Answers within so long of each other are one time: the requests were on their way together."""


def slower(record: ProviderRecord, now: datetime, base_s: float) -> ProviderRecord:
    """Return the record after the provider said "too many" at `now`; twice the same is once.

    Args:
        base_s: The spacing of the configured budget, 0 without one.
    """
    if record.slowed_at is not None and abs(now - record.slowed_at) < timedelta(seconds=SAME_S):
        return record
    before = max(spacing_s(record, now), base_s)
    return replace(record, spacing_s=min(LONGEST_S, 2 * before if before else FIRST_S), slowed_at=now)


def spacing_s(record: ProviderRecord, now: datetime) -> float:
    """Return how far apart requests are to be sent now, in seconds; 0 where it does not matter any more."""
    if record.slowed_at is None:
        return 0.0
    eased_s = min(LONGEST_S, record.spacing_s)
    left_s = max(0.0, (now - record.slowed_at).total_seconds())
    while eased_s >= SMALLEST_S:
        step_s = min(EASE_S, EASE_REQUESTS * eased_s)
        if left_s < step_s:
            return eased_s
        left_s -= step_s
        eased_s /= 2.0
    return 0.0


def pace(spacing_s: float) -> Pace:
    """Return the pace of a spacing; a request may leave within a quarter of it after its slot."""
    return Pace(spacing_s, min(5.0, spacing_s / 4))


def newer(one: ProviderRecord, other: ProviderRecord) -> ProviderRecord:
    """Return the first record with the second's spacing if that was noted later."""
    if other.slowed_at is None or (one.slowed_at is not None and one.slowed_at >= other.slowed_at):
        return one
    return replace(one, spacing_s=other.spacing_s, slowed_at=other.slowed_at)
