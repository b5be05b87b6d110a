"""Credentials and views for the laws of cases."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rotator.cases import CaseBook, Results, Telling, View, findings, review, settled
from rotator.conditions import Known

if TYPE_CHECKING:
    from collections.abc import Mapping

START = datetime(2026, 3, 1, tzinfo=UTC)
FRESH = Known("alpha", "acme", "main", "fresh", expires_at=START + timedelta(days=365), next_at=START)
DEAD = replace(FRESH, state="latched", grant="0123456789abcdef", reason="rejected", action="rotator login alpha")


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def view_of(*known: Known, now: datetime, notifiers: tuple[str, ...] = ("ops",)) -> View:
    by_name: Mapping[str, Known] = {one.name: one for one in known}
    return View(list(findings(known, now)), by_name.get, notifiers)


@dataclass
class Desk:
    """One shared book, and the time; processes act on it one step at a time.

    Args:
        told: Type and id of each message that a notifier took.
    """

    book: CaseBook = field(default_factory=CaseBook)
    now: datetime = START
    told: list[tuple[str, str]] = field(default_factory=list)
    ids: Any = field(default_factory=itertools.count)

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def begin(self, *known: Known, notifiers: tuple[str, ...] = ("ops",), **options: Any) -> list[Telling]:
        """A process reviews and writes that it tells."""
        view = view_of(*known, now=self.now, notifiers=notifiers)
        self.book, tellings = review(self.book, view, self.now, lambda: f"case-{next(self.ids)}", **options)
        return tellings

    def send(self, tellings: list[Telling], *, failing: tuple[str, ...] = (), wait_s: float = 0.0) -> Results:
        """It sends, and the notifiers take it or not."""
        results: Results = {}
        for telling in tellings:
            for name in telling.notifiers:
                results[telling.case.message_id, name] = wait_s if name in failing else None
                if name not in failing:
                    self.told.append((f"{telling.case.phase} {telling.case.kind}", telling.case.message_id))
        return results

    def settle(self, results: Results) -> None:
        """It writes what was taken."""
        self.book = settled(self.book, results, self.now)

    def round(self, *known: Known, failing: tuple[str, ...] = (), **options: Any) -> list[str]:
        """All three steps; return what was told by it."""
        before = len(self.told)
        self.settle(self.send(self.begin(*known, **options), failing=failing))
        return [what for what, _ in self.told[before:]]
