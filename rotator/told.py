"""Who is told, as the configuration says; and what tells them of rotations."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rotator.announcing import Announcer
from rotator.case_ledger import CaseLedger
from rotator.case_notices import rotated
from rotator.deliveries import Courier
from rotator.metered import CountedEscrow
from rotator.outcomes import Rotated
from rotator.retrying import Retrier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotator.model import Credential
    from rotator.notifier import Notifier
    from rotator.outcomes import Outcome
    from rotator.ports import Clock, Escrow, Ids, Randomness, StateStore

STATE_ATTEMPTS = 2
"""A state that is away is asked again by the next round, which is soon."""


@dataclass(frozen=True, slots=True)
class Told:
    """The notifiers of one configuration.

    Args:
        notifiers: All that are configured, by name.
        of_cases: Who is told of cases.
        of_rotations: Who is told of each rotation.
        own: By credential, who is told of its rotations instead.
        entries: What waits in escrow, as far as this process knows.
    """

    notifiers: Mapping[str, Notifier]
    of_cases: tuple[str, ...]
    of_rotations: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]]
    entries: CountedEscrow = field(default_factory=CountedEscrow)

    def announcer(
        self, state: StateStore, clock: Clock, ids: Ids, randomness: Randomness, note: Callable[..., Any]
    ) -> Announcer:
        """Return what tells of cases."""
        ledger = CaseLedger(state, Retrier(clock, randomness, attempts=STATE_ATTEMPTS))
        return Announcer(ledger, self.notifiers, self.of_cases, clock, ids, note)

    def close(self) -> None:
        """End what is under way."""
        for notifier in self.notifiers.values():
            with contextlib.suppress(Exception):  # a plug-in's defect must not change how a run ends
                notifier.close()


def place_of(escrow: Escrow) -> str:
    """Return the place of an escrow that only this process sees; empty for one that all replicas share."""
    return "" if escrow.shared else escrow.place


@dataclass(slots=True)
class Couriers:
    """Tells of rotations. For one thread, but for what the couriers do in theirs.

    Args:
        note: Called in any thread, with a short text and facts.
    """

    told: Told
    clock: Clock
    ids: Ids
    note: Callable[..., Any]
    _couriers: dict[str, Courier] = field(default_factory=dict)

    def became(self, credential: Credential, outcome: Outcome) -> None:
        """Tell, if it is a rotation, whoever wants to know of this credential. Never blocks, raises nothing."""
        names = self.told.own.get(credential.name, self.told.of_rotations)
        if not names or not isinstance(outcome, Rotated):
            return
        notice = rotated(self.ids.new_id(), credential, outcome, self.clock.now())
        for name in names:
            if name not in self._couriers:
                self._couriers[name] = Courier(name, self.told.notifiers[name], self.note)
            self._couriers[name].send(notice)

    def close(self, within_s: float) -> None:
        """Deliver what waits, as far as that is done within so many seconds."""
        ends_s = self.clock.monotonic_s() + within_s
        for courier in self._couriers.values():
            courier.close(self.clock, ends_s)
