"""How fast requests may be sent and secrets be written: limits as they are configured, told, and kept to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `requests` in any `per_s` seconds."""

    requests: int
    per_s: float

    @property
    def slack_s(self) -> float:
        """How long after its slot a request may leave: claiming and auditing take their time."""
        return min(5.0, self.per_s / 4)

    @property
    def interval_s(self) -> float:
        """The spacing of slots: however late in its slack each request leaves, no window holds more than `requests`."""
        return (self.per_s + self.slack_s) / self.requests


@dataclass(frozen=True, slots=True)
class Pace:
    """How the requests of one provider and client are spaced when several limits are configured for them.

    Args:
        interval_s: The spacing of slots.
        slack_s: How long after its slot a request may leave.
    """

    interval_s: float
    slack_s: float

    def under(self, limit: RateLimit | Pace) -> Pace:
        """Return the pace that keeps to this one and to another: slots as far apart as either, and as short-lived."""
        return Pace(max(self.interval_s, limit.interval_s), min(self.slack_s, limit.slack_s))


@dataclass(frozen=True, slots=True)
class StoreQuota:
    """How fast a store may be written.

    Args:
        writes_per_s: Calls that count as writes, of all replicas together, per second.
        writes_per_rotation: How many of them a rotation takes when nobody interferes.
    """

    writes_per_s: float
    writes_per_rotation: int

    @property
    def interval_s(self) -> float:
        """The spacing of rotations that keeps to it."""
        return self.writes_per_rotation / self.writes_per_s


@dataclass(frozen=True, slots=True)
class Told:
    """What a provider says of its limits beside an answer (`rotator.pacing.told`).

    Args:
        remaining: How many more requests it answers within the next `resets_in_s` seconds; both or neither are known.
        limit: The limit itself, where it names a window.
    """

    remaining: int | None = None
    resets_in_s: float | None = None
    limit: RateLimit | None = None
