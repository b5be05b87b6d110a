"""The record of the open cases, in the state beside those of secrets and providers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from rotator.cases import CaseBook
from rotator.errors import StoreCorrupt, StoreUnavailable, StoreWriteInDoubt, VersionConflict
from rotator.record_bodies import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotator.ports import StateStore
    from rotator.retrying import Retrier

KEY = "notify/cases"
"""Neither `secret/…` nor `provider/…`: what walks over those meets it nowhere."""

CONFLICTS = 20
"""As `rotator.ledger` has it: the replicas of a deployment look every half minute, each at its own time."""


class CaseLedger:
    """Reads and changes the book. Thread-safe: it keeps nothing between calls."""

    def __init__(self, state: StateStore, retrier: Retrier) -> None:
        self._state = state
        self._retrier = retrier

    def read(self) -> CaseBook:
        """Return the book.

        Raises:
            StoreError: As `StateStore.read`, after retries; StoreCorrupt also for what this version did not write.
        """
        return _book(self._retrier.call(lambda: self._state.read(KEY))[0])

    def change(self, change: Callable[[CaseBook], CaseBook]) -> CaseBook:
        """Apply a pure change by compare-and-swap, anew after every conflict; return the book as it then is.

        A write whose answer was lost is repeated as a change of what is there then: who was about to send something
        finds that somebody is, himself perhaps, and waits for his own lease to end. That is late, and never twice.

        Raises:
            StoreError: As `StateStore.compare_and_swap`, but for VersionConflict.
        """
        for _ in range(CONFLICTS):
            body, revision = self._retrier.call(lambda: self._state.read(KEY))
            book = _book(body)
            wanted = change(book)
            if wanted == book:
                return book
            try:
                self._state.compare_and_swap(KEY, _body(wanted), expected=revision)
            except (VersionConflict, StoreWriteInDoubt):
                continue
            return wanted
        raise StoreUnavailable(f"the state record {KEY} changes without end")


def _body(book: CaseBook) -> dict[str, Any]:
    fields: dict[str, Any] = _adapter().dump_python(book, mode="json", exclude_defaults=True)
    return {"format": FORMAT, **fields}


def _book(body: Mapping[str, Any] | None) -> CaseBook:
    """Read a body; a missing one, a deleted one included, is an empty book: its cases are then told anew."""
    if body is None:
        return CaseBook()
    fields = dict(body)
    try:
        if fields.pop("format", None) != FORMAT:
            raise ValueError("unknown format")
        return _adapter().validate_json(json.dumps(fields), strict=True)
    except (ValueError, OverflowError, RecursionError) as error:  # pydantic's ValidationError is a ValueError
        raise StoreCorrupt(
            f"the state record {KEY} cannot be read: {type(error).__name__}",
            hint="if no newer version wrote it, delete this one record: open cases are then told anew",
        ) from None


_ADAPTERS: list[TypeAdapter[CaseBook]] = []


def _adapter() -> TypeAdapter[CaseBook]:
    if not _ADAPTERS:  # built on first use: most processes tell nobody
        _ADAPTERS.append(TypeAdapter(CaseBook))
    return _ADAPTERS[0]
