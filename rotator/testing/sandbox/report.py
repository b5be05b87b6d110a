"""What a tenant saw and did, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Report:
    """A snapshot of the counters; refresh tokens appear under their labels (`3.0` is the third login's first).

    Args:
        requests: POSTs to the token endpoint that arrived whole, whatever became of them.
        refreshes: Token responses made.
        rotations: Those that carried a new refresh token.
        grace_replays: Replays that the grace window let through.
        reuse_detections: Used refresh tokens that came again.
        families_revoked: Logins that this cost.
        replies_lost_after_processing: Token responses that did not reach the client whole and readable.
        rejected_over_rate: Requests refused by the rate limit.
        sent_too_early: Requests that came before the time that an earlier answer had told their client to wait for.
        faults: Faults injected.
        presented: How often each refresh token arrived, processed or not.
        processed: How often each refresh token arrived and no fault or rate limit kept it from being looked at.
    """

    requests: int
    refreshes: int
    rotations: int
    grace_replays: int
    reuse_detections: int
    families_revoked: int
    replies_lost_after_processing: int
    rejected_over_rate: int
    sent_too_early: int
    faults: int
    presented: Mapping[str, int]
    processed: Mapping[str, int]

    @property
    def spent_twice(self) -> tuple[str, ...]:
        """The refresh tokens that were processed more than once: none, where they rotate and all went well."""
        return tuple(label for label, times in self.processed.items() if times > 1)


@dataclass(slots=True)
class Counters:
    """The counters themselves. Not thread-safe: the face counts under its lock."""

    requests: int = 0
    refreshes: int = 0
    rotations: int = 0
    grace_replays: int = 0
    reuse_detections: int = 0
    families_revoked: int = 0
    replies_lost_after_processing: int = 0
    rejected_over_rate: int = 0
    sent_too_early: int = 0
    faults: int = 0
    presented: Counter[str] = field(default_factory=Counter)
    processed: Counter[str] = field(default_factory=Counter)

    def snapshot(self) -> Report:
        """Return the counters as they stand."""
        return Report(
            requests=self.requests,
            refreshes=self.refreshes,
            rotations=self.rotations,
            grace_replays=self.grace_replays,
            reuse_detections=self.reuse_detections,
            families_revoked=self.families_revoked,
            replies_lost_after_processing=self.replies_lost_after_processing,
            rejected_over_rate=self.rejected_over_rate,
            sent_too_early=self.sent_too_early,
            faults=self.faults,
            presented=dict(self.presented),
            processed=dict(self.processed),
        )
