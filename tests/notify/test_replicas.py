"""Replicas that share one book of cases: whatever the order of their steps, and whoever dies in between."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rotator.cases import AGAIN_S, LEASE_S, LONGEST_PAUSE_S, QUIET_S, Results, Telling
from rotator.testing.memory import MemoryStateStore
from tests.notify.parts import DEAD, FRESH, Desk

if TYPE_CHECKING:
    from datetime import datetime

REPLICAS = st.integers(0, 2)
BETA = replace(DEAD, name="beta", state="in_doubt", grant="")


@dataclass
class Replica:
    """A process between its steps."""

    tellings: list[Telling] = field(default_factory=list)
    results: Results = field(default_factory=dict)
    until: datetime | None = None


class Replicas(RuleBasedStateMachine):
    """Three replicas that begin, send, write what was taken, die, and come back; time passes; grants die and live."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.replicas = [Replica() for _ in range(3)]
        self.alpha, self.beta = FRESH, replace(FRESH, name="beta")
        self.excused: Counter[str] = Counter()

    @rule(one=st.booleans())
    def worsen(self, one: bool) -> None:
        if one:
            self.alpha = DEAD
        else:
            self.beta = BETA

    @rule(one=st.booleans())
    def mend(self, one: bool) -> None:
        if one:
            self.alpha = FRESH
        else:
            self.beta = replace(FRESH, name="beta")

    @rule(number=REPLICAS)
    def begin(self, number: int) -> None:
        replica = self.replicas[number]
        if not replica.tellings:
            replica.tellings = self.desk.begin(self.alpha, self.beta)
            replica.until = self.desk.now

    @rule(number=REPLICAS, failing=st.booleans())
    def send(self, number: int, failing: bool) -> None:
        replica = self.replicas[number]
        if replica.tellings and not replica.results:
            self._excuse_the_slow(replica)
            replica.results = self.desk.send(replica.tellings, failing=("ops",) if failing else ())

    @rule(number=REPLICAS)
    def settle(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.results:
            self._excuse_the_slow(replica)
            self.desk.settle(replica.results)
            self.replicas[number] = Replica()

    @rule(number=REPLICAS)
    def die(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.results:
            self.excused.update({one.case.message_id for one in replica.tellings})
        self.replicas[number] = Replica()

    @rule(seconds=st.sampled_from([1.0, 30.0, LEASE_S, QUIET_S, LONGEST_PAUSE_S, AGAIN_S]))
    def wait(self, seconds: float) -> None:
        self.desk.pass_s(seconds)

    def _excuse_the_slow(self, replica: Replica) -> None:
        """Who takes longer than its lease is taken for dead: its messages may be sent by another as well."""
        if replica.until and (self.desk.now - replica.until).total_seconds() >= LEASE_S:
            self.excused.update({one.case.message_id for one in replica.tellings})

    @invariant()
    def nothing_is_told_more_often_than_somebody_died(self) -> None:
        told = Counter(identifier for _, identifier in self.desk.told)
        twice = {one: count - 1 for one, count in told.items() if count > 1}
        assert all(count <= self.excused[one] for one, count in twice.items())

    @invariant()
    def a_case_is_in_the_book_once(self) -> None:
        keys = [case.key for case in self.desk.book.cases]
        assert len(keys) == len(set(keys))

    @precondition(lambda self: not any(one.tellings for one in self.replicas))
    @rule()
    def in_the_end_all_is_told(self) -> None:
        """Left in peace for some hours, the last word about each credential is the true one."""
        for _ in range(6):
            self.desk.pass_s(LONGEST_PAUSE_S + QUIET_S)
            self.desk.round(self.alpha, self.beta)
        last: dict[str, str] = {}
        for what, identifier in self.desk.told:
            last[what.partition(" ")[2]] = what.partition(" ")[0]
            assert identifier
        for kind, bad in (("grant_dead", self.alpha == DEAD), ("in_doubt", self.beta == BETA)):
            assert (last.get(kind, "over") != "over") == bad


Replicas.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestReplicas = Replicas.TestCase


def test_the_book_survives_the_state(monkeypatch: Any) -> None:
    """What was written comes back equal, in each phase, and an idle book is small."""
    from rotator.case_ledger import KEY, CaseLedger
    from rotator.clocks import SystemRandom
    from rotator.retrying import Retrier
    from rotator.testing.memory import VirtualClock

    state = MemoryStateStore()
    ledger = CaseLedger(state, Retrier(VirtualClock(), SystemRandom()))
    desk = Desk()
    for known in (DEAD, FRESH, DEAD):
        desk.round(known, failing=("hook",), notifiers=("ops", "hook"))
        assert ledger.change(lambda _: desk.book) == desk.book
        assert ledger.read() == desk.book
        desk.pass_s(30)
    assert list(state.keys("")) == [KEY]
    assert list(state.keys("secret/")) == []
