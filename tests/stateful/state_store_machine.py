"""Any state store against the in-memory model: replicas that swap, race, list and meet what a person left."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rotator.errors import RotatorError, StoreRejected, VersionConflict
from rotator.testing.contracts import race
from tests.stateful.running import THREADS, assert_same_error, outcome
from tests.stateful.secret_benches import REPLICAS
from tests.stateful.secret_store_machine import replicas, texts, values
from tests.stateful.state_benches import CUT, StateModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stateful.state_benches import StateBench

KEYS = ("secret/a", "secret/A", "secret/a/../株 %2F#?", "provider/https://id.example/token|c_1")
PREFIXES = ("", "secret/", "secret/a", "Secret", "provider/", "secret/a/../株 %", "secret/_")
LARGE = 90_000 // 14
"""Characters: JSON in JSON makes fourteen bytes of one beyond the basic plane, and the Vault double takes 100,000."""
FOLDERS = itertools.count()

keys = st.integers(0, len(KEYS) - 1)
bodies = st.dictionaries(texts, values, max_size=3)
expectations = st.one_of(
    st.just(("current", 0)),
    st.just(("current", 0)),
    st.tuples(st.just("earlier"), st.integers(0, 20)),
    st.just(("none", 0)),
    st.tuples(st.just("to come"), st.integers(1, 3)),
)


class StateStoreMachine(RuleBasedStateMachine):
    """After each step every answer, value or class of error, is the model's, and so is every record."""

    def __init__(self, bench: StateBench) -> None:
        super().__init__()
        self.bench = bench
        self.model = StateModel(bench.differences)
        self.folder = f"{next(FOLDERS)}/"
        self.keys = [f"{self.folder}{key}" for key in KEYS]
        self.real_of: dict[tuple[str, int], int] = {(key, 0): 0 for key in self.keys}
        self.count = 0

    # ---------------------------------------------------------------------------------------------- the verbs

    @rule(replica=replicas, key=keys)
    def read(self, replica: int, key: int) -> None:
        name = self.keys[key]
        real, modelled = outcome(lambda: self._store(replica).read(name)), outcome(lambda: self.model.read(name))
        if isinstance(modelled, RotatorError):
            assert_same_error(real, modelled)
            return
        (body, revision), (expected_body, expected_revision) = real, modelled
        assert body == expected_body
        assert repr(body) == repr(expected_body) or not _is_ordered(body, expected_body)
        self._same_revision(name, revision, expected_revision)

    @rule(replica=replicas, asked=st.lists(keys, max_size=6))
    def read_many(self, replica: int, asked: list[int]) -> None:
        names = [self.keys[key] for key in asked]
        real, modelled = self._store(replica).read_many(names), self.model.read_many(names)
        assert set(real) == set(modelled)
        for name, expected in modelled.items():
            if isinstance(expected, RotatorError):
                assert_same_error(real[name], expected)
            else:
                assert real[name][0] == expected[0]
                self._same_revision(name, real[name][1], expected[1])

    @rule(replica=replicas, key=keys, basis=expectations, body=bodies)
    def swap(self, replica: int, key: int, basis: tuple[str, int], body: dict[str, Any]) -> None:
        self._swap(replica, key, basis, body)

    @rule(replica=replicas, key=keys, sealed=st.sampled_from(["x", "ä", "\x01", '"', "😀"]))
    def swap_in_a_large_body(self, replica: int, key: int, sealed: str) -> None:
        """A body near what the smallest backend takes, in characters that JSON makes longer."""
        self._swap(replica, key, ("current", 0), {"sealed": sealed * LARGE})

    @rule(replica=replicas, key=keys, basis=expectations)
    def refuse(self, replica: int, key: int, basis: tuple[str, int]) -> None:
        """What the backend refuses for good changes nothing, whatever the write expects."""
        body = self.bench.refused()
        if body is not None:
            _, real = self._expected(self.keys[key], basis)
            answer = outcome(lambda: self._store(replica).compare_and_swap(self.keys[key], body, expected=real))
            assert isinstance(answer, StoreRejected | VersionConflict)

    @rule(replica=replicas, prefix=st.sampled_from(PREFIXES))
    def list_keys(self, replica: int, prefix: str) -> None:
        real = self._store(replica).keys(self.folder + prefix)
        assert sorted(real) == sorted(real) == sorted(self.model.keys(self.folder + prefix))

    @rule(replica=replicas)
    def prove(self, replica: int) -> None:
        self._store(replica).prove_writable()

    # ------------------------------------------------------------------------------------------------- at once

    @rule(key=keys, basis=expectations)
    def compete(self, key: int, basis: tuple[str, int]) -> None:
        """Writers at the same moment with one expectation: one wins at most, and the others conflict."""
        name = self.keys[key]
        modelled, real = self._expected(name, basis)
        fits = modelled == self.model.revision(name)
        winners, losers = race(
            lambda n: (n, self._store(n).compare_and_swap(name, {"writer": n}, expected=real)),
            loses=VersionConflict,
            threads=THREADS,
        )
        assert (len(winners), losers) == ((1, THREADS - 1) if fits else (0, THREADS))
        for number, revision in winners:
            expected = self.model.compare_and_swap(name, {"writer": number}, expected=modelled)
            self._same_revision(name, revision, expected)

    @precondition(lambda self: self.count % 3 == 0)
    @rule(key=keys)
    def count_up_together(self, key: int) -> None:
        """Threads that read, add one and swap until they succeed lose no addition."""
        name = self.keys[key]
        if isinstance(outcome(lambda: self.model.read(name)), RotatorError):
            return

        def add_one(thread: int) -> None:
            store = self._store(thread)
            while True:
                body, revision = store.read(name)
                try:
                    store.compare_and_swap(name, {"n": _count(body) + 1}, expected=revision)
                except VersionConflict:
                    continue
                return

        race(add_one, threads=THREADS)
        for _ in range(THREADS):
            body, revision = self.model.read(name)
            expected = self.model.compare_and_swap(name, {"n": _count(body) + 1}, expected=revision)
        self._same_revision(name, self._store(0).read(name)[1], expected)

    # ------------------------------------------------------------------------------------------- what people do

    @rule(key=keys)
    def damage(self, key: int) -> None:
        """Text that is no JSON: the record is corrupt, and not absent."""
        name = self.keys[key]
        self.model.raw_put(name, CUT)
        modelled = self.model.revision(name)
        self._same_revision(name, self.bench.damage(name, modelled), modelled)

    @rule(key=keys)
    def lose(self, key: int) -> None:
        """A record that a person deletes, or that an old backup does not have."""
        name = self.keys[key]
        if self.model.revision(name):
            self.bench.lose(name)
            self.model.raw_lose(name)

    @invariant()
    def every_record_is_as_the_model_says(self) -> None:
        """What a step did not name has not changed, whoever looks."""
        self.count += 1
        for key in range(len(KEYS)):
            self.read(self.count, key)

    # ------------------------------------------------------------------------------------------------- within

    def _store(self, replica: int) -> Any:
        return self.bench.stores[replica % REPLICAS]

    def _swap(self, replica: int, key: int, basis: tuple[str, int], body: dict[str, Any]) -> None:
        name = self.keys[key]
        modelled, real = self._expected(name, basis)
        answer = outcome(lambda: self._store(replica).compare_and_swap(name, body, expected=real))
        expected = outcome(lambda: self.model.compare_and_swap(name, body, expected=modelled))
        if isinstance(expected, RotatorError):
            assert_same_error(answer, expected)
        else:
            assert isinstance(answer, int), f"the model says revision {expected}, the adapter {answer!r}"
            assert answer > real
            self._same_revision(name, answer, expected)

    def _expected(self, name: str, basis: tuple[str, int]) -> tuple[int, int]:
        """Return an expectation, as the model and as the adapter counts."""
        kind, which = basis
        current = self.model.revision(name)
        known = [revision for known, revision in self.real_of if known == name]
        match kind:
            case "current":
                number = current
            case "earlier":
                number = known[which % len(known)]
            case "none":
                number = 0
            case _:
                return max(known) + which, max(self.real_of[name, one] for one in known) + which
        return number, self.real_of.get((name, number), number)

    def _same_revision(self, name: str, real: int, modelled: int) -> None:
        assert self.real_of.setdefault((name, modelled), real) == real


def _count(body: Any) -> int:
    found = (body or {}).get("n")
    return found if type(found) is int else 0


def _is_ordered(body: Any, expected: Any) -> bool:
    """Return whether two equal bodies have their members in one order: then their numbers' types can be compared."""
    return bool(body) and list(body) == list(expected) and not any(isinstance(value, dict) for value in body.values())


def machine_on(bench: StateBench) -> Callable[[], StateStoreMachine]:
    return lambda: StateStoreMachine(bench)
