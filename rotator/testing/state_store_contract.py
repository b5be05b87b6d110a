"""What every state store must do: the port's docstrings as tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from rotator.errors import (
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreRejected,
    StoreUnavailable,
    VersionConflict,
)
from rotator.testing.contract_parts import Support, need, race

if TYPE_CHECKING:
    from rotator.ports import StateStore
    from rotator.testing.harnesses import StateStoreHarness

_BODIES: dict[str, dict[str, Any]] = {
    "empty": {},
    "nested": {"presented": [{"digest": "d", "tries": 1, "at": None}], "lease": {"holder": {"host": "h"}}},
    "unicode": {"holder": "Zoë 株式会社 😀", "ключ": "значение"},
    "numbers and truth": {"fence": 2**53 - 1, "minus": -1, "fraction": 0.25, "yes": True, "no": False},
    "empty parts": {"text": "", "list": [], "object": {}, "": "empty name"},
    "20 KB": {"sealed": "x" * 20_000},
}
_KEYS = (
    "secret/arn:aws:secretsmanager:us-east-1:123456789012:secret:oauth/dailypay/payroll-export-AbCdEf",
    "secret/local:/var/lib/rotator/rotator.db#with spaces and # and ?",
    "provider/https://id.acme.example/oauth2/token client",
    "secret/Zoë/株式会社/😀",
    "secret/UPPER",
    "secret/upper",
    "secret/per%cent",
    "secret/per%25cent",
    "secret/per_cent",
    "secret/a/../b",
    "secret/a//b/",
    "secret/" + "long" * 100,
)


class StateStoreContract:
    """Subclass it with a name that begins with `Test` and a fixture `harness`: a harness over an empty backend."""

    concurrent_writers_supported: ClassVar[Support] = True
    """Whether what serves the calls can judge writers at the same moment; some emulators cannot."""

    # ------------------------------------------------------------------------------------- reading and writing

    def test_what_is_not_there_reads_as_nothing_at_revision_zero(self, harness: StateStoreHarness) -> None:
        """A record that never existed is `(None, 0)`."""
        assert harness.store.read("secret/none") == (None, 0)

    @pytest.mark.parametrize("body", _BODIES.values(), ids=_BODIES.keys())
    def test_every_body_survives(self, harness: StateStoreHarness, body: dict[str, Any]) -> None:
        """Whatever stands in a body comes back equal, for this instance and for another."""
        revision = harness.store.compare_and_swap("secret/a", body, expected=0)
        assert harness.store.read("secret/a") == (body, revision)
        assert harness.reopened().read("secret/a") == (body, revision)

    def test_numbers_come_back_in_their_own_type(self, harness: StateStoreHarness) -> None:
        """An integer stays an int, a fraction a float and a truth value a bool."""
        harness.store.compare_and_swap("secret/a", {"i": 1, "f": 0.5, "b": True}, expected=0)
        body, _ = harness.store.read("secret/a")
        assert body is not None
        assert [type(body[name]) for name in "ifb"] == [int, float, bool]

    def test_every_key_is_a_record_of_its_own(self, harness: StateStoreHarness) -> None:
        """Keys with colons, slashes, spaces, percent signs, other scripts or great length never meet."""
        for number, key in enumerate(_KEYS):
            harness.store.compare_and_swap(key, {"number": number}, expected=0)
        assert [harness.store.read(key)[0] for key in _KEYS] == [{"number": n} for n in range(len(_KEYS))]
        assert sorted(harness.store.keys("")) == sorted(_KEYS)

    def test_the_revision_only_grows(self, harness: StateStoreHarness) -> None:
        """Each write, even of an equal body, returns a revision greater than the one before, and so does a read."""
        revision = 0
        for _ in range(5):
            new = harness.store.compare_and_swap("secret/a", {"same": True}, expected=revision)
            assert new > revision
            assert harness.store.read("secret/a") == ({"same": True}, new)
            revision = new

    def test_a_write_replaces_the_whole_body(self, harness: StateStoreHarness) -> None:
        """A field that the new body does not have is gone."""
        revision = harness.store.compare_and_swap("secret/a", {"lease": {"holder": "h"}, "fence": 1}, expected=0)
        harness.store.compare_and_swap("secret/a", {"fence": 1}, expected=revision)
        assert harness.store.read("secret/a")[0] == {"fence": 1}

    def test_a_write_on_another_revision_changes_nothing(self, harness: StateStoreHarness) -> None:
        """A write that expects no record, an old revision or one to come conflicts and leaves the record alone."""
        first = harness.store.compare_and_swap("secret/a", {"n": 1}, expected=0)
        second = harness.store.compare_and_swap("secret/a", {"n": 2}, expected=first)
        for wrong in (0, first, second + 1):
            with pytest.raises(VersionConflict) as caught:
                harness.store.compare_and_swap("secret/a", {"n": 3}, expected=wrong)
            assert caught.value.expected == wrong
            assert "secret/a" in str(caught.value)
        assert harness.store.read("secret/a") == ({"n": 2}, second)

    def test_replacing_what_is_not_there_conflicts(self, harness: StateStoreHarness) -> None:
        """A write that expects a revision of a record that does not exist conflicts and creates nothing."""
        with pytest.raises(VersionConflict):
            harness.store.compare_and_swap("secret/none", {"n": 1}, expected=1)
        assert harness.store.read("secret/none") == (None, 0)
        assert "secret/none" not in harness.store.keys("secret/")

    def test_a_write_by_another_instance_is_seen_at_once(self, harness: StateStoreHarness) -> None:
        """What another instance wrote is read, and a write that expects the revision before it conflicts."""
        first = harness.store.compare_and_swap("secret/a", {"n": 1}, expected=0)
        second = harness.reopened().compare_and_swap("secret/a", {"n": 2}, expected=first)
        assert harness.store.read("secret/a") == ({"n": 2}, second)
        with pytest.raises(VersionConflict):
            harness.store.compare_and_swap("secret/a", {"n": 3}, expected=first)

    def test_changing_an_object_afterwards_does_not_change_the_record(self, harness: StateStoreHarness) -> None:
        """Neither the body that was passed nor the one that was read is the record itself."""
        passed: dict[str, Any] = {"list": [1]}
        harness.store.compare_and_swap("secret/a", passed, expected=0)
        passed["list"].append(2)
        read: Any = harness.store.read("secret/a")[0]
        assert read == {"list": [1]}
        read["list"].append(3)
        assert harness.store.read("secret/a")[0] == {"list": [1]}

    def test_there_is_no_way_to_forget(self, harness: StateStoreHarness) -> None:
        """A state store offers neither a delete nor a plain overwrite: a forgotten claim spends a token twice."""
        assert not {"delete", "remove", "put", "set", "write"} & set(dir(harness.store))

    def test_it_says_whether_it_is_shared(self, harness: StateStoreHarness) -> None:
        """`shared` is a plain truth value, the same for every instance."""
        assert harness.store.shared in {True, False}
        assert harness.reopened().shared is harness.store.shared

    def test_a_body_that_the_store_refuses_changes_nothing(self, harness: StateStoreHarness) -> None:
        """A refused body is StoreRejected for a new and for an existing record, which stay as they were."""
        first = harness.store.compare_and_swap("secret/a", {"n": 1}, expected=0)
        for key, expected in (("secret/a", first), ("secret/b", 0)):
            with pytest.raises(StoreRejected):
                harness.store.compare_and_swap(key, harness.refused_body(), expected=expected)
        assert harness.store.read("secret/a") == ({"n": 1}, first)
        assert harness.store.read("secret/b") == (None, 0)

    def test_bytes_that_cannot_be_decoded_are_corrupt(self, harness: StateStoreHarness) -> None:
        """A damaged record is StoreCorrupt, which names its key; the others are not affected."""
        harness.store.compare_and_swap("secret/a", {"n": 1}, expected=0)
        revision = harness.store.compare_and_swap("secret/b", {"n": 1}, expected=0)
        harness.damage("secret/a")
        with pytest.raises(StoreCorrupt) as caught:
            harness.store.read("secret/a")
        assert "secret/a" in str(caught.value)
        assert harness.store.read("secret/b") == ({"n": 1}, revision)

    # ------------------------------------------------------------------------------------- reading many at once

    def test_reading_many_says_of_each_key_what_a_read_says(self, harness: StateStoreHarness) -> None:
        """Records that are there and keys that have none come back as `read` has them, each key once."""
        for number, key in enumerate(_KEYS):
            harness.store.compare_and_swap(key, {"number": number}, expected=0)
        harness.store.compare_and_swap(_KEYS[0], {"again": True}, expected=harness.store.read(_KEYS[0])[1])
        asked = [*_KEYS, "secret/none", _KEYS[3], "secret/none"]
        for store in (harness.store, harness.reopened()):
            found = store.read_many(asked)
            assert set(found) == {*_KEYS, "secret/none"}
            assert found == {key: store.read(key) for key in found}
            assert found["secret/none"] == (None, 0)

    def test_reading_many_takes_any_number_of_keys(self, harness: StateStoreHarness) -> None:
        """None, a whole batch and one more than two batches are all answered in full."""
        batch = harness.store.batch
        assert batch >= 1
        keys = [f"secret/{number}" for number in range(2 * batch + 1)]
        revision = harness.store.compare_and_swap(keys[-1], {"last": True}, expected=0)
        assert harness.store.read_many([]) == {}
        assert harness.store.read_many(keys[:batch]) == dict.fromkeys(keys[:batch], (None, 0))
        last = {keys[-1]: ({"last": True}, revision)}
        assert harness.store.read_many(keys) == {**dict.fromkeys(keys, (None, 0)), **last}

    def test_a_damaged_record_does_not_stop_the_others(self, harness: StateStoreHarness) -> None:
        """Among many, a damaged record is a StoreCorrupt that names it, and every other one is read."""
        expected: dict[str, Any] = {}
        for key in ("secret/a", "secret/b", "secret/c"):
            expected[key] = ({"of": key}, harness.store.compare_and_swap(key, {"of": key}, expected=0))
        harness.damage("secret/b")
        found = dict(harness.store.read_many([*expected, "secret/none"]))
        corrupt = found.pop("secret/b")
        assert isinstance(corrupt, StoreCorrupt)
        assert "secret/b" in str(corrupt)
        del expected["secret/b"]
        assert found == {**expected, "secret/none": (None, 0)}

    def test_reading_many_sees_the_newest_write_of_another_instance(self, harness: StateStoreHarness) -> None:
        """What another instance wrote a moment ago is what reading many returns."""
        other, revision = harness.reopened(), 0
        for number in range(5):
            revision = other.compare_and_swap("secret/a", {"n": number}, expected=revision)
            assert harness.store.read_many(["secret/a"]) == {"secret/a": ({"n": number}, revision)}

    # -------------------------------------------------------------------------------------- listing and proving

    def test_keys_are_those_that_begin_with_the_prefix(self, harness: StateStoreHarness) -> None:
        """A prefix is matched letter by letter: no wildcard, no folding of case."""
        for key in ("secret/a", "secret/ab", "Secret/a", "provider/a", "secret", "x_y/1", "xzy/1", "x%/1", "x*/1"):
            harness.store.compare_and_swap(key, {}, expected=0)
        for prefix, keys in {
            "secret/": ["secret/a", "secret/ab"],
            "secret/a": ["secret/a", "secret/ab"],
            "x_y/": ["x_y/1"],
            "x%": ["x%/1"],
            "x*": ["x*/1"],
            "none": [],
        }.items():
            assert sorted(harness.store.keys(prefix)) == keys

    def test_the_listing_is_complete(self, harness: StateStoreHarness) -> None:
        """Every record is listed once, however many there are, and the list can be walked twice."""
        written = sorted(f"secret/{number}" for number in range(40))
        for key in written:
            harness.store.compare_and_swap(key, {"padding": "x" * 100}, expected=0)
        listed = harness.store.keys("secret/")
        assert sorted(listed) == sorted(listed) == written

    def test_proving_writable_changes_no_record(self, harness: StateStoreHarness) -> None:
        """The proof leaves every record and the listing as they were."""
        harness.store.prove_writable()
        assert list(harness.store.keys("")) == []
        revision = harness.store.compare_and_swap("secret/a", {"n": 1}, expected=0)
        harness.store.prove_writable()
        assert harness.store.read("secret/a") == ({"n": 1}, revision)
        assert list(harness.store.keys("")) == ["secret/a"]

    # ------------------------------------------------------------------------------------------------ many threads

    def test_of_many_writers_one_wins(self, harness: StateStoreHarness) -> None:
        """Of many threads that expect the same revision, none included, one wins, and its body is the record's."""
        need(self.concurrent_writers_supported)
        revision = 0
        for turn in range(4):
            expected = revision

            def write(thread: int, turn: int = turn, expected: int = expected) -> tuple[dict[str, Any], int]:
                body = {"turn": turn, "thread": thread}
                return body, harness.store.compare_and_swap("secret/a", body, expected=expected)

            winners, _ = race(write, loses=VersionConflict)
            assert len(winners) == 1
            assert harness.store.read("secret/a") == winners[0]
            revision = winners[0][1]

    def test_no_increment_is_lost(self, harness: StateStoreHarness) -> None:
        """Threads that read, add one and swap until they succeed lose no addition."""
        need(self.concurrent_writers_supported)

        def add_one() -> int:
            while True:
                body, revision = harness.store.read("provider/a")
                count = 0 if body is None else body["count"]
                try:
                    return harness.store.compare_and_swap("provider/a", {"count": count + 1}, expected=revision)
                except VersionConflict:
                    continue

        race(lambda _: [add_one() for _ in range(5)], threads=4)
        assert harness.store.read("provider/a")[0] == {"count": 20}

    # --------------------------------------------------------------------------------------- when it cannot be done

    def test_every_verb_says_that_the_store_is_missing(self, harness: StateStoreHarness) -> None:
        """Without table, mount or folder every verb is StoreMissing."""
        _every_verb(harness.missing_store(), StoreMissing)

    def test_every_verb_says_that_it_is_denied(self, harness: StateStoreHarness) -> None:
        """For a caller without permission every verb is StoreDenied, and nothing is changed."""
        revision = harness.store.compare_and_swap("secret/a", {"n": 1}, expected=0)
        _every_verb(harness.denied_store(), StoreDenied)
        assert harness.store.read("secret/a") == ({"n": 1}, revision)

    def test_every_verb_says_that_nothing_answers(self, harness: StateStoreHarness) -> None:
        """When the backend cannot be reached every verb is StoreUnavailable."""
        _every_verb(harness.unreachable_store(), StoreUnavailable)


def _every_verb(store: StateStore, error: type[StoreError]) -> None:
    for verb in (
        lambda: store.read("secret/a"),
        lambda: store.read_many(["secret/a", "secret/b"]),
        lambda: store.compare_and_swap("secret/a", {"n": 2}, expected=0),
        lambda: store.keys("secret/"),
        store.prove_writable,
    ):
        with pytest.raises(error):
            verb()
