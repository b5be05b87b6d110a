"""The DynamoDB state store keeps the contract: its logic on moto, its concurrent winners on ministack."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from rotator import aws_session
from rotator.errors import (
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.state.dynamodb import MAX_ITEM_BYTES, REVISION_BYTES, DynamoDbStateStore
from rotator.testing.contracts import StateStoreContract, StateStoreHarness
from tests.servers import STATE_TABLE, create_state_table

if TYPE_CHECKING:
    import boto3

    from tests.adapters.conftest import AwsStub


class TableHarness(StateStoreHarness):
    """A new table on an emulator."""

    def __init__(self, session: boto3.Session, url: str, stub: AwsStub, closed_url: str) -> None:
        self.client = aws_session.client("dynamodb", endpoint_url=url, session=session)
        self.denied = aws_session.client("dynamodb", endpoint_url=stub.url, session=session)
        self.unreachable = aws_session.client("dynamodb", endpoint_url=closed_url, session=session)
        stub.on("*", stub.error("AccessDeniedException"))
        self.table = create_state_table(url, f"rotator-{uuid.uuid4()}")
        self.store = self.reopened()

    def create_table(self, **schema: Any) -> str:
        name = f"rotator-{uuid.uuid4()}"
        self.client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **schema)
        return name

    def reopened(self) -> DynamoDbStateStore:
        return DynamoDbStateStore(self.client, self.table)

    def damage(self, key: str) -> None:
        self.put_raw(key, revision={"N": "1"}, body={"S": '{"cut": '})

    def put_raw(self, key: str, **attributes: dict[str, Any]) -> None:
        self.client.put_item(TableName=self.table, Item={"id": {"S": key}, **attributes})

    def refused_body(self) -> dict[str, Any]:
        return {"sealed": "x" * MAX_ITEM_BYTES}

    def missing_store(self) -> DynamoDbStateStore:
        return DynamoDbStateStore(self.client, "no-such-table")

    def denied_store(self) -> DynamoDbStateStore:
        return DynamoDbStateStore(self.denied, self.table)

    def unreachable_store(self) -> DynamoDbStateStore:
        return DynamoDbStateStore(self.unreachable, self.table)


class TestDynamoDbStateStoreOnMoto(StateStoreContract):
    """The contract, one writer at a time."""

    concurrent_writers_supported = "moto lets two conditional writes win; ministack judges them"

    @pytest.fixture
    def harness(self, fake_session: boto3.Session, moto_url: str, stub: AwsStub, closed_url: str) -> TableHarness:
        return TableHarness(fake_session, moto_url, stub, closed_url)


class TestDynamoDbStateStoreOnMinistack(StateStoreContract):
    """The contract, with many writers."""

    @pytest.fixture
    def harness(self, fake_session: boto3.Session, ministack_url: str, stub: AwsStub, closed_url: str) -> TableHarness:
        return TableHarness(fake_session, ministack_url, stub, closed_url)


@pytest.fixture
def on_moto(fake_session: boto3.Session, moto_url: str, stub: AwsStub, closed_url: str) -> TableHarness:
    return TableHarness(fake_session, moto_url, stub, closed_url)


@pytest.fixture
def on_stub(fake_session: boto3.Session, stub: AwsStub) -> DynamoDbStateStore:
    return DynamoDbStateStore(aws_session.client("dynamodb", endpoint_url=stub.url, session=fake_session), "state")


# ---------------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize("emulator", ["moto_url", "ministack_url"])
def test_the_hint_for_a_missing_table_creates_the_right_one(
    request: pytest.FixtureRequest, emulator: str, fake_session: boto3.Session
) -> None:
    """What the hint says to create is a table that works."""
    url = request.getfixturevalue(emulator)
    client = aws_session.client("dynamodb", endpoint_url=url, session=fake_session)
    table = f"rotator-{uuid.uuid4()}"
    store = DynamoDbStateStore(client, table)
    with pytest.raises(StoreMissing) as caught:
        store.read("secret/a")
    words = caught.value.hint.split()
    options = dict(itertools.pairwise(words))
    assert options["--table-name"] == table
    assert options["--attribute-definitions"] == "AttributeName=id,AttributeType=S"
    assert options["--key-schema"] == "AttributeName=id,KeyType=HASH"
    client.create_table(TableName=table, BillingMode=options["--billing-mode"], **STATE_TABLE)
    store.prove_writable()
    assert store.compare_and_swap("secret/a", {}, expected=0) > 0


@pytest.mark.parametrize(
    "schema",
    [
        {
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        },
        {
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "N"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        },
        {
            "AttributeDefinitions": [
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            "KeySchema": [
                {"AttributeName": "id", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        },
    ],
    ids=["another name", "a number", "a sort key"],
)
def test_a_table_with_another_key_says_which_one_it_needs(on_moto: TableHarness, schema: dict[str, Any]) -> None:
    """A table with another key schema is StoreMissing at the proof and at a write, and the hint names the key."""
    store = DynamoDbStateStore(on_moto.client, on_moto.create_table(**schema))
    for verb in (store.prove_writable, lambda: store.compare_and_swap("secret/a", {}, expected=0)):
        with pytest.raises(StoreMissing, match="partition key `id` of type string"):
            verb()


# -------------------------------------------------------------------------------------------------- the records


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"revision": {"N": "1"}},
        {"revision": {"S": "1"}, "body": {"S": "{}"}},
        {"revision": {"N": "1.5"}, "body": {"S": "{}"}},
        {"revision": {"N": "0"}, "body": {"S": "{}"}},
        {"revision": {"N": "1"}, "body": {"S": "[]"}},
        {"revision": {"N": "1"}, "body": {"M": {}}},
    ],
)
def test_an_item_that_rotator_did_not_write_is_corrupt(on_moto: TableHarness, attributes: dict[str, Any]) -> None:
    """An item without a positive revision or without an object as its body is StoreCorrupt, not an absent record."""
    on_moto.put_raw("secret/a", **attributes)
    with pytest.raises(StoreCorrupt, match="record secret/a in DynamoDB table"):
        on_moto.store.read("secret/a")


def test_the_largest_item_is_sent_and_one_byte_more_is_not(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """The limit of 400 KiB counts names, values and the key in bytes, not in characters."""
    stub.on("PutItem", stub.reply())  # not on moto, which counts otherwise
    key, around = "secret/ä", len('{"a":""}')
    room = MAX_ITEM_BYTES - len("idrevisionbody") - REVISION_BYTES - len(key.encode()) - around
    on_stub.compare_and_swap(key, {"a": "x" * room}, expected=0)
    with pytest.raises(StoreRejected, match="409601 bytes"):
        on_stub.compare_and_swap(key, {"a": "x" * (room + 1)}, expected=1)
    assert stub.operations == ["PutItem"]


@pytest.mark.parametrize("key", ["", "k" * 2049])
def test_a_key_that_dynamodb_does_not_take_is_refused(on_moto: TableHarness, key: str) -> None:
    """An empty key and one of more than 2048 bytes are StoreRejected."""
    with pytest.raises(StoreRejected, match="key has"):
        on_moto.store.compare_and_swap(key, {}, expected=0)


# --------------------------------------------------------------------------------------------------- the calls


def test_a_write_is_one_conditional_put_of_the_whole_record(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """A swap is one PutItem whose condition names the revision, or that there is none; no read stands before it."""
    stub.on("PutItem", stub.reply())
    on_stub.compare_and_swap("secret/a", {"n": 1}, expected=0)
    on_stub.compare_and_swap("secret/a", {"n": 2}, expected=7)
    assert stub.operations == ["PutItem", "PutItem"]
    (_, first), (_, second) = stub.calls
    assert first["ConditionExpression"] == "attribute_not_exists(id)"
    assert second["ConditionExpression"] == "revision = :expected"
    assert second["ExpressionAttributeValues"] == {":expected": {"N": "7"}}
    revision = second["Item"].pop("revision")
    assert int(revision["N"]) > 7
    assert second["Item"] == {"id": {"S": "secret/a"}, "body": {"S": '{"n":2}'}}


def test_reads_are_consistent(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """Both reading calls ask for strong consistency."""
    stub.on("*", stub.reply(body={"Items": [], "Count": 0}))
    on_stub.read("secret/a")
    on_stub.keys("secret/")
    assert [request["ConsistentRead"] for _, request in stub.calls] == [True, True]


def test_the_listing_turns_every_page(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """Pages are followed to the end, also through one without a match."""
    pages = [
        {"Items": [{"id": {"S": "a/1"}}], "LastEvaluatedKey": {"id": {"S": "a/1"}}},
        {"Items": [], "LastEvaluatedKey": {"id": {"S": "b"}}},
        {"Items": [{"id": {"S": "a/2"}}]},
    ]
    stub.on("Scan", *(stub.reply(body=page) for page in pages))
    assert on_stub.keys("a/") == ["a/1", "a/2"]
    assert stub.operations == ["Scan"] * 3


def test_a_record_whose_answer_is_cut_is_not_taken_for_absent(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """An answer of GetItem that is cut short is StoreUnavailable: a forgotten claim would spend a token twice."""
    item = {"id": {"S": "secret/a"}, "revision": {"N": "3"}, "body": {"S": "{}"}}
    stub.on("GetItem", stub.reply(body={"Item": item}, then="cut"))
    with pytest.raises(StoreUnavailable):
        on_stub.read("secret/a")


def item(key: str, revision: int = 1) -> dict[str, Any]:
    return {"id": {"S": key}, "revision": {"N": str(revision)}, "body": {"S": "{}"}}


def batch(*items: dict[str, Any], left: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what BatchGetItem answers."""
    keys = [{"id": {"S": key}} for key in left]
    return {"Responses": {"state": list(items)}, "UnprocessedKeys": {"state": {"Keys": keys}} if keys else {}}


def test_many_records_are_read_a_hundred_at_a_time(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """250 keys, one of them twice, are three consistent BatchGetItem calls, and no key is asked for twice."""
    stub.on("BatchGetItem", stub.reply(body=batch()))
    keys = [f"secret/{number}" for number in range(250)]
    assert on_stub.batch == 100
    assert on_stub.read_many([*keys, keys[0]]) == dict.fromkeys(keys, (None, 0))
    assert stub.operations == ["BatchGetItem"] * 3
    tables = [request["RequestItems"]["state"] for _, request in stub.calls]
    assert [table["ConsistentRead"] for table in tables] == [True] * 3
    assert [len(table["Keys"]) for table in tables] == [100, 100, 50]
    assert [key["id"]["S"] for table in tables for key in table["Keys"]] == keys


def test_what_a_batch_leaves_out_is_asked_for_again(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """Unprocessed keys are asked for until there are none; none of them passes for an absent record."""
    stub.on(
        "BatchGetItem",
        stub.reply(body=batch(item("c"), left=("a", "b"))),
        stub.reply(body=batch(left=("a",))),
        stub.reply(body=batch(item("a", 7))),
    )
    assert on_stub.read_many(["a", "b", "c"]) == {"a": ({}, 7), "b": (None, 0), "c": ({}, 1)}
    asked = [[key["id"]["S"] for key in request["RequestItems"]["state"]["Keys"]] for _, request in stub.calls]
    assert asked == [["a", "b", "c"], ["a", "b"], ["a"]]


def test_a_batch_that_gets_nowhere_is_unavailable(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """Keys that stay unprocessed are StoreUnavailable after as many calls as made some progress, and one more."""
    stub.on("BatchGetItem", stub.reply(body=batch(item("a"), left=("b",))), stub.reply(body=batch(left=("b",))))
    with pytest.raises(StoreUnavailable, match="processed nothing"):
        on_stub.read_many(["a", "b"])
    assert stub.operations == ["BatchGetItem"] * 2


def test_an_answer_to_a_batch_that_is_not_its_own_is_no_empty_table(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """A JSON object without the items is StoreUnavailable: records that look absent would be forgotten claims."""
    stub.on("BatchGetItem", stub.reply(body={"status": "ok"}))
    with pytest.raises(StoreUnavailable, match="another service"):
        on_stub.read_many(["a"])


def test_without_the_permission_for_batches_records_are_read_one_by_one(
    on_stub: DynamoDbStateStore, stub: AwsStub
) -> None:
    """After the first refusal of BatchGetItem single reads do, and BatchGetItem is not asked for again."""
    stub.on("BatchGetItem", stub.error("AccessDeniedException"))
    stub.on("GetItem", stub.reply(body={"Item": item("x", 4)}))
    assert on_stub.read_many(["a", "b"]) == {"a": ({}, 4), "b": ({}, 4)}
    assert on_stub.read_many(["c"]) == {"c": ({}, 4)}
    assert stub.operations == ["BatchGetItem", "GetItem", "GetItem", "GetItem"]


def test_a_denial_of_everything_does_not_end_the_batches(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """Credentials that expired for a while teach nothing about BatchGetItem: it is asked again afterwards."""
    stub.on("*", stub.error("ExpiredTokenException"))
    with pytest.raises(StoreDenied):
        on_stub.read_many(["a"])
    stub.on("BatchGetItem", stub.reply(body=batch(item("a"))))
    assert on_stub.read_many(["a"]) == {"a": ({}, 1)}
    assert stub.operations == ["BatchGetItem", "GetItem", "BatchGetItem"]


@pytest.mark.parametrize("key", ["", "k" * 2049])
def test_a_key_that_dynamodb_does_not_take_does_not_stop_the_others(on_moto: TableHarness, key: str) -> None:
    """Among many, an empty or overlong key is StoreRejected in its place, and the others are read."""
    revision = on_moto.store.compare_and_swap("secret/a", {"n": 1}, expected=0)
    found = on_moto.store.read_many([key, "secret/a"])
    assert isinstance(found[key], StoreRejected)
    assert found["secret/a"] == ({"n": 1}, revision)


@pytest.mark.parametrize(
    ("code", "status", "reading", "writing", "proving"),
    [
        ("ProvisionedThroughputExceededException", 400, StoreUnavailable, StoreUnavailable, StoreUnavailable),
        ("InternalServerError", 500, StoreUnavailable, StoreWriteInDoubt, StoreUnavailable),
        ("ResourceNotFoundException", 400, StoreMissing, StoreMissing, StoreMissing),
        ("UnrecognizedClientException", 400, StoreDenied, StoreDenied, StoreDenied),
        ("ResourceInUseException", 400, StoreUnavailable, StoreUnavailable, StoreUnavailable),
    ],
)
def test_an_error_of_dynamodb_says_what_may_be_done(
    on_stub: DynamoDbStateStore,
    stub: AwsStub,
    code: str,
    status: int,
    reading: type[StoreError],
    writing: type[StoreError],
    proving: type[StoreError],
) -> None:
    """Only a lost answer to a write leaves doubt; every error names the table."""
    stub.on("*", stub.error(code, status=status))
    for verb, expected in (
        (lambda: on_stub.read("secret/a"), reading),
        (lambda: on_stub.read_many(["secret/a"]), reading),
        (lambda: on_stub.keys("secret/"), reading),
        (lambda: on_stub.compare_and_swap("secret/a", {}, expected=0), writing),
        (on_stub.prove_writable, proving),
    ):
        with pytest.raises(StoreError, match="DynamoDB table state") as caught:
            verb()
        assert type(caught.value) is expected


def test_a_write_whose_answer_is_lost_is_in_doubt(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """A connection that breaks after the request is StoreWriteInDoubt, and the request is not sent again."""
    stub.on("PutItem", stub.reply(then="drop"))
    with pytest.raises(StoreWriteInDoubt):
        on_stub.compare_and_swap("secret/a", {}, expected=0)
    assert stub.operations == ["PutItem"]


def test_a_size_that_dynamodb_refuses_is_no_matter_of_the_table(on_stub: DynamoDbStateStore, stub: AwsStub) -> None:
    """A ValidationException about a size is StoreRejected: the table is not to blame."""
    stub.on("PutItem", stub.error("ValidationException", message="Item size has exceeded the maximum allowed size"))
    with pytest.raises(StoreRejected):
        on_stub.compare_and_swap("secret/a", {}, expected=0)


def test_a_conflict_names_the_record_and_the_revision(on_moto: TableHarness) -> None:
    """A conflict says which record is no longer at which revision."""
    with pytest.raises(VersionConflict, match=r"record secret/a in DynamoDB table .*: no longer at version 4"):
        on_moto.store.compare_and_swap("secret/a", {}, expected=4)
