"""The record of the cases under compare-and-swap: races, lost answers, and what is no record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rotator.case_ledger import KEY, CaseLedger
from rotator.cases import CaseBook, review
from rotator.clocks import SystemRandom
from rotator.errors import StoreCorrupt, StoreUnavailable, StoreWriteInDoubt
from rotator.retrying import Retrier
from rotator.testing.memory import MemoryStateStore, VirtualClock
from tests.notify.parts import DEAD, START, view_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.cases import Telling


def ledger(state: MemoryStateStore) -> CaseLedger:
    return CaseLedger(state, Retrier(VirtualClock(), SystemRandom(), attempts=2))


def begin(of: CaseLedger, *, meanwhile: Any = None) -> list[Telling]:
    """Review the book and claim what is to be told; `meanwhile` happens once, between the read and the write."""
    tellings: list[Telling] = []

    def reviewed(book: CaseBook) -> CaseBook:
        nonlocal tellings, meanwhile
        if meanwhile:
            act, meanwhile = meanwhile, None
            act()
        after, tellings = review(book, view_of(DEAD, now=START), START, lambda: "case")
        return after

    of.change(reviewed)
    return tellings


def test_of_two_that_read_the_same_book_one_tells() -> None:
    """Whoever writes second reads again, and finds that the other one tells."""
    state = MemoryStateStore()
    others: list[Telling] = []
    ours = begin(ledger(state), meanwhile=lambda: others.extend(begin(ledger(state))))
    assert (len(others), len(ours)) == (1, 0)


def test_a_write_whose_answer_is_lost_is_told_late_and_not_twice() -> None:
    """The book says that somebody tells, himself as it happens: he waits for the end of his own lease."""

    class Lossy(MemoryStateStore):
        """Applies the first write, and loses the answer."""

        lost = False

        def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
            revision = super().compare_and_swap(key, body, expected=expected)
            if not self.lost:
                self.lost = True
                raise StoreWriteInDoubt("the answer was lost")
            return revision

    state = Lossy()
    assert begin(ledger(state)) == []
    [case] = ledger(state).read().cases
    assert case.begun


def test_a_state_that_is_away_is_said() -> None:
    """After one more try the telling is left to the next round."""

    class Away(MemoryStateStore):
        asked = 0

        def read(self, key: str) -> Any:
            self.asked += 1
            raise StoreUnavailable("no answer")

    state = Away()
    with pytest.raises(StoreUnavailable):
        begin(ledger(state))
    assert state.asked == 2


@pytest.mark.parametrize(
    "body",
    [
        {"format": 2},
        {},
        {"format": 1, "cases": [{"id": "x"}]},
        {"format": 1, "cases": {}, "claims": []},
        {"format": 1, "cases": [], "canary": 1},
    ],
)
def test_what_is_no_book_is_not_written_over(body: dict[str, Any]) -> None:
    """A newer rotator's record is left as it is; the error says that it may be deleted, and quotes nothing of it."""
    state = MemoryStateStore()
    state.compare_and_swap(KEY, body, expected=0)
    with pytest.raises(StoreCorrupt) as caught:
        begin(ledger(state))
    assert "delete this one record" in caught.value.hint
    assert "canary" not in str(caught.value)
    assert state.read(KEY)[0] == body
