"""BatchGetSecretValue: what it costs, what it leaves open, and how it goes wrong."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from test_aws_store import NEW, Recorded, edit

from rotator import aws_session
from rotator.errors import SecretNotFound, StoreDenied, StoreError, StoreUnavailable
from rotator.model import Found, Malformed, Versioned
from rotator.stores.aws import AwsSecretStore
from rotator.testing.contracts import shown
from rotator.testing.memory import EPOCH, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3

    from tests.adapters.conftest import AwsStub

PREFIX = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"
VERSION = "00000001-0000-4000-8000-000000000000"
CANARY = "canary-refresh-token"
MARKED = "You can't perform this operation on the secret because it was marked for deletion."


@pytest.fixture
def recorded(fake_session: boto3.Session, moto_url: str) -> Recorded:
    return Recorded(fake_session, moto_url)


# ------------------------------------------------------------------------------------------------------ on moto


def test_a_fleet_is_read_at_a_twentieth_of_the_calls(recorded: Recorded, new_name: Callable[[str], str]) -> None:
    """45 secrets are three calls, and come as `read` has them."""
    names = [f"{new_name('bulk')}/{number}" for number in range(45)]
    for number, name in enumerate(names):
        recorded.other.create_secret(Name=name, SecretString=f'{{"n": {number}}}')
    answers = recorded.store.read_many(names)
    assert recorded.calls == ["BatchGetSecretValue"] * 3
    assert recorded.store.batch == 20
    assert answers == {name: recorded.store.read(name) for name in names}


def test_one_secret_alone_is_an_ordinary_read(recorded: Recorded) -> None:
    """For a single secret GetSecretValue is asked, whose quota is larger."""
    assert recorded.store.read_many([recorded.secret]) == {recorded.secret: recorded.store.read(recorded.secret)}
    assert recorded.calls == ["GetSecretValue"] * 2


def test_names_and_arns_are_found_in_one_answer(recorded: Recorded, new_name: Callable[[str], str]) -> None:
    """A name, an ARN and an ARN without AWS's suffix are each settled by the answer in bulk, also for one secret."""
    made = [recorded.other.create_secret(Name=new_name("bulk"), SecretString="{}") for _ in range(3)]
    asked = {made[0]["Name"]: made[0], made[1]["ARN"]: made[1], made[2]["ARN"][:-7]: made[2], made[0]["ARN"]: made[0]}
    answers = recorded.store.read_many(list(asked))
    assert recorded.calls == ["BatchGetSecretValue"]
    identities = {secret: read.identity for secret, read in answers.items() if isinstance(read, Versioned)}
    assert identities == {secret: created["ARN"] for secret, created in asked.items()}


def test_an_answer_that_is_not_current_is_read_again(recorded: Recorded, new_name: Callable[[str], str]) -> None:
    """After a move of AWSCURRENT moto's bulk answer is an old version: that secret alone is read singly."""
    other = new_name("bulk")
    recorded.other.create_secret(Name=other, SecretString="{}")
    written = recorded.write()
    recorded.calls.clear()
    answers = recorded.store.read_many([recorded.secret, other])
    assert recorded.calls == ["BatchGetSecretValue", "GetSecretValue"]
    assert answers[recorded.secret] == written
    assert written.content == NEW


def test_a_secret_without_a_value_and_one_marked_deleted(recorded: Recorded, new_name: Callable[[str], str]) -> None:
    """In bulk they are what they are for a read: Malformed at version "", and SecretNotFound with the way back."""
    empty, marked = new_name("empty"), new_name("marked")
    recorded.other.create_secret(Name=empty)
    recorded.other.create_secret(Name=marked, SecretString="{}")
    recorded.other.delete_secret(SecretId=marked, RecoveryWindowInDays=7)
    answers = recorded.store.read_many([empty, marked, recorded.secret])
    assert answers[empty] == recorded.store.read(empty)
    assert isinstance(recorded.store.read(empty).content, Malformed)
    assert type(answers[marked]) is SecretNotFound
    assert "restore-secret" in str(answers[marked])
    assert isinstance(answers[recorded.secret], Versioned)


def test_an_edit_is_seen_in_bulk(recorded: Recorded) -> None:
    """What somebody makes current between two answers in bulk is in the second one."""
    pair = [recorded.secret, f"oauth/{uuid.uuid4()}"]
    before = recorded.store.read_many(pair)[recorded.secret]
    version = edit(recorded.other, recorded.secret, '{"refresh_token": "theirs"}')
    after = recorded.store.read_many(pair)[recorded.secret]
    assert isinstance(before, Versioned)
    assert isinstance(after, Versioned)
    assert (before.version, after.version) == (recorded.first, version)


# ------------------------------------------------------------------------------------------------- on a stub


def entry(name: str, arn: str = "", **more: Any) -> dict[str, Any]:
    """Return what stands in the answers about one secret."""
    return {
        "ARN": arn or f"{PREFIX}{name}-AbCdEf",
        "Name": name,
        "VersionId": VERSION,
        "SecretString": f'{{"name": "{name}"}}',
        "VersionStages": ["AWSCURRENT"],
        "CreatedDate": EPOCH.timestamp(),
        **more,
    }


def refused(name: str, code: str, message: str = "") -> dict[str, Any]:
    """Return what stands in an answer in bulk about a secret that could not be read."""
    return {"SecretId": name, "ErrorCode": code, "Message": f"{message} {CANARY}"}


@pytest.fixture
def store(fake_session: boto3.Session, stub: AwsStub) -> AwsSecretStore:
    """A store on a stub where a single read succeeds."""
    stub.on("GetSecretValue", stub.reply(body=entry("singly")))
    client = aws_session.client("secretsmanager", endpoint_url=stub.url, session=fake_session)
    return AwsSecretStore("main", client, VirtualClock())


def named(answers: Any) -> dict[str, Any]:
    """Return what the answers' documents say of themselves, and the types of the errors."""
    for answer in answers.values():
        assert CANARY not in (shown(answer) if isinstance(answer, StoreError) else "")
    return {
        secret: answer.content.fields["name"] if isinstance(answer, Versioned) else type(answer)
        for secret, answer in answers.items()
    }


@pytest.mark.parametrize(
    ("code", "message", "outcome"),
    [
        ("AccessDeniedException", "", StoreDenied),
        ("DecryptionFailure", "", StoreDenied),
        ("ThrottlingException", "", StoreUnavailable),
        ("InvalidRequestException", MARKED, SecretNotFound),
        ("InvalidRequestException", "managed by another", "singly"),
        ("ResourceNotFoundException", "", "singly"),
        ("InternalServiceError", "", "singly"),
        ("NeverHeardOf", "", "singly"),
        ("", "", "singly"),
    ],
)
def test_an_error_of_one_secret_is_its_own(
    store: AwsSecretStore, stub: AwsStub, code: str, message: str, outcome: Any
) -> None:
    """What an entry's code says for sure is that secret's error; what it leaves open is read; the others are there."""
    answer = {"SecretValues": [entry("b")], "Errors": [refused("a", code, message)]}
    stub.on("BatchGetSecretValue", stub.reply(body=answer))
    answers = store.read_many(["a", "b"])
    assert named(answers) == {"a": outcome, "b": "b"}
    assert stub.operations == ["BatchGetSecretValue", *(["GetSecretValue"] if outcome == "singly" else [])]
    if isinstance(answers["a"], StoreError):
        assert "secret a in store main: GetSecretValue failed" in str(answers["a"])
        assert "11111111-2222-3333-4444-555555555555" in str(answers["a"])


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ({"code": "ThrottlingException"}, StoreUnavailable),
        ({"code": "InternalServiceError", "status": 500}, StoreUnavailable),
        ({"code": "Anything", "status": 503}, StoreUnavailable),
        ({"code": "ExpiredTokenException"}, StoreDenied),
        ({"code": "InvalidSignatureException"}, StoreDenied),
        ({"code": "InvalidParameterException"}, "singly"),
        ({"code": "ResourceNotFoundException"}, "singly"),
        ({"code": "ValidationException"}, "singly"),
        ({"code": "DecryptionFailure"}, "singly"),
    ],
)
def test_a_call_that_fails_is_not_repeated_for_each_secret(
    store: AwsSecretStore, stub: AwsStub, reply: dict[str, Any], outcome: Any
) -> None:
    """What concerns all is the error of all; what may be the fault of one is asked of each, this time."""
    stub.on("BatchGetSecretValue", stub.error(**reply))
    answers = store.read_many(["a", "b"])
    assert named(answers) == {"a": outcome, "b": outcome}
    assert stub.operations == ["BatchGetSecretValue", *(["GetSecretValue"] * 2 if outcome == "singly" else [])]
    if outcome != "singly":
        assert "secret b in store main: BatchGetSecretValue failed" in str(answers["b"])
    assert store.batch == 20
    store.read_many(["a", "b"])
    assert stub.operations.count("BatchGetSecretValue") == 2


@pytest.mark.parametrize("code", ["AccessDeniedException", "AccessDenied", "UnknownOperationException"])
def test_without_the_permission_for_bulk_each_secret_is_read(store: AwsSecretStore, stub: AwsStub, code: str) -> None:
    """A policy without BatchGetSecretValue costs one refused call, once: then `batch` is 1 and reads are single."""
    stub.on("BatchGetSecretValue", stub.error(code))
    assert named(store.read_many(["a", "b"])) == {"a": "singly", "b": "singly"}
    assert store.batch == 1
    assert named(store.read_many(["a", "b", "c"])) == dict.fromkeys("abc", "singly")
    assert stub.operations == ["BatchGetSecretValue", *["GetSecretValue"] * 5]


def test_every_page_of_an_answer_is_read(store: AwsSecretStore, stub: AwsStub) -> None:
    """An answer in pages, an empty one among them, is followed to its end with the ids that were asked for."""
    stub.on(
        "BatchGetSecretValue",
        stub.reply(body={"SecretValues": [entry("a")], "Errors": [], "NextToken": "2"}),
        stub.reply(body={"SecretValues": [], "NextToken": "3"}),
        stub.reply(body={"SecretValues": [entry("c"), entry("b")]}),
    )
    assert named(store.read_many(["a", "b", "c"])) == {"a": "a", "b": "b", "c": "c"}
    assert [request for _, request in stub.calls] == [
        {"SecretIdList": ["a", "b", "c"]},
        {"SecretIdList": ["a", "b", "c"], "NextToken": "2"},
        {"SecretIdList": ["a", "b", "c"], "NextToken": "3"},
    ]


def test_pages_without_end_are_left(store: AwsSecretStore, stub: AwsStub) -> None:
    """An answer that always has one more page does not hold the reader; what it never told is read singly."""
    stub.on("BatchGetSecretValue", stub.reply(body={"SecretValues": [entry("a")], "NextToken": "again"}))
    assert named(store.read_many(["a", "b"])) == {"a": "a", "b": "singly"}
    assert stub.operations == ["BatchGetSecretValue", "BatchGetSecretValue", "GetSecretValue"]


def test_a_page_that_fails_leaves_what_came_before(store: AwsSecretStore, stub: AwsStub) -> None:
    """When the second page fails, the first one's secrets are read and the others have the error."""
    stub.on(
        "BatchGetSecretValue",
        stub.reply(body={"SecretValues": [entry("a")], "NextToken": "2"}),
        stub.error("ThrottlingException"),
    )
    assert named(store.read_many(["a", "b"])) == {"a": "a", "b": StoreUnavailable}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"SecretValues": []},
        {"SecretValues": [entry("a", VersionStages=[]), entry("b", VersionStages=["AWSPREVIOUS"])]},
        {"SecretValues": [{"Name": "a", "VersionStages": ["AWSCURRENT"]}, entry("c")]},
        {"Errors": [{"SecretId": "somebody else's", "ErrorCode": "AccessDeniedException"}, {}]},
    ],
)
def test_what_an_answer_does_not_say_is_read(store: AwsSecretStore, stub: AwsStub, answer: dict[str, Any]) -> None:
    """Secrets that an answer leaves out, or tells too little of, are read singly, and none is lost."""
    stub.on("BatchGetSecretValue", stub.reply(body=answer))
    assert named(store.read_many(["a", "b"])) == {"a": "singly", "b": "singly"}


def test_a_text_that_is_an_arn_is_not_taken_for_the_beginning_of_one(store: AwsSecretStore, stub: AwsStub) -> None:
    """Where an ARN is also another secret's ARN without its suffix, the secret whose ARN it is has it."""
    arn = f"{PREFIX}a-AbCdEf"
    stub.on(
        "BatchGetSecretValue",
        stub.reply(body={"SecretValues": [entry("a", arn), entry("a-AbCdEf", f"{arn}-GhIjKl")]}),
    )
    assert named(store.read_many([arn, "a-AbCdEf"])) == {arn: "a", "a-AbCdEf": "a-AbCdEf"}


def test_a_version_in_bulk_has_an_instant_in_utc_or_none(store: AwsSecretStore, stub: AwsStub) -> None:
    """The date that AWS gives is taken as an aware UTC instant; one that is missing is None."""
    undated = entry("b")
    del undated["CreatedDate"]
    stub.on("BatchGetSecretValue", stub.reply(body={"SecretValues": [entry("a"), undated]}))
    answers = store.read_many(["a", "b"])
    dates = [answer.created_at for answer in answers.values() if isinstance(answer, Versioned)]
    assert dates == [EPOCH, None]
    assert dates[0] is not None
    assert not dates[0].utcoffset()


# ------------------------------------------------------------------------------------------------------- finding


def test_a_search_costs_a_call_per_hundred_secrets(recorded: Recorded, new_name: Callable[[str], str]) -> None:
    """250 secrets are found in three pages of what AWS's own filters let through, and no value is read."""
    folder = new_name("found")
    tags = [{"Key": "rotator", "Value": "auth0"}]
    for number in range(250):
        recorded.other.create_secret(Name=f"{folder}/{number}", SecretString="{}", Tags=tags)
    recorded.other.create_secret(Name=f"{folder}/without", SecretString="{}")
    sent: list[Any] = []
    recorded.client.meta.events.register("provide-client-params", lambda params, **_: sent.append(params["Filters"]))
    found = recorded.store.find(f"{folder}/", {"rotator": "auth0"})
    assert set(found) == {f"{folder}/{number}" for number in range(250)}
    assert recorded.calls == ["ListSecrets"] * 3
    assert sent[0] == [
        {"Key": "name", "Values": [f"{folder}/"]},
        {"Key": "tag-key", "Values": ["rotator"]},
        {"Key": "tag-value", "Values": ["auth0"]},
    ]


def test_a_secret_without_a_value_is_found_without_a_version(
    recorded: Recorded, new_name: Callable[[str], str]
) -> None:
    """A secret that somebody made and gave no value is found; one that is marked deleted is not."""
    folder = new_name("found")
    arn = recorded.other.create_secret(Name=f"{folder}/empty")["ARN"]
    recorded.other.create_secret(Name=f"{folder}/marked", SecretString="{}")
    recorded.other.delete_secret(SecretId=f"{folder}/marked", RecoveryWindowInDays=7)
    assert recorded.store.find(folder, {}) == {f"{folder}/empty": Found(f"{folder}/empty", arn, None, {})}


def test_no_filter_is_sent_that_aws_would_refuse(recorded: Recorded) -> None:
    """What a filter does not take is compared here: in labels, while a prefix like that begins no name at all."""
    sent: list[Any] = []
    recorded.client.meta.events.register("provide-client-params", lambda params, **_: sent.append(params["Filters"]))
    name = recorded.secret
    labels = {"Größe": "a#b", "not": "!x", "team": "a"}
    recorded.other.tag_resource(SecretId=name, Tags=[{"Key": key, "Value": labels[key]} for key in labels])
    assert recorded.store.find(name, {"Größe": "a#b"})[name].labels == labels
    assert recorded.store.find(name, {"not": "!x"}).keys() == {name}
    assert recorded.store.find(name, {"Größe": "a#b", "not": "!x", "team": "a"}).keys() == {name}
    assert recorded.store.find("!x", {}) == {}
    assert [[(one["Key"], one["Values"]) for one in filters[1:]] for filters in sent] == [
        [],
        [("tag-key", ["not"])],
        [("tag-key", ["not"]), ("tag-value", ["a"])],
    ]


def test_what_aws_lets_through_is_compared_again(store: AwsSecretStore, stub: AwsStub) -> None:
    """Names and tags that only begin as asked, or fit in pieces of different tags, are not found."""
    tags = {
        "a/1": {"rotator": "auth0"},
        "b/1": {"rotator": "auth0"},
        "a/2": {"rotator": "auth0-eu"},
        "a/3": {"rotator-x": "auth0"},
        "a/4": {"rotator": "x", "team": "auth0"},
    }
    listed = [entry(name, Tags=[{"Key": key, "Value": tags[name][key]} for key in tags[name]]) for name in tags]
    stub.on("ListSecrets", stub.reply(body={"SecretList": listed}))
    assert set(store.find("a/", {"rotator": "auth0"})) == {"a/1"}


def test_a_search_that_fails_names_the_store(store: AwsSecretStore, stub: AwsStub) -> None:
    """What is refused, throttled or no answer of AWS is an error and never an empty answer."""
    for reply, error in (
        (stub.error("AccessDeniedException"), StoreDenied),
        (stub.error("ThrottlingException"), StoreUnavailable),
        (stub.reply(body={}), StoreUnavailable),
        (stub.reply(body={"SecretList": [], "NextToken": "again"}), StoreUnavailable),
    ):
        stub.on("ListSecrets", reply)
        with pytest.raises(error, match="store main"):
            store.find("a", {})
