"""What AWS answers, or fails to answer, becomes the right error, seen through the stores that use the mapping."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import exceptions as botocore
from botocore.exceptions import ClientError

from rotator import aws_session
from rotator.aws_errors import Subject, code_of, is_marked_deleted, mapped, mentions
from rotator.errors import (
    SecretNotFound,
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.model import Document
from rotator.stores.aws import AwsSecretStore
from rotator.testing.contracts import shown
from rotator.testing.memory import EPOCH, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adapters.conftest import AwsStub

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:oauth/a-AbCdEf"
OLD, OTHER = "00000001-0000-4000-8000-000000000000", "00000002-0000-4000-8000-000000000000"
WRITE_ID = "00000009-0000-4000-8000-000000000000"
CANARY = "canary-refresh-token"
NEW = Document({"refresh_token": CANARY})


def value(version: str = OLD) -> dict[str, Any]:
    """Return an answer of GetSecretValue."""
    return {
        "ARN": ARN,
        "Name": "oauth/a",
        "VersionId": version,
        "SecretString": "{}",
        "CreatedDate": EPOCH.timestamp(),
    }


@pytest.fixture
def store(fake_session: boto3.Session, stub: AwsStub) -> AwsSecretStore:
    """A store on a stub where version OLD is current and every call succeeds."""
    stub.on("GetSecretValue", stub.reply(body=value()))
    stub.on("PutSecretValue", stub.reply(body={"ARN": ARN, "Name": "oauth/a", "VersionId": OTHER}))
    stub.on("UpdateSecretVersionStage", stub.reply(body={"ARN": ARN, "Name": "oauth/a"}))
    client = aws_session.client("secretsmanager", endpoint_url=stub.url, session=fake_session)
    return AwsSecretStore("main", client, VirtualClock())


def read(store: AwsSecretStore) -> object:
    return store.read("oauth/a")


def write(store: AwsSecretStore) -> object:
    return store.compare_and_swap("oauth/a", NEW, expected=OLD, write_id=WRITE_ID)


def seed(store: AwsSecretStore) -> object:
    return store.compare_and_swap("oauth/a", NEW, expected="", write_id=WRITE_ID)


def create(store: AwsSecretStore) -> object:
    return store.compare_and_swap("oauth/a", NEW, expected=None, write_id=WRITE_ID)


def prove(store: AwsSecretStore) -> object:
    store.prove_writable("oauth/a")
    return None


def fails(call: Callable[[AwsSecretStore], object], store: AwsSecretStore) -> StoreError:
    """Return the error of a call, having checked that it names the secret and shows no value."""
    with pytest.raises(StoreError) as caught:
        call(store)
    assert "secret oauth/a in store main" in str(caught.value)
    assert CANARY not in shown(caught.value)
    return caught.value


# ------------------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize(
    ("code", "status", "message", "reading", "putting", "moving"),
    [
        ("ThrottlingException", 400, "", StoreUnavailable, StoreUnavailable, StoreUnavailable),
        ("LimitExceededException", 400, "", StoreUnavailable, StoreUnavailable, StoreUnavailable),
        ("Anything", 429, "", StoreUnavailable, StoreUnavailable, StoreUnavailable),
        ("AccessDeniedException", 400, "", StoreDenied, StoreDenied, StoreDenied),
        ("Anything", 403, "", StoreDenied, StoreDenied, StoreDenied),
        ("Anything", 401, "", StoreDenied, StoreDenied, StoreDenied),
        ("ExpiredTokenException", 400, "", StoreDenied, StoreDenied, StoreDenied),
        ("InvalidSignatureException", 400, "", StoreDenied, StoreDenied, StoreDenied),
        ("DecryptionFailure", 400, "", StoreDenied, StoreDenied, StoreDenied),
        ("EncryptionFailure", 400, "", StoreDenied, StoreDenied, StoreDenied),
        ("InvalidRequestException", 400, "it was marked for deletion", SecretNotFound, SecretNotFound, SecretNotFound),
        ("InvalidRequestException", 400, "currently marked deleted", SecretNotFound, SecretNotFound, SecretNotFound),
        ("InvalidRequestException", 400, "managed by another", StoreDenied, StoreRejected, StoreUnavailable),
        ("InternalServiceError", 500, "", StoreUnavailable, StoreUnavailable, StoreWriteInDoubt),
        ("Anything", 503, "", StoreUnavailable, StoreUnavailable, StoreWriteInDoubt),
        ("RequestTimeout", 400, "", StoreUnavailable, StoreUnavailable, StoreWriteInDoubt),
        ("Anything", 408, "", StoreUnavailable, StoreUnavailable, StoreWriteInDoubt),
        ("ValidationException", 400, "", StoreDenied, StoreRejected, StoreRejected),
        ("NeverHeardOf", 400, "", StoreDenied, StoreRejected, StoreRejected),
    ],
)
def test_an_error_of_aws_says_what_may_be_done(
    store: AwsSecretStore,
    stub: AwsStub,
    code: str,
    status: int,
    message: str,
    reading: type[StoreError],
    putting: type[StoreError],
    moving: type[StoreError],
) -> None:
    """Each code becomes one error for a read, one for the put and one for the move; only the move leaves doubt."""
    refusal = stub.error(code, status=status, message=f"{message} {CANARY}")
    stub.on("UpdateSecretVersionStage", refusal)
    assert type(fails(write, store)) is moving
    stub.on("PutSecretValue", refusal)
    assert type(fails(write, store)) is putting
    stub.on("GetSecretValue", refusal)
    error = fails(read, store)
    assert type(error) is reading
    assert code in str(error)
    assert "11111111-2222-3333-4444-555555555555" in str(error)


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidParameterException", "InvalidRequestException"])
def test_a_refused_move_is_judged_by_what_is_current(store: AwsSecretStore, stub: AwsStub, code: str) -> None:
    """After a refused move another current version is a conflict; the expected one is a stale read: try again."""
    stub.on("UpdateSecretVersionStage", stub.error(code))
    assert type(fails(write, store)) is StoreUnavailable
    stub.on("GetSecretValue", stub.reply(body=value(OTHER)))
    assert type(fails(write, store)) is VersionConflict
    stub.on("GetSecretValue", stub.error("InternalServiceError", status=500))
    assert type(fails(write, store)) is StoreUnavailable


def test_a_move_in_doubt_that_cannot_be_read_back_stays_in_doubt(store: AwsSecretStore, stub: AwsStub) -> None:
    """A lost answer to the move and a read that fails, or shows another version, do not claim what is not known."""
    stub.on("UpdateSecretVersionStage", stub.reply(then="drop"))
    assert type(fails(write, store)) is StoreWriteInDoubt
    stub.on("GetSecretValue", stub.error("AccessDeniedException"))
    assert type(fails(write, store)) is StoreWriteInDoubt
    stub.on("GetSecretValue", stub.reply(body=value(OTHER)))
    assert type(fails(write, store)) is VersionConflict


def test_a_first_value_whose_put_is_lost_is_in_doubt(store: AwsSecretStore, stub: AwsStub) -> None:
    """AWS makes a first version current at once, so a lost answer to its put is StoreWriteInDoubt."""
    stub.on("PutSecretValue", stub.reply(then="drop"))
    assert type(fails(seed, store)) is StoreWriteInDoubt


def test_a_first_value_is_moved_without_taking_it_from_a_version(store: AwsSecretStore, stub: AwsStub) -> None:
    """The move of a first value names no version to take AWSCURRENT from: AWS refuses if there is one."""
    seed(store)
    operation, request = stub.calls[-1]
    assert operation == "UpdateSecretVersionStage"
    assert set(request) == {"SecretId", "VersionStage", "MoveToVersionId"}


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("ResourceExistsException", "", VersionConflict),
        ("InvalidRequestException", "already scheduled for deletion", StoreRejected),
        ("AccessDeniedException", "", StoreDenied),
        ("InternalServiceError", "", StoreRejected),
    ],
)
def test_a_refused_creation_says_why(
    store: AwsSecretStore, stub: AwsStub, code: str, message: str, error: type[StoreError]
) -> None:
    """A creation conflicts with what exists, and is refused where the name belongs to a deleted secret."""
    stub.on("CreateSecret", stub.error(code, message=message))
    assert type(fails(create, store)) is error


def test_whether_a_secret_is_missing_or_empty_needs_a_permission(store: AwsSecretStore, stub: AwsStub) -> None:
    """Without DescribeSecret the two are not told apart, and the hint says so; its other errors stay what they are."""
    stub.on("GetSecretValue", stub.error("ResourceNotFoundException"))
    stub.on("DescribeSecret", stub.error("AccessDeniedException"))
    error = fails(read, store)
    assert type(error) is SecretNotFound
    assert "allow DescribeSecret" in error.hint
    stub.on("DescribeSecret", stub.error("InternalServiceError", status=500))
    assert type(fails(read, store)) is StoreUnavailable


@pytest.mark.parametrize("denied", ["GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"])
def test_the_proof_needs_every_permission_of_a_write(store: AwsSecretStore, stub: AwsStub, denied: str) -> None:
    """A policy that lacks one of the three calls fails the proof, and the hint names the call."""
    stub.on("UpdateSecretVersionStage", stub.error("InvalidParameterException"))
    prove(store)
    stub.on(denied, stub.error("AccessDeniedException"))
    error = fails(prove, store)
    assert type(error) is StoreDenied
    assert denied in error.hint


def test_the_proof_cannot_change_what_is_current(store: AwsSecretStore, stub: AwsStub) -> None:
    """No call of the proof names AWSCURRENT or leaves the labels to AWS, whatever is current by then."""
    prove(store)
    (_, put), (_, move) = stub.calls[1:]
    assert put["VersionStages"] == ["rotator"]
    assert put["ClientRequestToken"] == OLD
    assert move["VersionStage"] == "rotator"
    assert OLD not in move.values()


def test_a_listing_that_fails_names_the_store(store: AwsSecretStore, stub: AwsStub) -> None:
    """An error of the listing is raised when `versions` is called, and names the store."""
    stub.on("ListSecrets", stub.error("AccessDeniedException"))
    with pytest.raises(StoreDenied, match="store main: ListSecrets"):
        store.versions(["oauth/a"])


@pytest.mark.parametrize("body", [{}, {"TableNames": []}])
def test_a_listing_of_another_service_is_no_empty_account(
    store: AwsSecretStore, stub: AwsStub, body: dict[str, Any]
) -> None:
    """A success that has not the form of ListSecrets is StoreUnavailable, and does not say that nothing is there."""
    stub.on("ListSecrets", stub.reply(body=body))
    with pytest.raises(StoreUnavailable, match="store main"):
        store.versions(["oauth/a"])


# --------------------------------------------------------------------------------------------------- no answer


@pytest.mark.parametrize("then", ["drop", "cut", "hang"])
def test_an_answer_that_does_not_arrive_is_lost(
    monkeypatch: pytest.MonkeyPatch, fake_session: boto3.Session, stub: AwsStub, store: AwsSecretStore, then: Any
) -> None:
    """A dropped, cut or missing answer leaves doubt after a change, and none after a read."""
    monkeypatch.setattr(aws_session, "READ_TIMEOUT_S", 0.2)
    client = aws_session.client("secretsmanager", endpoint_url=stub.url, session=fake_session)
    impatient = AwsSecretStore("main", client, VirtualClock())
    stub.on("GetSecretValue", stub.reply(body=value(), then=then))
    assert type(fails(read, impatient)) is StoreUnavailable
    stub.on("GetSecretValue", stub.reply(body=value()))
    stub.on("UpdateSecretVersionStage", stub.reply(body={"ARN": ARN, "Name": "oauth/a"}, then=then))
    assert type(fails(write, impatient)) is StoreWriteInDoubt
    stub.on("CreateSecret", stub.reply(body={"ARN": ARN, "Name": "oauth/a"}, then=then))
    assert type(fails(create, impatient)) is StoreWriteInDoubt


@pytest.mark.parametrize("body", [b"<html>sign in here</html>", b"", b'{"ARN": "arn:aws', b"[]"])
def test_a_success_that_is_no_answer_of_aws_is_lost(store: AwsSecretStore, stub: AwsStub, body: bytes) -> None:
    """A 200 whose body is not a JSON object is no success."""
    stub.on("GetSecretValue", stub.reply(body=body))
    assert type(fails(read, store)) is StoreUnavailable


def test_an_error_page_of_a_proxy_is_not_quoted(store: AwsSecretStore, stub: AwsStub) -> None:
    """A body that is not AWS's is judged by its status and not shown."""
    stub.on("GetSecretValue", stub.reply(502, body=f"<html>{CANARY}</html>".encode()))
    assert type(fails(read, store)) is StoreUnavailable
    stub.on("GetSecretValue", stub.error(f"{CANARY} and more", status=500))
    assert "failed with unknown" in str(fails(read, store))


def test_nothing_is_sent_twice(store: AwsSecretStore, stub: AwsStub) -> None:
    """The SDK repeats nothing by itself, neither after an error nor after a lost answer."""
    for reply in (stub.error("InternalServiceError", status=500), stub.reply(then="drop")):
        stub.on("UpdateSecretVersionStage", reply)
        stub.calls.clear()
        fails(write, store)
        assert stub.operations == ["PutSecretValue", "UpdateSecretVersionStage", "GetSecretValue"]


def test_a_port_where_nobody_listens_is_surely_not_applied(fake_session: boto3.Session, closed_url: str) -> None:
    """A connection that cannot be made is StoreUnavailable, for writes too."""
    client = aws_session.client("secretsmanager", endpoint_url=closed_url, session=fake_session)
    for call in (read, write, seed, create, prove):
        assert type(fails(call, AwsSecretStore("main", client, VirtualClock()))) is StoreUnavailable


def test_a_client_without_credentials_is_denied(stub: AwsStub, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No credentials anywhere is StoreDenied before anything is sent, and the hint says where to put them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    client = aws_session.client("secretsmanager", region="us-east-1", endpoint_url=stub.url, session=boto3.Session())
    for call in (read, write, seed, create, prove):
        error = fails(call, AwsSecretStore("main", client, VirtualClock()))
        assert type(error) is StoreDenied
        assert "AWS_PROFILE" in error.hint
    assert stub.calls == []


def test_parameters_that_botocore_refuses_are_not_quoted(store: AwsSecretStore, stub: AwsStub) -> None:
    """A request that fails botocore's own check is refused, and its values are not shown."""
    with pytest.raises(StoreDenied):
        store.read("")
    stub.calls.clear()
    with pytest.raises(StoreRejected) as caught:
        store.compare_and_swap("", NEW, expected=OLD, write_id=WRITE_ID)
    assert CANARY not in shown(caught.value)
    assert stub.calls == []


def test_no_request_is_logged_at_debug(store: AwsSecretStore, stub: AwsStub, caplog: pytest.LogCaptureFixture) -> None:
    """With the root logger at DEBUG no token appears in a log line of botocore."""
    with caplog.at_level(logging.DEBUG):
        write(store)
        stub.on("GetSecretValue", stub.reply(body={**value(), "SecretString": CANARY}))
        read(store)
    assert CANARY not in caplog.text


# ------------------------------------------------------------------------------------------- the mapping itself


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (botocore.NoRegionError(), StoreDenied),
        (botocore.PartialCredentialsError(provider="env", cred_var="x"), StoreDenied),
        (botocore.ProfileNotFound(profile="x"), StoreDenied),
        (botocore.ConnectTimeoutError(endpoint_url="https://x"), StoreUnavailable),
        (botocore.ProxyConnectionError(proxy_url="http://x"), StoreUnavailable),
        (botocore.SSLError(endpoint_url="https://x", error="EOF"), StoreWriteInDoubt),
        (botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2), StoreWriteInDoubt),
        (botocore.BotoCoreError(), StoreWriteInDoubt),
    ],
)
def test_a_write_without_an_answer_is_in_doubt_unless_it_surely_was_not_sent(
    error: botocore.BotoCoreError, expected: type[StoreError]
) -> None:
    """Only what is known to fail before the request leaves is not in doubt; an unknown exception is."""
    assert type(mapped(error, Subject("x"), "write")) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("NotFoundException", StoreMissing),
        ("InvalidCiphertextException", StoreCorrupt),
        ("KMSInvalidStateException", StoreDenied),
        ("ResourceInUseException", StoreUnavailable),
        ("TransactionConflictException", StoreUnavailable),
    ],
)
def test_codes_of_kms_and_dynamodb_are_known(code: str, expected: type[StoreError]) -> None:
    """Codes that Secrets Manager does not use are mapped for the others that share the table."""
    error = ClientError({"Error": {"Code": code, "Message": ""}}, "Decrypt")
    assert type(mapped(error, Subject("key x"), "read")) is expected


def test_what_is_no_answer_has_no_code() -> None:
    """A transport error has no code, mentions nothing and is about no deleted secret."""
    error = botocore.NoRegionError()
    assert (code_of(error), mentions(error, "region"), is_marked_deleted(error)) == ("", False, False)
