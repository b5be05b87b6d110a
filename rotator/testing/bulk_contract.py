"""What every secret store must do with many secrets at once: the docstrings of `rotator.bulk` as tests."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, ClassVar

from rotator.errors import SecretNotFound, StoreCorrupt, StoreDenied, StoreError, StoreMissing, StoreUnavailable
from rotator.model import Document, Found, Listed
from rotator.testing.contract_parts import CANARY, Support, created, need, shown, write_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rotator.model import Versioned
    from rotator.ports import SecretStore
    from rotator.testing.harnesses import SecretStoreHarness


class BulkContract:
    """Part of `SecretStoreContract`."""

    text_supported: ClassVar[Support] = True
    """Whether the backend can hold text that is no JSON object."""

    # ------------------------------------------------------------------------------------------ reading in bulk

    def test_many_are_read_as_each_would_be(self, harness: SecretStoreHarness) -> None:
        """`read_many` has for each secret, asked for once or twice, what `read` returns or raises."""
        (one, _), (two, second), (gone, _), absent = (
            created(harness),
            created(harness),
            created(harness),
            harness.new_name(),
        )
        harness.store.compare_and_swap(two, Document({"n": 2}), expected=second.version, write_id=write_id(2))
        harness.raw_delete(gone)
        answers = harness.store.read_many([one, absent, two, gone, one])
        assert answers.keys() == {one, absent, two, gone}
        assert answers[one] == harness.store.read(one)
        assert answers[two] == harness.store.read(two)
        for missing in (absent, gone):
            assert type(answers[missing]) is SecretNotFound
            assert missing in str(answers[missing])
        assert harness.store.read_many([]) == {}

    def test_what_another_program_wrote_is_read_in_bulk(self, harness: SecretStoreHarness) -> None:
        """An edit that a read sees, an answer in bulk shows too, whatever the edit put there."""
        edited, other = harness.new_name(), created(harness)[0]
        harness.raw_set(edited, '{"refresh_token": "theirs"}')
        harness.raw_set(other, '{"refresh_token": "theirs, too"}')
        assert harness.store.read_many([edited, other]) == {name: harness.store.read(name) for name in (edited, other)}

    def test_a_malformed_content_is_malformed_in_bulk(self, harness: SecretStoreHarness) -> None:
        """What `read` returns as Malformed is Malformed in bulk, for the same reason, and the others are read."""
        need(self.text_supported)
        broken, (name, written) = harness.new_name(), created(harness)
        harness.raw_set(broken, f"not json {CANARY}")
        answers = harness.store.read_many([broken, name])
        assert answers == {broken: harness.store.read(broken), name: written}

    def test_more_than_a_batch_is_read_to_the_last(self, harness: SecretStoreHarness) -> None:
        """Of a sequence longer than `batch` every secret has its answer, the first and the last as well."""
        (first, one), (last, two) = created(harness), created(harness)
        names = [first, *(harness.new_name() for _ in range(harness.store.batch)), last]
        answers = dict(harness.store.read_many(names))
        assert answers.keys() == set(names)
        assert (answers.pop(first), answers.pop(last)) == (one, two)
        assert {type(answer) for answer in answers.values()} == {SecretNotFound}
        assert harness.store.batch >= 1

    def test_what_cannot_be_decoded_does_not_spoil_the_others(self, harness: SecretStoreHarness) -> None:
        """Damaged bytes are the StoreCorrupt of their own secret alone."""
        (damaged, _), (name, written) = created(harness), created(harness)
        harness.damage(damaged)
        answers = harness.store.read_many([damaged, name])
        assert type(answers[damaged]) is StoreCorrupt
        assert damaged in str(answers[damaged])
        assert answers[name] == written

    def test_a_missing_store_is_an_answer_for_each(self, harness: SecretStoreHarness) -> None:
        """Without mount or folder, StoreMissing is what `read_many` has for each secret; it raises nothing."""
        _each_is(harness.missing_store(), [harness.new_name(), harness.new_name()], StoreMissing)

    def test_a_refusal_is_an_answer_for_each(self, harness: SecretStoreHarness) -> None:
        """For a caller without permission, StoreDenied is what `read_many` has for each secret, the second time too."""
        names = [created(harness)[0], created(harness)[0]]
        denied = harness.denied_store()
        _each_is(denied, names, StoreDenied)
        _each_is(denied, names, StoreDenied)

    def test_silence_is_an_answer_for_each(self, harness: SecretStoreHarness) -> None:
        """When the backend cannot be reached, StoreUnavailable is what `read_many` has for each secret."""
        _each_is(harness.unreachable_store(), [harness.new_name(), harness.new_name()], StoreUnavailable)

    # ------------------------------------------------------------------------------------------------- listing

    def test_versions_agree_with_reads_and_leave_out_what_is_not_there(self, harness: SecretStoreHarness) -> None:
        """`versions` says for each secret that exists what a read says, and nothing about the others."""
        (one, first), (two, second), absent = created(harness), created(harness), harness.new_name()
        assert harness.store.versions([one, absent, two]) == {one: _listed(first), two: _listed(second)}
        third = harness.store.compare_and_swap(one, Document({"n": 3}), expected=first.version, write_id=write_id(3))
        assert harness.store.versions([one]) == {one: _listed(third)}
        assert harness.store.versions([absent]) == {}
        assert harness.store.versions([]) == {}

    # ------------------------------------------------------------------------------------------------- finding

    def test_secrets_are_found_by_the_beginning_of_their_names(self, harness: SecretStoreHarness) -> None:
        """Every secret whose name begins so is found, and no other; each as a read has it, under its own name."""
        secrets = dict(created(harness) for _ in range(3))
        whole = next(iter(secrets))
        for prefix in (whole, whole[:-1], os.path.commonprefix(list(secrets))):  # noqa: RUF071 - of characters
            found = harness.store.find(prefix, {})
            assert {name for name in secrets if name.startswith(prefix)} == found.keys() & secrets.keys()
            assert all(name.startswith(prefix) for name in found)
            for name in found.keys() & secrets.keys():
                assert found[name] == Found(name, secrets[name].identity, secrets[name].version, {})
                assert harness.store.read(found[name].secret) == secrets[name]
        assert not harness.store.find(f"{whole}-and-more", {})
        assert whole not in harness.store.find(f"{whole[0].swapcase()}{whole[1:]}", {})

    def test_what_is_found_is_current(self, harness: SecretStoreHarness) -> None:
        """A write shows in the version that is found, and an edit too; a secret that is not there is not found."""
        name, first = created(harness)
        second = harness.store.compare_and_swap(name, Document({"n": 2}), expected=first.version, write_id=write_id(2))
        assert harness.store.find(name, {})[name].version == second.version
        harness.raw_set(name, '{"refresh_token": "theirs"}')
        assert harness.store.find(name, {})[name].version == harness.store.read(name).version
        harness.raw_delete(name)
        assert name not in harness.store.find(name, {})
        assert harness.store.find(harness.new_name(), {}) == {}

    def test_secrets_are_found_by_their_labels(self, harness: SecretStoreHarness) -> None:
        """All labels asked for have to be there, with their values; an empty value asks for any."""
        marks = [{"rotator": "auth0", "team": "a"}, {"rotator": "auth0-eu", "team": ""}, {"team": "auth0"}, {}]
        names = [created(harness)[0] for _ in marks]
        for name, labels in zip(names, marks, strict=True):
            harness.raw_label(name, labels)
        prefix = os.path.commonprefix(names)  # noqa: RUF071 - of characters
        for asked, expected in (
            ({"rotator": "auth0"}, [0]),
            ({"rotator": ""}, [0, 1]),
            ({"rotator": "auth0", "team": "a"}, [0]),
            ({"team": "a", "rotator": ""}, [0]),
            ({"team": "", "rotator": ""}, [0, 1]),
            ({"rotator": "auth0-eu", "team": "a"}, []),
            ({"rotator": "Auth0"}, []),
            ({"rotat": ""}, []),
            ({"a": "rotator"}, []),
            ({"team": ""}, [0, 1, 2]),
            ({}, [0, 1, 2, 3]),
        ):
            found = harness.store.find(prefix, asked)
            assert {name: found[name].labels for name in names if name in found} == {
                names[number]: marks[number] for number in expected
            }, asked
        assert names[1] not in harness.store.find(names[0], {"rotator": ""})

    def test_a_label_that_nobody_put_finds_nothing(self, harness: SecretStoreHarness) -> None:
        """A secret without labels is not found by any, odd characters and none at all in them included."""
        name, _ = created(harness)
        for asked in ({"rotator": ""}, {"rotator": "auth0"}, {"": ""}, {"Größe#": "株"}, {"!rotator": "!auth0"}):
            assert harness.store.find(name, asked) == {}


def _listed(read: Versioned) -> Listed:
    return Listed(read.identity, read.version)


def _each_is(store: SecretStore, names: Sequence[str], kind: type[StoreError]) -> None:
    answers = store.read_many(names)
    assert answers.keys() == set(names)
    for name in names:
        error = answers[name]
        assert type(error) is kind
        # Kept in a mapping, what hangs on an error would keep the calls that failed, with all that they held.
        assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)
        assert CANARY not in shown(error)
