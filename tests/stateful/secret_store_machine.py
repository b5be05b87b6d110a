"""Any secret store against the in-memory model: replicas, people and races, step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rotator.errors import (
    RotatorError,
    SecretNotFound,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.model import Document, Versioned
from rotator.testing.contracts import race
from tests.stateful.running import THREADS, assert_same_error, outcome
from tests.stateful.secret_benches import REPLICAS, RemoteBench, text_of
from tests.stateful.secrets_model import SecretsModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stateful.secret_benches import SecretBench

SECRETS = 2
NEVER = ("no-such-version", "0", "", "07", "+1", "1_0", "999999", "-1", "1.0", "\u0661")
"""What no read returned: among them numbers in forms that a lenient reader takes for 1, 7 or 10."""

replicas = st.integers(0, REPLICAS - 1)
secrets = st.integers(0, SECRETS - 1)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6, width=32) | texts,
    lambda deep: st.lists(deep, max_size=2) | st.dictionaries(texts, deep, max_size=2),
    max_leaves=4,
)
documents = st.builds(
    lambda token, more: Document({"refresh_token": token, **more}),
    st.sampled_from(["rt-1", "rt-2", "rt-Zoë 株 😀 \u2028"]),
    st.dictionaries(texts, values, max_size=2),
)
strange = st.sampled_from(["not json", "[]", '"text"', "null", '{"a": 1, "a": 2}', '{"cut": ', ""])
expectations = st.one_of(
    st.just(("current", 0)),  # most of the time, or no history grows
    st.just(("current", 0)),
    st.tuples(st.just("earlier"), st.integers(0, 20)),
    st.just(("none", 0)),
    st.tuples(st.just("never"), st.integers(0, len(NEVER) - 1)),
)


@dataclass(frozen=True, slots=True)
class Write:
    """A write that was tried, as the model knows it and as the adapter does."""

    secret: int
    document: Document
    modelled: str | None
    real: str | None
    write_id: str


class SecretStoreMachine(RuleBasedStateMachine):
    """After each step every answer, value or class of error, is the model's, and so is every secret."""

    def __init__(self, bench: SecretBench) -> None:
        super().__init__()
        self.bench = bench
        self.model = SecretsModel(bench.differences)
        self.names = [bench.new_name() for _ in range(SECRETS)]
        self.real_of: dict[tuple[str, str], str] = {}
        self.content_of: dict[tuple[str, str], Any] = {}
        self.identities: dict[str, str] = {}
        self.writes: list[Write] = []
        self.count = 0

    # ---------------------------------------------------------------------------------------------- the verbs

    @rule(replica=replicas, secret=secrets)
    def read(self, replica: int, secret: int) -> None:
        name = self.names[secret]
        self._compare(name, outcome(lambda: self._store(replica).read(name)), outcome(lambda: self.model.read(name)))

    @rule(replica=replicas)
    def read_many(self, replica: int) -> None:
        real, modelled = self._store(replica).read_many(self.names), self.model.read_many(self.names)
        assert real.keys() == modelled.keys()
        for name in self.names:
            self._compare(name, real[name], modelled[name])

    @rule(replica=replicas)
    def list_versions(self, replica: int) -> None:
        real, modelled = self._store(replica).versions(self.names), self.model.versions(self.names)
        assert {name: listed.version for name, listed in real.items()} == {
            name: self.real_of[name, listed.version] for name, listed in modelled.items()
        }
        for name, listed in real.items():
            assert self.identities.setdefault(name, listed.identity) == listed.identity

    @rule(replica=replicas, secret=secrets)
    def find(self, replica: int, secret: int) -> None:
        name = self.names[secret]
        real, modelled = self._store(replica).find(name, {}), self.model.find(name, {})
        assert real.keys() == modelled.keys()
        for known, found in real.items():
            version = modelled[known].version
            assert found.version == (version and self.real_of[known, version])
            assert self.identities.setdefault(known, found.identity) == found.identity

    @rule(replica=replicas, secret=secrets)
    def prove(self, replica: int, secret: int) -> None:
        name = self.names[secret]
        real = outcome(lambda: self._store(replica).prove_writable(name))
        self._compare(name, real, outcome(lambda: self.model.prove_writable(name)))

    @rule(replica=replicas, secret=secrets, basis=expectations, document=documents)
    def swap(self, replica: int, secret: int, basis: tuple[str, int], document: Document) -> None:
        self._write(replica, self._new(secret, basis, document))

    @precondition(lambda self: self.writes)
    @rule(replica=replicas, which=st.integers(0, 50))
    def repeat(self, replica: int, which: int) -> None:
        """The same write again, perhaps by another replica, at once or after much has happened."""
        self._write(replica, self.writes[-1 - which % len(self.writes)])

    @precondition(lambda self: self.writes)
    @rule(replica=replicas, which=st.integers(0, 50), document=documents)
    def repeat_after_an_edit(self, replica: int, which: int, document: Document) -> None:
        """An early write again, often the creation, right after somebody wrote."""
        one = self.writes[which % len(self.writes)]
        self._edit(one.secret, document, None)
        self._write(replica, one)

    @precondition(lambda self: self.writes)
    @rule(replica=replicas, which=st.integers(0, 50), document=documents, back=st.booleans())
    def reuse_id(self, replica: int, which: int, document: Document, back: bool) -> None:
        """Another content under the id and expectation of an earlier write, perhaps rolled back to its beginning."""
        one = self.writes[-1 - which % len(self.writes)]
        numbers = self._known_numbers(self.names[one.secret])
        if back and one.modelled in map(str, numbers):
            self._roll_back(one.secret, numbers.index(int(one.modelled or 0)))
        self._write(replica, replace(one, document=document))

    @precondition(lambda self: self.writes)
    @rule(replica=replicas, which=st.integers(0, 50), basis=expectations)
    def rebase(self, replica: int, which: int, basis: tuple[str, int]) -> None:
        """An earlier write again, its id too, on another version."""
        one = self.writes[-1 - which % len(self.writes)]
        modelled, real = self._expected(self.names[one.secret], basis)
        self._write(replica, replace(one, modelled=modelled, real=real))

    @precondition(lambda self: self.bench.refuses)
    @rule(replica=replicas, secret=secrets, basis=expectations)
    def refuse(self, replica: int, secret: int, basis: tuple[str, int]) -> None:
        """What the backend refuses for good changes nothing, whatever the write expects."""
        one = self._new(secret, basis, self.bench.refused())
        if self._is_writable(one.secret):
            real = self._swapped(replica, one)
            assert isinstance(real, StoreRejected | VersionConflict | SecretNotFound)

    # ------------------------------------------------------------------------------------------- what people do

    @rule(secret=secrets, document=documents, content=st.none() | strange)
    def edit(self, secret: int, document: Document, content: str | None) -> None:
        self._edit(secret, document, content)

    @rule(secret=secrets)
    def delete(self, secret: int) -> None:
        self._delete(secret)

    @rule(secret=secrets)
    def restore(self, secret: int) -> None:
        if self.model.state_of(self.names[secret]) == "marked":
            self.bench.restore(self.names[secret])
            self.model.raw_restore(self.names[secret])

    @rule(secret=secrets)
    def wipe(self, secret: int) -> None:
        name = self.names[secret]
        if self.model.state_of(name) != "absent":
            self.bench.wipe(name)
            self.model.raw_wipe(name)
            self.identities.pop(name, None)
            self._forget(name)

    @precondition(lambda self: self.bench.has_labels)
    @rule(secret=secrets)
    def make_empty(self, secret: int) -> None:
        """A secret that somebody made and gave no value."""
        if self.model.state_of(self.names[secret]) == "absent":
            self.bench.make_empty(self.names[secret])
            self.model.raw_make_empty(self.names[secret])

    @precondition(lambda self: self.bench.has_labels)
    @rule(secret=secrets, which=st.integers(0, 20))
    def roll_back(self, secret: int, which: int) -> None:
        self._roll_back(secret, which)

    @rule(replica=replicas, secret=secrets, basis=expectations, document=documents, data=st.data())
    def swap_interrupted(
        self, replica: int, secret: int, basis: tuple[str, int], document: Document, data: st.DataObject
    ) -> None:
        """Somebody gets between the first and the last request of a write."""
        one = self._new(secret, basis, document)
        # A first value is there with the first request: nothing gets in between.
        if not self._is_writable(secret) or self.model.state_of(self.names[secret]) == "empty":
            return
        happened: list[bool] = []
        act = data.draw(st.sampled_from(["edit", "delete", "roll_back", "swap"]))
        theirs, which = data.draw(documents), data.draw(st.integers(0, 20))
        other = self._new(secret, ("current", 0), theirs)

        def interrupt() -> None:
            happened.append(True)
            match act:
                case "edit":
                    self._edit(secret, theirs, None)
                case "delete":
                    if not self.bench.differences.deleted_is_not_written:
                        self._delete(secret)
                case "roll_back":
                    self._roll_back(secret, which)
                case _:
                    self._write((replica + 1) % REPLICAS, other)

        with self.bench.between(self._store(replica), interrupt):
            real = self._swapped(replica, one)
        self._compare(self.names[secret], real, self._modelled(one))
        if not happened:
            interrupt()

    @precondition(lambda self: isinstance(self.bench, RemoteBench) and self.bench.loses_answers)
    @rule(replica=replicas, secret=secrets, basis=expectations, document=documents, which=st.integers(0, 3))
    def swap_and_lose_the_answer(
        self, replica: int, secret: int, basis: tuple[str, int], document: Document, which: int
    ) -> None:
        """The connection breaks in a write: what the adapter says of it is true, and the repetition settles it."""
        one = self._new(secret, basis, document)
        unfenced = self.model.state_of(self.names[secret]) == "empty" and one.modelled not in {None, ""}
        if unfenced or not self._is_writable(secret):
            return
        with self.bench.losing(self._store(replica), which) as applied:
            real = self._swapped(replica, one)
        if isinstance(real, StoreWriteInDoubt):
            if applied:
                self._modelled(one)
        elif not isinstance(real, StoreUnavailable):  # surely not applied
            self._compare(self.names[secret], real, self._modelled(one))
        self.every_secret_is_as_the_model_says()
        self._write(replica + 1, one)

    @rule(secret=secrets, basis=expectations, theirs=st.lists(documents, min_size=THREADS, max_size=THREADS))
    def compete(self, secret: int, basis: tuple[str, int], theirs: list[Document]) -> None:
        """Writers at the same moment with one expectation: one wins at most, and the others conflict."""
        if not self._is_writable(secret):
            return
        creates = self.model.state_of(self.names[secret]) == "absent"
        if creates and self.bench.differences.creators_are_not_judged:
            return
        entries = [self._new(secret, basis, _numbered(document, n)) for n, document in enumerate(theirs)]
        modelled = outcome(lambda: self._probe(entries[0]))
        loses = VersionConflict if isinstance(modelled, Versioned) else RotatorError
        winners, losers = race(
            lambda n: (n, self._store(n).compare_and_swap(
                self.names[secret], entries[n].document, expected=entries[n].real, write_id=entries[n].write_id
            )),
            loses=loses,
            threads=THREADS,
        )  # fmt: skip
        if isinstance(modelled, RotatorError):
            assert winners == [], f"the model says {modelled!r}"
            return
        assert len(winners) == 1, f"{len(winners)} writers of {THREADS} won"
        assert losers == THREADS - 1
        ((number, real),) = winners
        self._compare(self.names[secret], real, self._modelled(entries[number]))
        self.writes.append(entries[number])

    @invariant()
    def every_secret_is_as_the_model_says(self) -> None:
        """What a step did not name has not changed, whoever looks."""
        self.count += 1
        for secret in range(SECRETS):
            self.read(self.count % REPLICAS, secret)

    # ------------------------------------------------------------------------------------------------- within

    def _store(self, replica: int) -> Any:
        return self.bench.stores[replica % REPLICAS]

    def _is_writable(self, secret: int) -> bool:
        marked = self.model.state_of(self.names[secret]) == "marked"
        return not (marked and self.bench.differences.deleted_is_not_written)

    def _new(self, secret: int, basis: tuple[str, int], document: Document) -> Write:
        self.count += 1
        write_id = f"{self.count:08x}-0000-4000-8000-{id(self) % 0xFFFFFFFFFFFF:012x}"
        modelled, real = self._expected(self.names[secret], basis)
        return Write(secret, document, modelled, real, write_id)

    def _expected(self, name: str, basis: tuple[str, int]) -> tuple[str | None, str | None]:
        kind, which = basis
        known = [number for known, number in self.real_of if known == name]
        if kind == "none" or (kind != "never" and not known):
            return None, None
        if kind == "never":
            return ("", "") if NEVER[which] == "" else (f"never {which}", NEVER[which])
        if kind == "earlier":
            number = known[which % len(known)]
        else:
            current = outcome(lambda: self.model.read(name))
            number = current.version if isinstance(current, Versioned) else known[-1]
        return number, self.real_of[name, number]

    def _write(self, replica: int, one: Write) -> None:
        if self._is_writable(one.secret):
            real = self._swapped(replica, one)
            self._compare(self.names[one.secret], real, self._modelled(one))
            self.writes.append(one)

    def _swapped(self, replica: int, one: Write) -> Any:
        return outcome(
            lambda: self._store(replica).compare_and_swap(
                self.names[one.secret], one.document, expected=one.real, write_id=one.write_id
            )
        )

    def _modelled(self, one: Write) -> Any:
        return outcome(
            lambda: self.model.compare_and_swap(
                self.names[one.secret], one.document, expected=one.modelled, write_id=one.write_id
            )
        )

    def _probe(self, one: Write) -> Versioned:
        """Return what the model would answer, without changing it."""
        return self.model.copy().compare_and_swap(
            self.names[one.secret], one.document, expected=one.modelled, write_id=one.write_id
        )

    def _edit(self, secret: int, document: Document, content: str | None) -> None:
        name, differences = self.names[secret], self.bench.differences
        if content is None or differences.objects_only or (content == "" and differences.never_empty):
            content = text_of(dict(document.fields))
        if self._is_writable(secret):
            self.bench.edit(name, content)
            self.model.raw_put(name, content)

    def _delete(self, secret: int) -> None:
        if self.model.state_of(self.names[secret]) == "there":
            self.bench.delete(self.names[secret])
            self.model.raw_delete(self.names[secret])
            if self.bench.differences.numbers_begin_anew and not self.bench.differences.deletion_is_a_mark:
                self._forget(self.names[secret])

    def _roll_back(self, secret: int, which: int) -> None:
        name = self.names[secret]
        numbers = self._known_numbers(name)
        if self.bench.has_labels and numbers and self.model.state_of(name) == "there":
            number = numbers[which % len(numbers)]
            self.bench.roll_back(name, self.real_of[name, str(number)])
            self.model.raw_roll_back(name, number)

    def _known_numbers(self, name: str) -> list[int]:
        return [number for number in self.model.numbers(name) if (name, str(number)) in self.real_of]

    def _compare(self, name: str, real: Any, modelled: Any) -> None:
        if isinstance(modelled, RotatorError):
            assert_same_error(real, modelled)
        elif isinstance(modelled, Versioned):
            assert isinstance(real, Versioned), f"the model says version {modelled.version}, the adapter {real!r}"
            assert real.content == modelled.content
            assert self.identities.setdefault(name, real.identity) == real.identity
            assert self.real_of.setdefault((name, modelled.version), real.version) == real.version
            assert self.content_of.setdefault((name, real.version), real.content) == real.content, (
                "one text, two contents"
            )
        else:
            assert real == modelled

    def _forget(self, name: str) -> None:
        """Forget what the versions of a secret held: one that is made under its name later is another secret."""
        for known in [known for known in self.content_of if known[0] == name]:
            del self.content_of[known]


def _numbered(document: Document, number: int) -> Document:
    return Document({**document.fields, "writer": number})


def machine_on(bench: SecretBench) -> Callable[[], SecretStoreMachine]:
    return lambda: SecretStoreMachine(bench)
