"""What every secret store must do: the port's docstrings as tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from rotator.errors import (
    SecretNotFound,
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreRejected,
    StoreUnavailable,
    VersionConflict,
)
from rotator.model import Document, Malformed
from rotator.testing.bulk_contract import BulkContract
from rotator.testing.contract_parts import CANARY as _CANARY
from rotator.testing.contract_parts import TOKENS as _TOKENS
from rotator.testing.contract_parts import Support, need, race, shown
from rotator.testing.contract_parts import created as _created
from rotator.testing.contract_parts import write_id as _write_id

if TYPE_CHECKING:
    from rotator.ports import SecretStore
    from rotator.testing.harnesses import SecretStoreHarness

_DOCUMENTS: dict[str, dict[str, Any]] = {
    "unknown fields": {"refresh_token": "r", "team": "payments", "on_call": {"who": ["a", "b"], "since": None}},
    "unicode": {"refresh_token": "r", "owner": "Zoë Ångström 株式会社 😀", "ключ": "значение"},
    "control characters and quotes": {"refresh_token": "r", "note": 'tab\there "quoted" \\ \u0000 \u2028 line\n'},
    "numbers": {"refresh_token": "r", "small": -0.5, "large": 2**53 - 1, "zero": 0, "yes": True, "no": False},
    "no field at all": {},
    "20 KB": {"refresh_token": "r" * 20_000},
}


class SecretStoreContract(BulkContract):
    """Subclass it with a name that begins with `Test` and a fixture `harness`.

    The harness is over an empty backend, or its `new_name` is always new.
    """

    binary_supported: ClassVar[Support] = True
    empty_supported: ClassVar[Support] = True
    deletion_fences_supported: ClassVar[Support] = True
    concurrent_writers_supported: ClassVar[Support] = True
    """Whether what serves the calls can judge writers at the same moment; some emulators cannot."""

    # ------------------------------------------------------------------------------------------------ reading

    def test_reading_what_is_not_there_says_so(self, harness: SecretStoreHarness) -> None:
        """A secret that never existed is SecretNotFound, and the error names it."""
        name = harness.new_name()
        with pytest.raises(SecretNotFound) as caught:
            harness.store.read(name)
        assert name in str(caught.value)

    def test_a_deleted_secret_is_not_found(self, harness: SecretStoreHarness) -> None:
        """A deleted secret is SecretNotFound for a read and for the proof, and no listing shows it."""
        name, _ = _created(harness)
        harness.raw_delete(name)
        with pytest.raises(SecretNotFound):
            harness.store.read(name)
        with pytest.raises(SecretNotFound):
            harness.store.prove_writable(name)
        assert name not in harness.store.versions([name])

    def test_a_write_does_not_bring_a_deleted_secret_back(self, harness: SecretStoreHarness) -> None:
        """A write on the version that was deleted is SecretNotFound."""
        need(self.deletion_fences_supported)
        name, first = _created(harness)
        harness.raw_delete(name)
        with pytest.raises(SecretNotFound):
            harness.store.compare_and_swap(name, _TOKENS, expected=first.version, write_id=_write_id(2))

    def test_what_another_program_wrote_is_read(self, harness: SecretStoreHarness) -> None:
        """A document that another program stored is read as it is."""
        name = harness.new_name()
        harness.raw_set(name, json.dumps(dict(_TOKENS.fields), indent=2))
        assert harness.store.read(name).content == _TOKENS

    @pytest.mark.parametrize("fields", _DOCUMENTS.values(), ids=_DOCUMENTS.keys())
    def test_every_document_survives(self, harness: SecretStoreHarness, fields: dict[str, Any]) -> None:
        """Whatever stands in a document comes back equal, for rotator and for another program."""
        name, written = _created(harness, Document(fields))
        assert written.content == Document(fields)
        assert harness.store.read(name) == written
        assert json.loads(harness.raw_get(name)) == fields

    @pytest.mark.parametrize(
        "content", [f"not json {_CANARY}", f'["{_CANARY}"]', f'"{_CANARY}"', "null", "17", f'{{"cut": "{_CANARY}']
    )
    def test_text_that_is_no_document_is_malformed(self, harness: SecretStoreHarness, content: str) -> None:
        """Text that is no JSON object is a Malformed content with a version, and the problem does not quote it."""
        need(self.text_supported)
        _malformed(harness, content)

    def test_binary_content_is_malformed(self, harness: SecretStoreHarness) -> None:
        """Bytes that are no text are a Malformed content with a version."""
        need(self.binary_supported)
        _malformed(harness, b"\xff\xfe\x00\x81")

    def test_empty_content_is_malformed(self, harness: SecretStoreHarness) -> None:
        """An empty content is Malformed, with a version."""
        need(self.empty_supported)
        _malformed(harness, "")

    def test_a_malformed_content_can_be_replaced(self, harness: SecretStoreHarness) -> None:
        """A malformed content has a version that a write can expect: this is how `put` mends it."""
        need(self.text_supported)
        name = harness.new_name()
        harness.raw_set(name, "not json")
        broken = harness.store.read(name)
        mended = harness.store.compare_and_swap(name, _TOKENS, expected=broken.version, write_id=_write_id(1))
        assert harness.store.read(name) == mended

    def test_bytes_that_cannot_be_decoded_are_corrupt(self, harness: SecretStoreHarness) -> None:
        """Damaged bytes are StoreCorrupt, which names the secret."""
        name, _ = _created(harness)
        harness.damage(name)
        with pytest.raises(StoreCorrupt) as caught:
            harness.store.read(name)
        assert name in str(caught.value)

    def test_a_version_says_when_it_was_created_in_utc_or_not_at_all(self, harness: SecretStoreHarness) -> None:
        """`created_at` is None or an aware UTC instant."""
        _, written = _created(harness)
        offset = written.created_at and written.created_at.utcoffset()
        assert written.created_at is None or (offset is not None and not offset)

    def test_the_identity_of_a_secret_never_changes(self, harness: SecretStoreHarness) -> None:
        """One secret has one identity in every answer of every instance; two secrets have two."""
        name, first = _created(harness)
        second = harness.store.compare_and_swap(name, Document({"n": 2}), expected=first.version, write_id=_write_id(2))
        seen = {
            first.identity,
            second.identity,
            harness.store.read(name).identity,
            harness.reopened().read(name).identity,
        }
        assert len(seen) == 1
        assert _created(harness)[1].identity not in seen

    # ------------------------------------------------------------------------------------------------ writing

    def test_a_write_on_the_current_version_makes_a_new_one(self, harness: SecretStoreHarness) -> None:
        """A write that expects the current version succeeds and returns what a read then returns."""
        name, first = _created(harness)
        second = harness.store.compare_and_swap(name, Document({"n": 2}), expected=first.version, write_id=_write_id(2))
        assert second.version != first.version
        assert second.content == Document({"n": 2})
        assert harness.store.read(name) == second

    def test_what_was_written_is_seen_by_another_instance(self, harness: SecretStoreHarness) -> None:
        """A write that returned is there for whoever opens the store afterwards."""
        name, written = _created(harness)
        assert harness.reopened().read(name) == written

    def test_a_write_on_an_older_version_changes_nothing(self, harness: SecretStoreHarness) -> None:
        """A write that expects an older version, or one that never was, conflicts and leaves everything as it was."""
        name, first = _created(harness)
        second = harness.store.compare_and_swap(name, Document({"n": 2}), expected=first.version, write_id=_write_id(2))
        before = harness.raw_get(name)
        for number, wrong in enumerate((first.version, "no-such-version-of-this-secret", "0", "")):
            with pytest.raises(VersionConflict) as caught:
                harness.store.compare_and_swap(
                    name, Document({"refresh_token": _CANARY}), expected=wrong, write_id=_write_id(10 + number)
                )
            assert caught.value.expected == wrong
            assert name in str(caught.value)
            assert _CANARY not in shown(caught.value)
        assert harness.raw_get(name) == before
        assert harness.store.read(name) == second

    def test_creating_what_exists_conflicts(self, harness: SecretStoreHarness) -> None:
        """`expected=None` conflicts with a secret that is there, whoever put it there, and changes nothing."""
        name = harness.new_name()
        harness.raw_set(name, '{"refresh_token": "theirs"}')
        before = harness.store.read(name)
        with pytest.raises(VersionConflict) as caught:
            harness.store.compare_and_swap(name, _TOKENS, expected=None, write_id=_write_id(1))
        assert caught.value.expected is None
        assert harness.store.read(name) == before

    def test_replacing_what_is_not_there_says_so(self, harness: SecretStoreHarness) -> None:
        """A write that expects a version of a secret that does not exist is SecretNotFound and creates nothing."""
        _, other = _created(harness)
        name = harness.new_name()
        for number, wrong in enumerate((other.version, "no-such-version-of-this-secret", "0", "")):
            with pytest.raises(SecretNotFound):
                harness.store.compare_and_swap(name, _TOKENS, expected=wrong, write_id=_write_id(number))
            with pytest.raises(SecretNotFound):
                harness.store.read(name)

    def test_a_repeated_write_is_applied_once(self, harness: SecretStoreHarness) -> None:
        """Repeating a write, the creating one included, returns what the first call returned."""
        name, first = _created(harness)
        again = harness.store.compare_and_swap(name, _TOKENS, expected=None, write_id=_write_id(1))
        assert again == first
        second = [
            store.compare_and_swap(name, Document({"n": 2}), expected=first.version, write_id=_write_id(2))
            for store in (harness.store, harness.store, harness.reopened())
        ]
        assert second[0] == second[1] == second[2]
        assert harness.store.read(name) == second[0]

    def test_a_repeated_write_does_not_undo_a_newer_one(self, harness: SecretStoreHarness) -> None:
        """A repetition that comes after somebody else's write conflicts, and theirs stays."""
        name, first = _created(harness)
        document = Document({"n": 2})
        harness.store.compare_and_swap(name, document, expected=first.version, write_id=_write_id(2))
        harness.raw_set(name, '{"refresh_token": "theirs"}')
        with pytest.raises(VersionConflict):
            harness.store.compare_and_swap(name, document, expected=first.version, write_id=_write_id(2))
        assert harness.store.read(name).content == Document({"refresh_token": "theirs"})

    def test_another_content_under_the_same_id_is_no_repetition(self, harness: SecretStoreHarness) -> None:
        """The same write id with another content on an old version conflicts; the first content stays."""
        name, first = _created(harness)
        second = harness.store.compare_and_swap(name, Document({"n": 2}), expected=first.version, write_id=_write_id(2))
        with pytest.raises(VersionConflict):
            harness.store.compare_and_swap(name, Document({"n": 3}), expected=first.version, write_id=_write_id(2))
        assert harness.store.read(name) == second

    def test_an_edit_between_read_and_write_is_never_replaced(self, harness: SecretStoreHarness) -> None:
        """What another program wrote after the read makes the write conflict, and stays."""
        name, _ = _created(harness)
        seen = harness.store.read(name)
        harness.raw_set(name, '{"refresh_token": "theirs"}')
        with pytest.raises(VersionConflict):
            harness.store.compare_and_swap(name, Document({"n": 2}), expected=seen.version, write_id=_write_id(2))
        edited = harness.store.read(name)
        assert edited.content == Document({"refresh_token": "theirs"})
        assert edited.version != seen.version

    def test_a_document_that_the_store_refuses_changes_nothing(self, harness: SecretStoreHarness) -> None:
        """A refused document is StoreRejected for a new and for an existing secret, which stay as they were."""
        name, first = _created(harness)
        absent = harness.new_name()
        for secret, expected in ((name, first.version), (absent, None)):
            with pytest.raises(StoreRejected):
                harness.store.compare_and_swap(
                    secret, harness.refused_document(), expected=expected, write_id=_write_id(2)
                )
        assert harness.store.read(name) == first
        with pytest.raises(SecretNotFound):
            harness.store.read(absent)

    # -------------------------------------------------------------------------------------------- proving

    def test_proving_writable_changes_nothing(self, harness: SecretStoreHarness) -> None:
        """The proof leaves version and content alone, and a write on the version read before still succeeds."""
        name, first = _created(harness)
        before = harness.raw_get(name)
        harness.store.prove_writable(name)
        harness.store.prove_writable(name)
        assert harness.store.read(name) == first
        assert harness.raw_get(name) == before
        harness.store.compare_and_swap(name, Document({"n": 2}), expected=first.version, write_id=_write_id(2))

    def test_proving_writable_works_on_what_another_program_wrote(self, harness: SecretStoreHarness) -> None:
        """The proof does not depend on rotator having written the secret."""
        name = harness.new_name()
        harness.raw_set(name, '{"refresh_token": "theirs"}')
        before = harness.store.read(name)
        harness.store.prove_writable(name)
        assert harness.store.read(name) == before

    def test_proving_a_missing_secret_writable_says_so(self, harness: SecretStoreHarness) -> None:
        """The proof for a secret that does not exist is SecretNotFound, and creates nothing."""
        name = harness.new_name()
        with pytest.raises(SecretNotFound):
            harness.store.prove_writable(name)
        with pytest.raises(SecretNotFound):
            harness.store.read(name)

    # --------------------------------------------------------------------------------------------- many threads

    def test_of_many_writers_one_wins(self, harness: SecretStoreHarness) -> None:
        """Of many threads that expect the same version one wins, and the secret holds what it wrote."""
        need(self.concurrent_writers_supported)
        name, stored = _created(harness)
        for turn in range(3):
            expected = stored.version
            winners, _ = race(
                lambda n, turn=turn, expected=expected: harness.store.compare_and_swap(  # type: ignore[misc]  # mypy cannot infer a lambda's defaults
                    name, Document({"turn": turn, "thread": n}), expected=expected, write_id=_write_id(100 * turn + n)
                ),
                loses=VersionConflict,
            )
            assert len(winners) == 1
            stored = winners[0]
            assert harness.store.read(name) == stored

    def test_of_many_creators_one_wins(self, harness: SecretStoreHarness) -> None:
        """Of many threads that create the same secret one wins, and the secret holds what it wrote."""
        need(self.concurrent_writers_supported)
        name = harness.new_name()
        winners, _ = race(
            lambda n: harness.store.compare_and_swap(
                name, Document({"thread": n}), expected=None, write_id=_write_id(n)
            ),
            loses=VersionConflict,
        )
        assert len(winners) == 1
        assert harness.store.read(name) == winners[0]

    def test_writers_of_different_secrets_do_not_disturb_each_other(self, harness: SecretStoreHarness) -> None:
        """Threads that write different secrets all succeed."""
        need(self.concurrent_writers_supported)
        names = [harness.new_name() for _ in range(8)]
        winners, losers = race(
            lambda n: harness.store.compare_and_swap(
                names[n], Document({"thread": n}), expected=None, write_id=_write_id(n)
            ),
            loses=VersionConflict,
            threads=len(names),
        )
        assert losers == 0
        assert [harness.store.read(name) for name in names] == winners

    # --------------------------------------------------------------------------------------- when it cannot be done

    def test_every_verb_says_that_the_store_is_missing(self, harness: SecretStoreHarness) -> None:
        """Without mount or folder every verb is StoreMissing."""
        _every_verb(harness.missing_store(), harness.new_name(), StoreMissing)

    def test_every_verb_says_that_it_is_denied(self, harness: SecretStoreHarness) -> None:
        """For a caller without permission every verb is StoreDenied, and nothing is changed."""
        name, first = _created(harness)
        _every_verb(harness.denied_store(), name, StoreDenied)
        assert harness.store.read(name) == first

    def test_every_verb_says_that_nothing_answers(self, harness: SecretStoreHarness) -> None:
        """When the backend cannot be reached every verb is StoreUnavailable."""
        _every_verb(harness.unreachable_store(), harness.new_name(), StoreUnavailable)


def _malformed(harness: SecretStoreHarness, content: str | bytes) -> None:
    name = harness.new_name()
    harness.raw_set(name, content)
    read = harness.store.read(name)
    assert isinstance(read.content, Malformed)
    assert _CANARY not in read.content.problem
    assert read.version


def _every_verb(store: SecretStore, name: str, error: type[StoreError]) -> None:
    document = Document({"refresh_token": _CANARY})
    for verb in (
        lambda: store.read(name),
        lambda: store.compare_and_swap(name, document, expected="1", write_id=_write_id(1)),
        lambda: store.compare_and_swap(name, document, expected=None, write_id=_write_id(2)),
        lambda: store.versions([name]),
        lambda: store.find(name, {}),
        lambda: store.prove_writable(name),
    ):
        with pytest.raises(error) as caught:
            verb()
        assert _CANARY not in shown(caught.value)
