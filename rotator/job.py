"""A credential on its way through a pass or the daemon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rotator.model import Credential
    from rotator.observe import Observed

FAR = datetime.max.replace(tzinfo=UTC)

LaneKey: TypeAlias = tuple[str, str]
"""A provider's and client's key, and a store's name: what its jobs need slots of."""


@dataclass(slots=True)
class Job:
    """One credential to look at.

    Args:
        deadline: When its access token ends; the earliest deadline goes first. None, unknown, is no deadline that could
            be met or missed, and goes behind those that can: due again every quarter of an hour, enough of them would
            take every slot of a tight budget for ever.
        observed: What was already read, to be used while it is young.
        start_at: When the budget demands the start, for the document at `version`; another one has times of its own.
        pinned: Only the document at `version` was compared with all others; another one is left to who compares.
        lane: The provider's and client's key, once it is due and waits for its turn.
        key: The same, once it was looked at.
        slot: When its request may leave; None without a budget.
        lead_s: How long before its slot it began.
        slot_ends: And until when.
        due_at, begun_at: When it was planned, and when a thread took it first.
    """

    credential: Credential
    deadline: datetime | None = None
    observed: Observed | None = None
    force: bool = False
    horizon_s: float = 0.0
    start_at: datetime | None = None
    version: str = ""
    pinned: bool = False
    shared_with: str | None = None
    lane: str = ""
    key: str = ""
    slot: datetime | None = None
    lead_s: float = 0.0
    slot_ends: datetime | None = None
    due_at: datetime | None = None
    begun_at: datetime | None = None
    rounds: int = 0

    @property
    def needs(self) -> LaneKey:
        """What it needs slots of, once it waits for its turn."""
        return self.lane, self.credential.store

    @property
    def order(self) -> tuple[datetime, str]:
        """Earliest deadline first, then by name."""
        return (self.deadline or FAR, self.credential.name)


@dataclass(frozen=True, slots=True)
class Ready:
    """A job was looked at and is due: it belongs into its lane."""
