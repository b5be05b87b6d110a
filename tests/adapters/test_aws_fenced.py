"""`writes: fenced`: one call of the write quota, and nobody's edit is lost whenever it comes."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from fenced_parts import LIST, LOOK, MOVE, PUT, READ, Fenced, current, fenced, holder
from mended_moto import mended_url
from test_aws_store import ANOTHER_WRITE_ID, NEW, DatedStore, SecretsOnMoto

from rotator.clocks import SystemClock
from rotator.errors import (
    SecretNotFound,
    StoreDenied,
    StoreRejected,
    VersionConflict,
)
from rotator.model import Document
from rotator.stores.aws import AwsSecretStore
from rotator.stores.aws_fenced import FencedWrites
from rotator.stores.aws_labels import DISPLACED
from rotator.testing.contracts import SecretStoreContract

if TYPE_CHECKING:
    import boto3

    from tests.adapters.conftest import AwsStub

__all__ = ["fenced", "mended_url"]

THEIRS = {"refresh_token": "old", "team": "theirs"}
NEXT = Document({"refresh_token": "next"})


class FencedOnMoto(SecretsOnMoto):
    def reopened(self) -> AwsSecretStore:
        return DatedStore("main", self._client("moto"), SystemClock(), writes=FencedWrites)

    def denied_store(self) -> AwsSecretStore:
        return AwsSecretStore("main", self._client("denied"), SystemClock(), writes=FencedWrites)

    def unreachable_store(self) -> AwsSecretStore:
        return AwsSecretStore("main", self._client("closed"), SystemClock(), writes=FencedWrites)


class TestFencedWrites(SecretStoreContract):
    """The contract, on moto."""

    empty_supported = "Secrets Manager takes no empty value"
    concurrent_writers_supported = "of writers in the same moment none may win: rotator's own take turns by the lease"

    @pytest.fixture
    def harness(self, fake_session: boto3.Session, mended_url: str, stub: AwsStub, closed_url: str) -> FencedOnMoto:
        stub.on("*", stub.error("AccessDeniedException"))
        return FencedOnMoto(fake_session, mended_url, stub.url, closed_url)


# -------------------------------------------------------------------------------------------------- undisturbed


def test_a_write_is_one_call_of_the_write_quota(fenced: Fenced) -> None:
    """Undisturbed, a write is one PutSecretValue between two DescribeSecret, and the one after another too."""
    written = fenced.write()
    assert fenced.calls == [LOOK, PUT, LOOK]
    assert fenced.labels() == {fenced.first: ["AWSPREVIOUS"], written.version: ["AWSCURRENT"]}
    assert 32 <= len(written.version) <= 64
    assert fenced.store.read(fenced.secret).content == NEW
    fenced.forget()
    fenced.write(NEXT, expected=written.version, write_id=ANOTHER_WRITE_ID)
    assert fenced.calls == [LOOK, PUT, LOOK]
    assert fenced.clock.monotonic_s() == 0


def test_a_first_value_is_written_as_ever(fenced: Fenced) -> None:
    """A secret without a value has nothing that could be displaced, and takes its first one."""
    name = f"{fenced.secret}/empty"
    fenced.other.create_secret(Name=name)
    empty = fenced.store.read(name)
    seeded = fenced.store.compare_and_swap(name, NEW, expected=empty.version, write_id=ANOTHER_WRITE_ID)
    assert fenced.store.read(name).version == seeded.version
    again = fenced.store.compare_and_swap(name, NEXT, expected=seeded.version, write_id=ANOTHER_WRITE_ID)
    assert fenced.store.read(name).version == again.version


def test_a_repetition_returns_the_same_version(fenced: Fenced) -> None:
    """The same write again adds no version and moves no label."""
    first = fenced.write()
    labels = fenced.labels()
    again = fenced.write()
    assert (again.identity, again.version, again.content) == (first.identity, first.version, first.content)
    assert fenced.labels() == labels


def test_a_secret_marked_deleted_is_not_found(fenced: Fenced) -> None:
    """A write to a secret in its recovery window is SecretNotFound before anything is put."""
    fenced.other.delete_secret(SecretId=fenced.secret, RecoveryWindowInDays=7)
    with pytest.raises(SecretNotFound, match="restore-secret"):
        fenced.write()
    assert PUT not in fenced.calls


def test_the_proof_needs_the_looks_to_be_allowed(fenced: Fenced) -> None:
    """Without DescribeSecret the proof is StoreDenied: a write could not be checked."""
    fenced.store.prove_writable(fenced.secret)
    fenced.forget()
    fenced.fail(LOOK, "AccessDeniedException")
    with pytest.raises(StoreDenied, match=LOOK):
        fenced.store.prove_writable(fenced.secret)


def test_a_version_id_that_is_taken_does_not_block_the_write(fenced: Fenced) -> None:
    """When another content has the version id and is not current, the write takes the next id."""
    taken = fenced.store._writes._version_id("00000001-0000-4000-8000-000000000000", fenced.first, 0)
    fenced.other.put_secret_value(
        SecretId=fenced.secret, ClientRequestToken=taken, SecretString="taken", VersionStages=["SOMEBODY"]
    )
    written = fenced.write()
    assert written.version != taken
    assert fenced.store.read(fenced.secret).version == written.version


def test_another_content_under_the_same_id_is_refused_in_the_end(fenced: Fenced) -> None:
    """When every version id is taken the write is StoreRejected, and the current content stays."""
    for generation in range(3):
        taken = fenced.store._writes._version_id("00000001-0000-4000-8000-000000000000", fenced.first, generation)
        fenced.other.put_secret_value(
            SecretId=fenced.secret, ClientRequestToken=taken, SecretString="taken", VersionStages=["SOMEBODY"]
        )
    with pytest.raises(StoreRejected):
        fenced.write()
    assert fenced.store.read(fenced.secret).version == fenced.first


# ------------------------------------------------------------------------------------------- somebody else writes


def test_an_edit_before_the_first_look_is_not_touched(fenced: Fenced) -> None:
    """What is there before the write begins makes it conflict without a put."""
    theirs = fenced.edit()
    labels = fenced.labels()
    with pytest.raises(VersionConflict):
        fenced.write()
    assert fenced.calls == [LOOK]
    assert fenced.labels() == labels
    assert holder(labels, "AWSCURRENT") == theirs


def test_an_edit_between_look_and_put_is_made_current_again(fenced: Fenced) -> None:
    """Their version is current when the conflict is raised, and the merged write is one put again.

    The versions are listed, as after every edit over a fenced write: it may have died before it looked.
    """
    theirs: list[str] = []
    fenced.before(PUT, lambda: theirs.append(fenced.edit()))
    with pytest.raises(VersionConflict) as caught:
        fenced.write()
    assert fenced.calls == [LOOK, PUT, LOOK, MOVE, READ]
    assert caught.value.expected == fenced.first
    assert fenced.store.read(fenced.secret).version == theirs[0]
    fenced.forget()
    merged = Document({**THEIRS, **NEW.fields})
    fenced.write(merged, expected=theirs[0])
    assert fenced.calls == [LOOK, LIST, PUT, LOOK]
    assert fenced.store.read(fenced.secret).content == merged


def test_of_two_edits_between_look_and_put_the_newer_is_made_current_again(fenced: Fenced) -> None:
    """The second editor replaced the first one; what the put displaced is the second one's."""
    fenced.before(PUT, lambda: (fenced.edit('{"n": 1}'), fenced.edit('{"n": 2}')))
    with pytest.raises(VersionConflict):
        fenced.write()
    assert current(fenced) == {"n": 2}


def test_a_rollback_between_look_and_put_is_made_current_again(fenced: Fenced) -> None:
    """A person who puts the previous version back just then has it put back."""
    second = fenced.edit()
    fenced.before(PUT, fenced.roll_back)
    with pytest.raises(VersionConflict):
        fenced.write(expected=second)
    assert fenced.store.read(fenced.secret).version == fenced.first


def test_an_edit_after_the_put_stays(fenced: Fenced) -> None:
    """What somebody makes current before the second look stays current; nothing was displaced, nothing is moved."""
    fenced.after(PUT, lambda: fenced.edit('{"n": 1}'))
    with pytest.raises(VersionConflict) as caught:
        fenced.write()
    assert fenced.calls == [LOOK, PUT, LOOK, LIST]
    assert caught.value.hint == ""
    assert current(fenced) == {"n": 1}
    assert holder(fenced.labels(), DISPLACED) is None


def test_edits_before_and_after_the_put_are_both_kept(fenced: Fenced, caplog: pytest.LogCaptureFixture) -> None:
    """The later one is current; the displaced one, which lost its last label, gets one, and a person is told."""
    displaced: list[str] = []
    fenced.before(PUT, lambda: displaced.append(fenced.edit()))
    fenced.after(PUT, lambda: fenced.edit('{"n": 1}'))
    with caplog.at_level(logging.WARNING), pytest.raises(VersionConflict) as caught:
        fenced.write()
    assert current(fenced) == {"n": 1}
    assert json.loads(fenced.content(DISPLACED)) == THEIRS
    assert displaced[0] in caught.value.hint
    assert DISPLACED in caught.value.hint
    [warning] = [record for record in caplog.records if record.name.startswith("rotator")]
    assert displaced[0] in warning.getMessage()


def test_what_cannot_be_looked_for_is_said(fenced: Fenced) -> None:
    """Where versions may not be listed, the conflict says what to allow."""
    fenced.before(PUT, fenced.edit)
    fenced.after(PUT, lambda: fenced.edit('{"n": 1}'))
    fenced.fail(LIST, "AccessDeniedException")
    with pytest.raises(VersionConflict, match="allow ListSecretVersionIds"):
        fenced.write()
    assert current(fenced) == {"n": 1}


def test_a_list_of_versions_that_fails_for_a_moment_is_asked_for_again(fenced: Fenced) -> None:
    """A displaced edit that is found by its date is found although AWS was throttling."""
    fenced.before(PUT, fenced.edit)
    fenced.after(PUT, lambda: fenced.edit('{"n": 1}'))
    fenced.fail(LIST, "ThrottlingException", times=2)
    with pytest.raises(VersionConflict, match=DISPLACED):
        fenced.write()
    assert json.loads(fenced.content(DISPLACED)) == THEIRS


def test_an_edit_before_the_move_back_stays(fenced: Fenced) -> None:
    """When somebody writes over ours before theirs is put back, the newest stays and the displaced gets a label."""
    fenced.before(PUT, fenced.edit)
    fenced.before(MOVE, lambda: fenced.edit('{"n": 1}'))
    with pytest.raises(VersionConflict, match=DISPLACED):
        fenced.write()
    assert current(fenced) == {"n": 1}
    assert json.loads(fenced.content(DISPLACED)) == THEIRS


def test_a_repetition_after_somebody_else_wrote_conflicts(fenced: Fenced) -> None:
    """A repetition of a write that was replaced since conflicts without a put."""
    fenced.write()
    fenced.edit('{"n": 1}')
    fenced.forget()
    with pytest.raises(VersionConflict):
        fenced.write()
    assert fenced.calls == [LOOK, LIST]
    assert current(fenced) == {"n": 1}


def test_a_repetition_after_a_rollback_moves_the_label_by_its_version(fenced: Fenced) -> None:
    """When ours was rolled back to what we expected, AWS ignores the put, and AWSCURRENT is moved from there."""
    written = fenced.write()
    fenced.roll_back()
    fenced.forget()
    assert fenced.write().version == written.version
    assert fenced.calls == [LOOK, LIST, PUT, MOVE, LOOK]
    assert fenced.store.read(fenced.secret).content == NEW
