"""One attempt to rotate: what its steps hand on to each other, and how they tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rotator.errors import AuditUnavailable

if TYPE_CHECKING:
    from rotator.audit.events import EventName
    from rotator.model import Credential
    from rotator.observe import Observed
    from rotator.ports import Clock, Trail


BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known about the rotation in hand.

    Args:
        digest: Of the refresh token that is presented.
        audit_digest: The keyed digest of the same, for events; None with a grant that presents none.
        started_at: When the request was sent.
        fence: Of the lease that was taken; 0 before.
        tries: How often this token was claimed, this claim included.
        claimed_s: When it was claimed, on the monotonic clock, which nobody sets.
        monotonic_s: When it was sent, for the duration; None when nothing was.
    """

    observed: Observed
    digest: str
    rotation_id: str
    audit_digest: str | None
    started_at: datetime
    fence: int = 0
    lease_until: datetime = BEFORE_ALL
    tries: int = 1
    claimed_s: float = 0.0
    monotonic_s: float | None = None

    @property
    def sends_nothing(self) -> bool:
        """Whether this is a recovery."""
        return self.monotonic_s is None

    @property
    def credential(self) -> Credential:
        """The credential in hand."""
        return self.observed.situation.credential

    @property
    def login_again(self) -> str:
        """What a person does about a grant that is lost."""
        return self.credential.login_again


@dataclass(frozen=True, slots=True)
class Teller:
    """Audits what became of an attempt."""

    trail: Trail
    clock: Clock

    def tell(self, event: EventName, attempt: Attempt, **details: Any) -> tuple[str, ...]:
        """Record an event of this attempt.

        What happened has happened: a failing audit comes back as a warning. Only `rotation.started`, which goes
        before the deed, is recorded by the procedure itself and stops it.
        """
        if attempt.monotonic_s is not None:
            details["duration_ms"] = round((self.clock.monotonic_s() - attempt.monotonic_s) * 1000)
        try:
            self.trail.record(
                event,
                attempt.credential,
                rotation_id=attempt.rotation_id,
                attempt=attempt.tries,
                refresh_token_digest=attempt.audit_digest,
                version_before=attempt.observed.situation.stored.version,
                **details,
            )
        except AuditUnavailable as error:
            return (f"{event} is not in the audit trail: {error.message}",)
        return ()
