"""The pauses that providers ask for: kept in the state for every replica, and in memory should the state not answer."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rotator.errors import StoreError
from rotator.ledger import change_provider, read_provider

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.ports import StateStore
    from rotator.records import ProviderRecord
    from rotator.retrying import Retrier


@dataclass(frozen=True, slots=True)
class Cooldowns:
    """Notes and reads cooldowns per provider and client. Thread-safe.

    A cooldown that could not be written is remembered here and written with the next look at that provider: a state
    that fails for seconds must not let this process send into a pause of an hour.
    """

    state: StateStore
    retrier: Retrier
    _unwritten: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    _known: dict[str, datetime] = field(default_factory=dict)

    def note(self, key: str, until: datetime, reason: str) -> None:
        """Make a cooldown known, to every replica if the state answers. Never shortens one."""
        known = self._known.get(key)
        self._known[key] = until if known is None else max(known, until)
        before = self._unwritten.get(key)
        if before is not None and before[0] >= until:
            until, reason = before
        self._unwritten[key] = (until, reason)
        with contextlib.suppress(StoreError):
            self._write(key, until, reason)

    def known(self, key: str) -> datetime | None:
        """Return until when this process knows that nobody sends, without asking the state."""
        return self._known.get(key)

    def record(self, key: str) -> ProviderRecord:
        """Return what is known of a provider and client: one read of the state.

        Raises:
            StoreError: The state cannot be read.
        """
        pending = self._unwritten.get(key)
        if pending:
            with contextlib.suppress(StoreError):
                return self._write(key, *pending)
        record, _ = read_provider(self.state, key, self.retrier)
        if pending:
            return _cooled(record, *pending)
        if record.cooldown_until:
            self._known[key] = record.cooldown_until
        return record

    def _write(self, key: str, until: datetime, reason: str) -> ProviderRecord:
        written = change_provider(self.state, key, self.retrier, lambda record: _cooled(record, until, reason))
        if self._unwritten.get(key) == (until, reason):
            self._unwritten.pop(key, None)
        return written


def _cooled(record: ProviderRecord, until: datetime, reason: str) -> ProviderRecord:
    if record.cooldown_until and record.cooldown_until >= until:
        return record
    return replace(record, cooldown_until=until, reason=reason)
