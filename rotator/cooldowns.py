"""The pauses that providers ask for: kept in the state for every replica, and in memory should the state not answer."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rotator.errors import StoreError, StoreUnavailable
from rotator.ledger import change_provider, read_provider

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.ports import StateStore
    from rotator.records import ProviderRecord
    from rotator.retrying import Retrier


@dataclass(frozen=True, slots=True)
class Cooldowns:
    """Notes and reads cooldowns per provider and client. Thread-safe.

    Whatever is learnt, by a note or by a read, only ever lengthens what is known here: a read that began before a note
    ends after it, and must not hide it. A cooldown that could not be written is written with the next look at that
    provider, at the end of a pass (`flush`), or by the parts of a new configuration (`take_over`): a state that fails
    for seconds must not let this process, or the next one, send into a pause of an hour.
    """

    state: StateStore
    retrier: Retrier
    _known: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    _unwritten: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, key: str, until: datetime, reason: str) -> None:
        """Make a cooldown known, to every replica if the state answers. Never shortens one."""
        self.remember(key, until, reason)
        with contextlib.suppress(StoreError):
            self._write(key)

    def remember(self, key: str, until: datetime, reason: str) -> None:
        """Make a cooldown known to this process, at once, and to every replica with the next `flush`."""
        with self._lock:
            self._learn(key, until, reason)
            self._unwritten.add(key)

    def known(self, key: str) -> datetime | None:
        """Return until when this process knows that nobody sends, without asking the state."""
        known = self._known.get(key)
        return known[0] if known else None

    def record(self, key: str) -> ProviderRecord:
        """Return what is known of a provider and client: one read of the state.

        Raises:
            StoreError: The state cannot be read.
        """
        if key in self._unwritten:
            with contextlib.suppress(StoreError):
                return self._write(key)
        record, _ = read_provider(self.state, key, self.retrier)
        return self._compared(key, record)

    def flush(self, only: str | None = None) -> None:
        """Write what the state has not taken yet, of all providers or of one, as far as it takes it now.

        Bounded: a state that does not answer is asked once, with the usual retries, and not for every pause anew.
        """
        with self._lock:
            unwritten = sorted(key for key in self._unwritten if only in {None, key})
        for key in unwritten:
            try:
                self._write(key)
            except StoreUnavailable:
                return
            except StoreError:
                continue

    def take_over(self, before: Cooldowns) -> None:
        """Keep to the pauses that another configuration's parts knew of, in this one's state too: it may be another."""
        with before._lock:
            pauses = dict(before._known)
        with self._lock:
            for key, pause in pauses.items():
                self._learn(key, *pause)
                self._unwritten.add(key)

    def _write(self, key: str) -> ProviderRecord:
        written = change_provider(self.state, key, self.retrier, lambda record: _cooled(record, *self._known[key]))
        return self._compared(key, written)

    def _compared(self, key: str, record: ProviderRecord) -> ProviderRecord:
        """Return a record that the state holds, with the pause that only this process knows of; learn from it."""
        with self._lock:
            if record.cooldown_until:
                self._learn(key, record.cooldown_until, record.reason)
            if key not in self._known:
                return record
            known = _cooled(record, *self._known[key])
            if known is record:
                self._unwritten.discard(key)  # the state has it, whoever wrote it
            return known

    def _learn(self, key: str, until: datetime, reason: str) -> None:
        known = self._known.get(key)
        if known is None or known[0] < until:
            self._known[key] = (until, reason)


def _cooled(record: ProviderRecord, until: datetime, reason: str) -> ProviderRecord:
    if record.cooldown_until and record.cooldown_until >= until:
        return record
    return replace(record, cooldown_until=until, reason=reason)
