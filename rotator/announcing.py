"""Telling of cases: see what is the case, write who tells, send, write what was taken.

The order is what makes it safe: a message is sent only once the shared record says that this process sends it, and it
counts as told only once a notifier took it (`rotator.cases`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rotator.case_notices import notice_of, summary_of
from rotator.cases import CaseBook, Results, Telling, View, review, settled
from rotator.deliveries import ROUND_S, Deliveries
from rotator.errors import NotDelivered, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rotator.case_ledger import CaseLedger
    from rotator.deliveries import Delivered
    from rotator.notices import Notice
    from rotator.notifier import Notifier
    from rotator.ports import Clock, Ids

MOST_SINGLY = 10
"""Of one round. When a store goes down a fleet's worth of cases opens at once: what is beyond is one summary."""

IDLE_READ_S = 300.0
"""How often the record is read while nothing is the case here and nothing was open: another process may have opened a
case that only this one sees to end."""

MOST_LOGGED = 5


@dataclass(slots=True)
class Announcer:
    """Tells of cases. For one thread.

    Args:
        names: Who is told.
        notifiers: By name, these among them.
        note: Called with a short text and facts, for the operational log.
    """

    ledger: CaseLedger
    notifiers: Mapping[str, Notifier]
    names: tuple[str, ...]
    clock: Clock
    ids: Ids
    note: Callable[..., Any]
    _deliveries: Deliveries = field(init=False)
    _read_at: datetime | None = None
    _open: bool = False

    def __post_init__(self) -> None:
        self._deliveries = Deliveries({name: self.notifiers[name] for name in self.names}, self.clock)

    def announce(self, view: View, *, within_s: float = ROUND_S) -> None:
        """Make one round: tell what is to be told now. Raises nothing that a state or a notifier does.

        What could not be told is told by a later round, this process's or another's.
        """
        now = self.clock.now()
        if not (view.found or self._open) and self._read_lately(now):
            return
        try:
            tellings = self._claimed(view)
            if tellings:
                self._tell(tellings, within_s)
        except StoreError as error:
            self.note("open cases cannot be told now", problem=str(error))

    def _read_lately(self, now: datetime) -> bool:
        return self._read_at is not None and timedelta(0) <= now - self._read_at < timedelta(seconds=IDLE_READ_S)

    def _claimed(self, view: View) -> list[Telling]:
        """Write what is open and what this process is about to send; return that."""
        tellings: list[Telling] = []

        def reviewed(book: CaseBook) -> CaseBook:
            nonlocal tellings
            after, tellings = review(book, view, self.clock.now(), self.ids.new_id)
            return after

        book = self.ledger.change(reviewed)
        self._read_at, self._open = self.clock.now(), bool(book.cases)
        return tellings

    def _tell(self, tellings: Sequence[Telling], within_s: float) -> None:
        messages, stands_for = planned(tellings, self.clock.now())
        delivered = self._deliveries.round(messages, within_s=within_s)
        self._log(delivered)
        results = results_of(delivered, stands_for)
        self.ledger.change(lambda book: settled(book, results, self.clock.now()))

    def _log(self, delivered: Delivered) -> None:
        failed: dict[str, list[NotDelivered]] = {}
        for (_, name), error in delivered.items():
            if error is not None:
                failed.setdefault(name, []).append(error)
        for name, errors in list(failed.items())[:MOST_LOGGED]:
            self.note("not told; it is tried again", notifier=name, messages=len(errors), problem=str(errors[0]))


def planned(
    tellings: Sequence[Telling], now: datetime, *, most: int = MOST_SINGLY
) -> tuple[dict[str, list[Notice]], dict[str, Sequence[Telling]]]:
    """Return the messages by notifier, and by a message's id what it stands for; too many become one summary."""
    singly, rest = (tellings, ()) if len(tellings) <= most else (tellings[: most - 1], tellings[most - 1 :])
    messages: dict[str, list[Notice]] = {}
    stands_for: dict[str, Sequence[Telling]] = {}
    for telling in singly:
        notice = notice_of(telling, now)
        stands_for[notice.id] = (telling,)
        for name in telling.notifiers:
            messages.setdefault(name, []).append(notice)
    if rest:
        summary = summary_of(rest, now)
        stands_for[summary.id] = rest
        for name in dict.fromkeys(name for telling in rest for name in telling.notifiers):
            messages.setdefault(name, []).append(summary)
    return messages, stands_for


def results_of(delivered: Delivered, stands_for: Mapping[str, Sequence[Telling]]) -> Results:
    """Return what became of each case's own message."""
    return {
        (telling.case.message_id, name): None if error is None else error.retry_after_s
        for (identifier, name), error in delivered.items()
        for telling in stands_for[identifier]
    }
