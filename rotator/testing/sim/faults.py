"""What goes wrong in a world, and how often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

Kind = Literal[
    "crash_before",
    "crash_after",
    "fail",  # not applied, and said so
    "doubt_applied",  # applied, the answer lost
    "doubt_lost",  # not applied, the answer lost
    "doubt_late",  # the answer lost, and applied only later
    "stale",
    "pause",
    "pause_long",  # for longer than a request may take, and than its lease
    "pause_longest",
    "refused_503",  # by the provider, in so many words
    "limited_429",  # with Retry-After
    "denied_401",  # invalid_client
    "error_500",  # a gateway's, before anything was processed
    "error_500_after",  # a gateway's, after everything was processed
]

_READ: tuple[Kind, ...] = ("crash_before", "crash_after", "fail", "pause", "pause_long", "pause_longest")
_KEEP: tuple[Kind, ...] = (*_READ, "doubt_applied")
_WRITE: tuple[Kind, ...] = (*_KEEP, "doubt_lost", "doubt_late")

APPLICABLE: dict[str, tuple[Kind, ...]] = {
    "store.read": (*_READ, "stale"),
    "store.write": _WRITE,
    "state.read": _READ,
    "state.write": _WRITE,
    "escrow.read": ("crash_before", "crash_after", "fail"),
    "escrow.write": _KEEP,
    "audit.write": _KEEP,
    "provider.refresh": (
        "crash_before", "crash_after", "doubt_applied", "doubt_lost", "pause", "pause_long",
        "pause_longest", "refused_503", "limited_429", "denied_401", "error_500", "error_500_after",
    ),
}  # fmt: skip
"""Per kind of port call, what can go wrong with it."""

PAUSES_S: dict[Kind, float] = {"pause": 5.0, "pause_long": 90.0, "pause_longest": 600.0}

WEIGHT = {"store.read": 0.3, "state.read": 0.3, "escrow.read": 0.3, "provider.refresh": 6.0}
"""How much likelier than at a write a fault is: most calls are reads, most trouble begins at the exchange."""


@dataclass(slots=True)
class FaultPlan:
    """Decides for every port call whether it goes wrong.

    Args:
        chance: A generator of its own, so that the same faults given one by one lead to the same trace.
        rate: Chance of a fault at a call.
        left: How many faults the world has left.
        given: Faults by call, instead of chance; see `Case.faults`.
    """

    chance: random.Random
    rate: float = 0.0
    left: int = 0
    given: Mapping[str, Kind] | None = None
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    injected: dict[str, Kind] = field(default_factory=dict)

    def draw(self, host: str, call: str) -> Kind | None:
        """Return what goes wrong with this call, if anything."""
        self.calls[host, call] += 1
        kind = self._given(host, call) if self.given is not None else self._drawn(call)
        if kind:
            self.injected[f"{host} {call} {self.calls[host, call]}"] = kind
        return kind

    def stop(self) -> None:
        """Let nothing go wrong from now on."""
        self.left, self.given = 0, None

    def _given(self, host: str, call: str) -> Kind | None:
        kind = (self.given or {}).get(f"{host} {call} {self.calls[host, call]}")
        return kind if kind in APPLICABLE[call] else None

    def _drawn(self, call: str) -> Kind | None:
        if self.left <= 0 or self.chance.random() >= self.rate * WEIGHT.get(call, 1.0):
            return None
        self.left -= 1
        return self.chance.choice(APPLICABLE[call])
