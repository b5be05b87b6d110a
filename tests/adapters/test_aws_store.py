"""The Secrets Manager store keeps the contract on moto, and knows what moto does not show."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from botocore.exceptions import ReadTimeoutError

from rotator import aws_session
from rotator.clocks import SystemClock
from rotator.errors import (
    SecretNotFound,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.model import Document, Listed, Malformed
from rotator.stores.aws import AwsSecretStore
from rotator.stores.aws_writes import version_id
from rotator.testing.contracts import SecretStoreContract, SecretStoreHarness, cannot_show
from rotator.testing.memory import EPOCH, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3

    from rotator.model import Versioned
    from tests.adapters.conftest import AwsStub

WRITE_ID = "00000001-0000-4000-8000-000000000000"
ANOTHER_WRITE_ID = "00000002-0000-4000-8000-000000000000"
NEW = Document({"refresh_token": "new"})


class DatedStore(AwsSecretStore):
    """The store, with AWS's own creation time in what a write returns, which the answers of a write do not name."""

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        written = super().compare_and_swap(secret, document, expected=expected, write_id=write_id)
        answer = self._client.get_secret_value(SecretId=secret, VersionId=written.version)
        return replace(written, created_at=answer["CreatedDate"])


class SecretsOnMoto(SecretStoreHarness):
    def __init__(self, session: boto3.Session, url: str, denied_url: str, closed_url: str) -> None:
        self.session = session
        self.urls = {"moto": url, "denied": denied_url, "closed": closed_url}
        self.client = self._client("moto")
        self.store = self.reopened()

    def _client(self, place: str) -> Any:
        return aws_session.client("secretsmanager", endpoint_url=self.urls[place], session=self.session)

    def new_name(self) -> str:
        return f"oauth/{uuid.uuid4()}"

    def raw_set(self, secret: str, content: str | bytes) -> None:
        edit(self.client, secret, content)

    def raw_get(self, secret: str) -> str | bytes:
        answer = self.client.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")
        return answer.get("SecretString") or answer["SecretBinary"]

    def raw_delete(self, secret: str) -> None:
        self.client.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)

    def raw_label(self, secret: str, labels: dict[str, str]) -> None:
        self.client.tag_resource(SecretId=secret, Tags=[{"Key": key, "Value": labels[key]} for key in labels])

    def reopened(self) -> AwsSecretStore:
        return DatedStore("main", self._client("moto"), SystemClock())

    def damage(self, secret: str) -> NoReturn:
        cannot_show("Secrets Manager hands out no damaged bytes")

    def missing_store(self) -> NoReturn:
        cannot_show("every account has a Secrets Manager")

    def refused_document(self) -> Document:
        return Document({"refresh_token": "ä" * 32_768})

    def denied_store(self) -> AwsSecretStore:
        return AwsSecretStore("main", self._client("denied"), SystemClock())

    def unreachable_store(self) -> AwsSecretStore:
        return AwsSecretStore("main", self._client("closed"), SystemClock())


def edit(client: Any, secret: str, content: str | bytes) -> str:
    """Set the content as another program does, and return the version.

    Not by a plain PutSecretValue: once AWSCURRENT was moved, moto leaves it on two versions (aws_vault.md 1.4).
    """
    value = {"SecretString": content} if isinstance(content, str) else {"SecretBinary": content}
    try:
        current = client.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")["VersionId"]
    except client.exceptions.ResourceNotFoundException:
        return str(client.create_secret(Name=secret, **value)["VersionId"])
    new = client.put_secret_value(SecretId=secret, VersionStages=["SOMEBODY"], **value)["VersionId"]
    client.update_secret_version_stage(
        SecretId=secret, VersionStage="AWSCURRENT", RemoveFromVersionId=current, MoveToVersionId=new
    )
    return str(new)


class TestAwsSecretStore(SecretStoreContract):
    """The contract, on moto."""

    empty_supported = "Secrets Manager takes no empty value"

    @pytest.fixture
    def harness(self, fake_session: boto3.Session, moto_url: str, stub: AwsStub, closed_url: str) -> SecretsOnMoto:
        stub.on("*", stub.error("AccessDeniedException"))
        return SecretsOnMoto(fake_session, moto_url, stub.url, closed_url)


# ------------------------------------------------------------------------------------------------------ on moto


class Recorded:
    """A store on moto whose calls are recorded, and can be met by an edit or a lost answer."""

    def __init__(self, session: boto3.Session, url: str) -> None:
        self.other = aws_session.client("secretsmanager", endpoint_url=url, session=session)
        self.client = aws_session.client("secretsmanager", endpoint_url=url, session=session)
        self.store = AwsSecretStore("main", self.client, VirtualClock())
        self.calls: list[str] = []
        self.client.meta.events.register("before-call", self._record)
        self.secret = f"oauth/{uuid.uuid4()}"
        self.first = edit(self.other, self.secret, '{"refresh_token": "old"}')

    def _record(self, model: Any, **_: object) -> None:
        self.calls.append(model.name)

    def before(self, operation: str, act: Callable[[], object]) -> None:
        """Do something once, just before the operation is sent."""
        self._once(f"before-call.secrets-manager.{operation}", act)

    def lose_answer(self, operation: str) -> None:
        """Apply the operation and lose its answer, once."""

        def lose() -> None:
            raise ReadTimeoutError(endpoint_url="http://moto")

        self._once(f"before-parse.secrets-manager.{operation}", lose)

    def _once(self, event: str, act: Callable[[], object]) -> None:
        pending = [act]

        def handler(**_: object) -> None:
            if pending:
                pending.pop()()

        self.client.meta.events.register_first(event, handler)

    def write(self, document: Document = NEW) -> Versioned:
        return self.store.compare_and_swap(self.secret, document, expected=self.first, write_id=WRITE_ID)

    def take_version_id(self, generation: int) -> None:
        """Use the version id that the write would use, for a content that does not become current."""
        self.other.put_secret_value(
            SecretId=self.secret,
            ClientRequestToken=version_id(WRITE_ID, self.first, generation),
            SecretString="taken",
            VersionStages=["rotator"],
        )

    def labels(self) -> dict[str, list[str]]:
        stages = self.other.describe_secret(SecretId=self.secret)["VersionIdsToStages"]
        return {version: sorted(labels) for version, labels in stages.items()}


@pytest.fixture
def recorded(fake_session: boto3.Session, moto_url: str) -> Recorded:
    return Recorded(fake_session, moto_url)


def test_a_write_is_two_calls(recorded: Recorded) -> None:
    """Undisturbed, a write is one PutSecretValue and one UpdateSecretVersionStage, and nothing else."""
    written = recorded.write()
    assert recorded.calls == ["PutSecretValue", "UpdateSecretVersionStage"]
    assert recorded.labels() == {
        recorded.first: ["AWSPREVIOUS"],
        written.version: ["AWSCURRENT", "rotator"],
    }
    assert written.created_at == EPOCH


def test_an_edit_between_the_two_calls_is_never_replaced(recorded: Recorded) -> None:
    """What somebody makes current between the put and the move stays current, and the write conflicts."""
    recorded.before(
        "UpdateSecretVersionStage", lambda: edit(recorded.other, recorded.secret, '{"refresh_token": "theirs"}')
    )
    with pytest.raises(VersionConflict) as caught:
        recorded.write()
    assert caught.value.expected == recorded.first
    assert recorded.store.read(recorded.secret).content == Document({"refresh_token": "theirs"})


def test_a_move_whose_answer_is_lost_is_found_by_reading(recorded: Recorded) -> None:
    """When the move was applied and its answer lost, the write succeeds after one read."""
    recorded.lose_answer("UpdateSecretVersionStage")
    written = recorded.write()
    assert recorded.calls == ["PutSecretValue", "UpdateSecretVersionStage", "GetSecretValue"]
    assert written == recorded.store.read(recorded.secret)
    assert written.content == NEW


def test_a_put_whose_answer_is_lost_changes_nothing_and_can_be_repeated(recorded: Recorded) -> None:
    """A lost answer to the put is StoreUnavailable, as no reader sees the version; the repetition uses it."""
    recorded.lose_answer("PutSecretValue")
    with pytest.raises(StoreUnavailable):
        recorded.write()
    assert recorded.store.read(recorded.secret).version == recorded.first
    written = recorded.write()
    assert set(recorded.labels()) == {recorded.first, written.version}


def test_a_repetition_after_success_returns_the_same_version(recorded: Recorded) -> None:
    """The same write again finds its version current and adds none."""
    first = recorded.write()
    again = recorded.write()
    assert (again.identity, again.version, again.content) == (first.identity, first.version, first.content)
    assert len(recorded.labels()) == 2


def test_a_write_rebased_after_a_conflict_is_two_calls_again(recorded: Recorded) -> None:
    """The same write id on another version is another version id, so the rebased write meets no collision."""
    theirs: list[str] = []
    recorded.before(
        "UpdateSecretVersionStage", lambda: theirs.append(edit(recorded.other, recorded.secret, '{"team": "x"}'))
    )
    with pytest.raises(VersionConflict):
        recorded.write()
    recorded.calls.clear()
    rebased = Document({"team": "x", **NEW.fields})
    recorded.store.compare_and_swap(recorded.secret, rebased, expected=theirs[0], write_id=WRITE_ID)
    assert recorded.calls == ["PutSecretValue", "UpdateSecretVersionStage"]
    assert recorded.store.read(recorded.secret).content == rebased


def test_a_version_id_that_is_taken_does_not_block_the_write(recorded: Recorded) -> None:
    """When another content has the version id and never became current, the write takes the next id."""
    recorded.take_version_id(0)
    written = recorded.write()
    assert recorded.calls == ["PutSecretValue", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
    assert recorded.store.read(recorded.secret).version == written.version


def test_a_taken_version_id_on_an_old_version_is_a_conflict(recorded: Recorded) -> None:
    """When another content has the version id and somebody wrote meanwhile, the write conflicts."""
    recorded.take_version_id(0)
    edit(recorded.other, recorded.secret, "{}")
    with pytest.raises(VersionConflict):
        recorded.write()


def test_a_write_whose_every_version_id_is_taken_is_refused(recorded: Recorded) -> None:
    """After three taken ids the write is StoreRejected, and the current content stays."""
    for generation in range(3):
        recorded.take_version_id(generation)
    with pytest.raises(StoreRejected, match="taken by other contents"):
        recorded.write()
    assert recorded.store.read(recorded.secret).version == recorded.first


def test_a_write_after_a_rollback_is_not_blocked(recorded: Recorded) -> None:
    """When an operator moves AWSCURRENT back, a later write on that version succeeds."""
    written = recorded.write()
    recorded.other.update_secret_version_stage(
        SecretId=recorded.secret,
        VersionStage="AWSCURRENT",
        RemoveFromVersionId=written.version,
        MoveToVersionId=recorded.first,
    )
    later = recorded.store.compare_and_swap(
        recorded.secret, Document({"n": 2}), expected=recorded.first, write_id=ANOTHER_WRITE_ID
    )
    assert recorded.store.read(recorded.secret).version == later.version


def test_a_creation_whose_answer_is_lost_is_in_doubt_and_can_be_repeated(recorded: Recorded) -> None:
    """A lost answer to the creation is StoreWriteInDoubt; the repetition returns what was created."""
    name = f"oauth/{uuid.uuid4()}"
    recorded.lose_answer("CreateSecret")
    with pytest.raises(StoreWriteInDoubt):
        recorded.store.compare_and_swap(name, NEW, expected=None, write_id=WRITE_ID)
    again = recorded.store.compare_and_swap(name, NEW, expected=None, write_id=WRITE_ID)
    assert again == recorded.store.read(name)


def test_a_repeated_creation_does_not_hide_a_newer_write(recorded: Recorded) -> None:
    """A creation repeated after somebody wrote conflicts, although AWS answers it like the first one."""
    name = f"oauth/{uuid.uuid4()}"
    recorded.store.compare_and_swap(name, NEW, expected=None, write_id=WRITE_ID)
    edit(recorded.other, name, '{"refresh_token": "theirs"}')
    with pytest.raises(VersionConflict):
        recorded.store.compare_and_swap(name, NEW, expected=None, write_id=WRITE_ID)


def test_a_creation_that_cannot_be_read_back_is_in_doubt(recorded: Recorded) -> None:
    """When the read after a creation fails, nobody is told that nothing happened."""
    recorded.lose_answer("GetSecretValue")
    with pytest.raises(StoreWriteInDoubt, match="created"):
        recorded.store.compare_and_swap(f"oauth/{uuid.uuid4()}", NEW, expected=None, write_id=WRITE_ID)


def test_a_secret_without_a_value_can_be_given_one(recorded: Recorded) -> None:
    """A secret that exists without a value is Malformed at version "", and a write that expects it seeds it.

    The same write as a creation is another one, and conflicts.
    """
    name = f"oauth/{uuid.uuid4()}"
    arn = recorded.other.create_secret(Name=name)["ARN"]
    empty = recorded.store.read(name)
    assert (empty.identity, empty.version, empty.created_at) == (arn, "", None)
    assert isinstance(empty.content, Malformed)
    recorded.store.prove_writable(name)
    assert recorded.store.read(name) == empty
    with pytest.raises(VersionConflict):
        recorded.store.compare_and_swap(name, NEW, expected=None, write_id=WRITE_ID)
    seeded = recorded.store.compare_and_swap(name, NEW, expected=empty.version, write_id=WRITE_ID)
    assert recorded.store.read(name) == seeded
    with pytest.raises(VersionConflict):
        recorded.store.compare_and_swap(name, NEW, expected=None, write_id=WRITE_ID)
    with pytest.raises(VersionConflict):
        recorded.store.compare_and_swap(name, Document({"n": 2}), expected="", write_id=ANOTHER_WRITE_ID)
    assert recorded.store.read(name) == seeded


def test_a_secret_marked_deleted_is_not_found(recorded: Recorded) -> None:
    """A secret in its recovery window is SecretNotFound, and the hint says how to restore it."""
    recorded.other.delete_secret(SecretId=recorded.secret, RecoveryWindowInDays=7)
    with pytest.raises(SecretNotFound, match="restore-secret"):
        recorded.store.read(recorded.secret)
    assert recorded.store.versions([recorded.secret]) == {}


def test_the_proof_moves_no_label(recorded: Recorded) -> None:
    """Proving a secret writable leaves the labels of every version as they were, for a binary value too."""
    recorded.write()
    before = recorded.labels()
    recorded.store.prove_writable(recorded.secret)
    assert recorded.labels() == before
    edit(recorded.other, recorded.secret, b"\x00\xff")
    before = recorded.labels()
    recorded.store.prove_writable(recorded.secret)
    assert recorded.labels() == before


@pytest.mark.parametrize("count", [3, 12])
def test_versions_knows_secrets_by_name_and_arn(recorded: Recorded, count: int, new_name: Callable[[str], str]) -> None:
    """Names, ARNs and ARNs without AWS's suffix all lead to the version, however many there are."""
    folder = new_name("listed")
    expected: dict[str, Listed] = {}
    for number in range(count):
        created = recorded.other.create_secret(Name=f"{folder}/{number}", SecretString="{}")
        known_as = (created["Name"], created["ARN"], created["ARN"][:-7])[number % 3]
        expected[known_as] = Listed(created["ARN"], created["VersionId"])
    recorded.calls.clear()
    assert recorded.store.versions([*expected, f"{folder}/absent"]) == expected
    assert recorded.calls == ["ListSecrets"]


def test_versions_turns_every_page(recorded: Recorded, new_name: Callable[[str], str]) -> None:
    """A fleet whose names begin alike costs one call per hundred secrets, and all are found."""
    prefix = new_name("paged")
    wanted = [f"{prefix}/{number}" for number in range(250)]
    for name in wanted:
        recorded.other.create_secret(Name=name, SecretString="{}")
    recorded.calls.clear()
    assert set(recorded.store.versions(wanted)) == set(wanted)
    assert recorded.calls == ["ListSecrets"] * 3


def test_names_that_share_no_beginning_are_found(recorded: Recorded) -> None:
    """More names than a filter takes, without a common beginning, are found by listing everything."""
    names = [f"{letter}{uuid.uuid4()}" for letter in "abcdefghijk"]
    for name in names:
        recorded.other.create_secret(Name=name, SecretString="{}")
    assert set(recorded.store.versions(names)) == set(names)


def test_a_name_that_no_filter_takes_does_not_spoil_the_listing(recorded: Recorded) -> None:
    """What cannot be the name of a secret is not sent to AWS, which would refuse the whole listing for it."""
    sent: list[Any] = []
    recorded.client.meta.events.register("provide-client-params", lambda params, **_: sent.append(params))
    assert set(recorded.store.versions([recorded.secret, "a#b", "!a", "a" * 600])) == {recorded.secret}
    assert [params["Filters"][0]["Values"] for params in sent] == [[recorded.secret]]
    assert recorded.store.versions(["a#b"]) == {}
    assert len(sent) == 1
