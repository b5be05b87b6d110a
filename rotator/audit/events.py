"""The audit events, as values. Their names and fields are a contract with whoever reads the trail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

EventName = Literal[
    "rotation.started",
    "rotation.succeeded",
    "rotation.failed",
    "rotation.in_doubt",
    "rotation.deferred",
    "escrow.replayed",
    "credential.reauthorization_required",
    "credential.resolved",
    "credential.seeded",
    "credential.read",
    "refresh_token.expiring",
]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event; `rotator.audit.trail` adds `event_id`, `ts` and `actor` to the common fields.

    Args:
        details: `attempt`, `refresh_token_digest`, `version_before`, `version_after`, `expires_at`, `duration_ms`,
            `reason`, `error`, `retry_at`, where they apply. Instants as aware datetimes.
    """

    event: EventName
    event_id: str
    ts: datetime
    credential: str
    provider: str
    store: str
    actor: Mapping[str, Any]
    rotation_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
