"""What a tenant saw and did, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace


@dataclass(slots=True)
class Report:
    """The counters; refresh tokens appear under their labels (`3.0` is the third login's first).

    Not thread-safe: the face counts under its lock, and hands out copies.

    Args:
        requests: POSTs to the token endpoint that arrived whole, whatever became of them.
        refreshes: Token responses made.
        rotations: Those that carried a new refresh token.
        standing: Token responses to grants that need no login.
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

    requests: int = 0
    refreshes: int = 0
    rotations: int = 0
    standing: int = 0
    grace_replays: int = 0
    reuse_detections: int = 0
    families_revoked: int = 0
    replies_lost_after_processing: int = 0
    rejected_over_rate: int = 0
    sent_too_early: int = 0
    faults: int = 0
    presented: dict[str, int] = field(default_factory=Counter)
    processed: dict[str, int] = field(default_factory=Counter)

    def copy(self) -> Report:
        """Return the counters as they stand."""
        return replace(self, presented=dict(self.presented), processed=dict(self.processed))

    @property
    def spent_twice(self) -> tuple[str, ...]:
        """The refresh tokens that were processed more than once: none, where they rotate and all went well."""
        return tuple(label for label, times in self.processed.items() if times > 1)
