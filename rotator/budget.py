"""The provider's pacing, shared by all replicas: slots of a configured budget, reserved ahead in the state record."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.ledger import change_provider
from rotator.limits import Pace

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.cooldowns import Cooldowns
    from rotator.limits import RateLimit
    from rotator.ports import Clock, StateStore
    from rotator.records import ProviderRecord
    from rotator.retrying import Retrier

AHEAD_S = 5.0
"""How far ahead one reservation reaches. Longer spares writes of the record; but what a process reserves and does not
use, nobody uses."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Reserves the moments at which requests may be sent. Thread-safe.

    The slots are evenly spaced, and so far apart that no window holds more than the budget, even when requests leave
    late within the slack of their slots (`RateLimit.interval_s`). A token bucket that also lets a burst through was
    rejected, for it lets up to twice the budget into some windows.
    """

    state: StateStore
    retrier: Retrier
    clock: Clock
    cooldowns: Cooldowns
    _paces: dict[str, Pace] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def learn(self, key: str, limit: RateLimit | None) -> None:
        """Enter a limit that some entry of the configuration names for a provider and client, if it names one.

        Several entries may lead to one endpoint and client, with different limits or none: all of them are kept, by
        all requests that go there.
        """
        if limit is None:
            return
        with self._lock:
            before = self._paces.get(key)
            self._paces[key] = before.under(limit) if before else Pace(limit.interval_s, limit.slack_s)

    def pace(self, key: str) -> Pace | None:
        """Return how the requests of a provider and client are spaced now; None when no limit is known for them.

        The configured budget, or what the provider itself asks for, whichever is slower.
        """
        configured, told = self._paces.get(key), self.cooldowns.pace(key, self.clock.now())
        return configured.under(told) if configured and told else configured or told

    def reserve(self, key: str, limit: RateLimit | Pace, wanted: int, *, lead_s: float = 0.0) -> list[datetime]:
        """Reserve up to `wanted` slots, at least one, for the provider and client of `key`.

        Args:
            lead_s: No slot before so long from now.

        Returns:
            The moments, ascending; none of them was or will be given to anybody else.

        Raises:
            StoreError: The state cannot be read or written.
        """
        interval = timedelta(seconds=limit.interval_s)
        count = max(1, min(wanted, math.floor(AHEAD_S / limit.interval_s)))

        def reserved(record: ProviderRecord) -> ProviderRecord:
            # Read here: the state may have taken its time, and a slot in the past is a slot missed.
            now = self.clock.now() + timedelta(seconds=lead_s)
            free = max(now, record.next_slot_at or now, record.cooldown_until or now)
            return replace(record, next_slot_at=free + count * interval)

        end = change_provider(self.state, key, self.retrier, reserved).next_slot_at
        if end is None:
            raise AssertionError("a reservation sets the next free slot")
        return [end - (count - position) * interval for position in range(count)]
