"""What goes wrong in a world, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import random

Kind = Literal[
    "crash_before",
    "crash_after",
    "fail",  # not applied, and said so
    "doubt_applied",  # applied, the answer lost
    "doubt_lost",  # not applied, the answer lost
    "doubt_late",  # the answer lost, and applied only later
    "stale",
    "pause",
    "reset",  # refused by the provider in so many words: 503
    "limited",  # 429 with Retry-After
    "denied",  # invalid_client
]

APPLICABLE: dict[str, tuple[Kind, ...]] = {
    "store.read": ("crash_before", "crash_after", "fail", "stale", "pause"),
    "store.write": (
        "crash_before", "crash_after", "fail", "doubt_applied", "doubt_lost", "doubt_late", "pause",
    ),
    "state.read": ("crash_before", "crash_after", "fail", "pause"),
    "state.write": (
        "crash_before", "crash_after", "fail", "doubt_applied", "doubt_lost", "doubt_late", "pause",
    ),
    "escrow.read": ("crash_before", "crash_after", "fail"),
    "escrow.write": ("crash_before", "crash_after", "fail", "doubt_applied", "pause"),
    "audit.write": ("crash_before", "crash_after", "fail", "doubt_applied", "pause"),
    "provider.refresh": (
        "crash_before", "crash_after", "doubt_applied", "doubt_lost", "pause", "reset", "limited", "denied",
    ),
}  # fmt: skip
"""Per kind of port call, what can go wrong with it."""


WEIGHT = {"store.read": 0.3, "state.read": 0.3, "escrow.read": 0.3, "provider.refresh": 6.0}
"""How much likelier than at a write a fault is: most calls are reads, most trouble begins at the exchange."""


@dataclass(slots=True)
class FaultPlan:
    """Decides for every port call whether it goes wrong.

    Args:
        rate: Chance of a fault at a call.
        left: How many faults the world has left.
        at: For the crash matrix: the one call, by number, that goes wrong, instead of chance.
    """

    chance: random.Random
    rate: float = 0.0
    left: int = 0
    at: int | None = None
    kind: Kind | None = None
    calls: int = 0
    injected: list[str] = field(default_factory=list)

    def draw(self, call: str) -> Kind | None:
        """Return what goes wrong with this call, if anything."""
        number = self.calls
        self.calls += 1
        if self.at is not None:
            hit = number == self.at and self.kind in APPLICABLE[call]
            return self._noted(call, self.kind) if hit and self.kind else None
        if self.left <= 0 or self.chance.random() >= self.rate * WEIGHT.get(call, 1.0):
            return None
        self.left -= 1
        return self._noted(call, self.chance.choice(APPLICABLE[call]))

    def _noted(self, call: str, kind: Kind) -> Kind:
        self.injected.append(f"{kind} at {call}")
        return kind
