"""What providers say about their limits: kept in the state for every replica, and in memory should it not answer."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rotator import slowdown
from rotator.errors import StoreError, StoreUnavailable
from rotator.ledger import change_provider, read_provider
from rotator.records import ProviderRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.limits import Pace, Told
    from rotator.ports import StateStore
    from rotator.retrying import Retrier


@dataclass(slots=True)
class Allowance:
    """How many requests a provider still answers, by its own last word. Only this process counts with it.

    Args:
        left: Requests that may still be sent until `resets_at`.
        limit: The pace that the provider states.
        sending: Requests on their way.
    """

    left: int = 0
    resets_at: datetime | None = None
    limit: Pace | None = None
    sending: int = 0


@dataclass(frozen=True, slots=True)
class Cooldowns:
    """Notes and reads pauses and slowdowns per provider and client. Thread-safe.

    Whatever is learnt, by a note or by a read, only ever lengthens what is known here: a read that began before a note
    ends after it, and must not hide it. A cooldown that could not be written is written with the next look at that
    provider, at the end of a pass (`flush`), or by the parts of a new configuration (`take_over`): a state that fails
    for seconds must not let this process, or the next one, send into a pause of an hour.
    """

    state: StateStore
    retrier: Retrier
    _known: dict[str, ProviderRecord] = field(default_factory=dict)
    _unwritten: set[str] = field(default_factory=set)
    _allowances: dict[str, Allowance] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, key: str, until: datetime, reason: str) -> None:
        """Make a cooldown known, to every replica if the state answers. Never shortens one."""
        self.remember(key, until, reason)
        with contextlib.suppress(StoreError):
            self._write(key)

    def note_limited(self, key: str, until: datetime, reason: str, *, now: datetime, base_s: float) -> None:
        """As `note`, after the provider said "too many" at `now`: beyond the pause, requests are sent further apart.

        Args:
            base_s: The spacing of the configured budget, 0 without one.
        """
        self.remember(key, until, reason)

        def slower(record: ProviderRecord) -> ProviderRecord:
            return slowdown.slower(record, now, base_s)

        try:
            self._write(key, slower)  # from the record's spacing: another replica may have been told, too
        except StoreError:
            with self._lock:
                self._known[key] = slower(self._known[key])

    def remember(self, key: str, until: datetime, reason: str) -> None:
        """Make a cooldown known to this process, at once, and to every replica with the next `flush`."""
        with self._lock:
            self._learn(ProviderRecord(key, until, reason))
            self._unwritten.add(key)

    def known(self, key: str) -> datetime | None:
        """Return until when this process knows that nobody sends, without asking the state."""
        known = self._known.get(key)
        return known.cooldown_until if known else None

    def all_known(self) -> dict[str, datetime]:
        """Return, by provider and client, until when this process knows that nobody sends."""
        return {key: until for key, known in list(self._known.items()) if (until := known.cooldown_until)}

    def pace(self, key: str, now: datetime) -> Pace | None:
        """Return the pace that the provider's own words ask for now, as far as this process knows; None for none."""
        known, allowance = self._known.get(key), self._allowances.get(key)
        told = allowance.limit if allowance else None
        spacing_s = slowdown.spacing_s(known, now) if known else 0.0
        if not spacing_s:
            return told
        return slowdown.pace(spacing_s).under(told) if told else slowdown.pace(spacing_s)

    # ------------------------------------------------------------------------------------ the provider's own count

    def sending(self, key: str) -> None:
        """Count a request that is about to leave."""
        with self._lock:
            allowance = self._allowances.setdefault(key, Allowance())
            allowance.sending += 1
            allowance.left -= 1

    def answered(self, key: str, told: Told | None, now: datetime) -> None:
        """Count an answer, and take over what it says of the limits."""
        with self._lock:
            allowance = self._allowances[key]
            allowance.sending -= 1
            if told is None:
                return
            if told.limit is not None:
                allowance.limit = slowdown.pace(min(slowdown.LONGEST_S, told.limit.interval_s))
            if told.remaining is not None and told.resets_in_s is not None:
                # What is on its way was not counted yet.
                allowance.left = told.remaining - allowance.sending
                allowance.resets_at = now + timedelta(seconds=told.resets_in_s)

    def opens_at(self, key: str, now: datetime, *, begun: int) -> datetime | None:
        """Return when the provider's count begins anew, if nothing is left of it now; None to go on.

        Args:
            begun: How many jobs for this provider and client have begun, those included whose requests are on their
                way.
        """
        allowance = self._allowances.get(key)
        if allowance is None or allowance.resets_at is None or allowance.resets_at <= now:
            return None
        return allowance.resets_at if allowance.left <= begun - allowance.sending else None

    # ------------------------------------------------------------------------------------------------ the state

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
        """Keep to what another configuration's parts were told, in this one's state too: it may be another."""
        with before._lock:
            told = dict(before._known)
            allowances = dict(before._allowances)
        with self._lock:
            for key, known in told.items():
                self._learn(known)
                self._unwritten.add(key)
            self._allowances.update(allowances)

    def _write(
        self, key: str, change: Callable[[ProviderRecord], ProviderRecord] = lambda record: record
    ) -> ProviderRecord:
        def told(record: ProviderRecord) -> ProviderRecord:
            return change(_merged(record, self._known[key]))

        return self._compared(key, change_provider(self.state, key, self.retrier, told))

    def _compared(self, key: str, record: ProviderRecord) -> ProviderRecord:
        """Return a record that the state holds, with what only this process knows of; learn from it."""
        with self._lock:
            if record.cooldown_until or record.slowed_at:
                self._learn(record)
            if key not in self._known:
                return record
            known = _merged(record, self._known[key])
            if known == record:
                self._unwritten.discard(key)  # the state has it, whoever wrote it
            return known

    def _learn(self, told: ProviderRecord) -> None:
        known = self._known.get(told.identity, ProviderRecord(told.identity))
        self._known[told.identity] = _merged(known, replace(told, next_slot_at=None))


def _merged(record: ProviderRecord, known: ProviderRecord) -> ProviderRecord:
    """Return the record with the longer of two pauses, and the slowdown that was noted last."""
    record = slowdown.newer(record, known)
    if known.cooldown_until is None or (record.cooldown_until and record.cooldown_until >= known.cooldown_until):
        return record
    return replace(record, cooldown_until=known.cooldown_until, reason=known.reason)
