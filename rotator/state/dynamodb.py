"""A DynamoDB table as a state store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rotator.aws_errors import AWS_ERRORS, Subject, code_of, mapped, mentions
from rotator.errors import (
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreRejected,
    StoreUnavailable,
    VersionConflict,
)
from rotator.state.bodies import body_of, one_by_one, revision_after

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from rotator.aws_errors import AwsError, Effect
    from rotator.ports import Stored

MAX_ITEM_BYTES: Final = 400 * 1024
"""The limit of an item: the UTF-8 lengths of its attributes' names and values ("Quotas in Amazon DynamoDB")."""

MAX_KEY_BYTES: Final = 2048
"""The limit of a partition key (the same page)."""

BATCH: Final = 100
"""How many items one BatchGetItem takes (API reference)."""

REVISION_BYTES: Final = 21
"""The most that a number takes ("DynamoDB item sizes and formats")."""

ABSENT: Final = "attribute_not_exists(id)"
UNCHANGED: Final = "revision = :expected"
IMPOSSIBLE: Final = "attribute_exists(id) AND attribute_not_exists(id)"

PROBE: Final = "probe"
"""The key that `prove_writable` names and never writes."""

CONFLICT: Final = "ConditionalCheckFailedException"


class DynamoDbStateStore:
    """A state store over one table, shared by all replicas. Thread-safe.

    An item is `{id: S, revision: N, body: S}`, the body being JSON text. A write is one conditional PutItem of the
    whole item, so it needs no read first and no transaction. The revision grows with every write: a record that returns
    to an earlier content is another revision.

    Args:
        client: A `dynamodb` client that sends once (`rotator.aws_session.client`).
        table: The table's name or ARN; its partition key is `id`, a string, and it has no sort key.
    """

    shared = True
    batch = BATCH

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table
        self._batches_allowed = True
        self._subject = Subject(
            f"DynamoDB table {table}",
            StoreMissing,
            f"create it: aws dynamodb create-table --table-name {table}"
            " --attribute-definitions AttributeName=id,AttributeType=S"
            " --key-schema AttributeName=id,KeyType=HASH --billing-mode PAY_PER_REQUEST",
        )

    def read(self, key: str) -> Stored:
        """See `StateStore.read`. A consistent GetItem."""
        try:
            answer = self._client.get_item(TableName=self._table, Key={"id": {"S": key}}, ConsistentRead=True)
        except AWS_ERRORS as error:
            raise self._mapped(error, "read") from None
        item = answer.get("Item")
        return (None, 0) if item is None else self._decoded(key, item)

    def read_many(self, keys: Sequence[str]) -> Mapping[str, Stored | StoreError]:
        """See `StateStore.read_many`. A consistent BatchGetItem for every 100 keys.

        A key that DynamoDB does not take, and that no record can have, is a StoreRejected in its place: it would fail
        the whole call. Where the policy allows GetItem and not BatchGetItem, the items are read one by one, from the
        first refusal on.
        """
        found: dict[str, Stored | StoreError] = {}
        asked: list[str] = []
        for key in dict.fromkeys(keys):
            if (fault := self._key_fault(key)) is None:
                asked.append(key)
            else:
                found[key] = fault
        for first in range(0, len(asked), BATCH):
            found |= self._read_batch(asked[first : first + BATCH])
        return found

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        """See `StateStore.compare_and_swap`. One conditional PutItem."""
        text = json.dumps(body, separators=(",", ":"))
        self._require_fitting(key, text)
        revision = revision_after(expected, text)
        item: dict[str, AttributeValueTypeDef] = {
            "id": {"S": key},
            "revision": {"N": str(revision)},
            "body": {"S": text},
        }
        try:
            if expected == 0:
                self._client.put_item(TableName=self._table, Item=item, ConditionExpression=ABSENT)
            else:
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=UNCHANGED,
                    ExpressionAttributeValues={":expected": {"N": str(expected)}},
                )
        except AWS_ERRORS as error:
            if code_of(error) == CONFLICT:
                raise VersionConflict(self._what(key), expected=expected) from None
            raise self._mapped(error, "write") from None
        return revision

    def keys(self, prefix: str) -> Iterable[str]:
        """See `StateStore.keys`. Scans the whole table, consistently."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "ProjectionExpression": "id",
            "ConsistentRead": True,
        }
        if prefix:  # DynamoDB takes no empty text for a key attribute
            request["FilterExpression"] = "begins_with(id, :prefix)"
            request["ExpressionAttributeValues"] = {":prefix": {"S": prefix}}
        try:
            pages = self._client.get_paginator("scan").paginate(**request)
            return [item["id"]["S"] for page in pages for item in page["Items"]]
        except AWS_ERRORS as error:
            raise self._mapped(error, "read") from None

    def prove_writable(self) -> None:
        """See `StateStore.prove_writable`. A PutItem whose condition no item can meet."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item={"id": {"S": PROBE}, "revision": {"N": "0"}, "body": {"S": "{}"}},
                ConditionExpression=IMPOSSIBLE,
            )
        except AWS_ERRORS as error:
            if code_of(error) != CONFLICT:
                raise self._mapped(error, "stage") from None

    def _read_batch(self, keys: list[str]) -> dict[str, Stored | StoreError]:
        if not self._batches_allowed:
            return one_by_one(self.read, keys)
        try:
            items = self._items(keys)
        except StoreDenied:
            found = one_by_one(self.read, keys)  # raises as well where it is not the policy of this one action
            self._batches_allowed = False
            return found
        return one_by_one(lambda key: self._decoded(key, items[key]) if key in items else (None, 0), keys)

    def _items(self, keys: list[str]) -> dict[str, Mapping[str, Any]]:
        """Return the items that exist, by key.

        What an answer leaves out is asked for again at once: 16 MB in all and 1 MB of one partition is what it holds
        (API reference). So there are at most as many calls as keys. No wait is needed here: a table so throttled that
        it processes nothing answers with an error, and the caller's retries wait.
        """
        items: dict[str, Mapping[str, Any]] = {}
        left: list[Any] = [{"id": {"S": key}} for key in keys]
        while left:
            asked = len(left)
            try:
                answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": left, "ConsistentRead": True}})
            except AWS_ERRORS as error:
                raise self._mapped(error, "read") from None
            try:
                items |= {item["id"]["S"]: item for found in answer["Responses"].values() for item in found}
                left = [key for missed in answer.get("UnprocessedKeys", {}).values() for key in missed["Keys"]]
            except KeyError:
                # A foreign object without these members would pass for a table without records.
                raise self._unanswered("the answer is of another service") from None
            if len(left) >= asked:
                raise self._unanswered("BatchGetItem processed nothing")
        return items

    def _unanswered(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(f"{self._subject.what}: {why}", hint="it is tried again")

    def _decoded(self, key: str, item: Mapping[str, Any]) -> Stored:
        try:
            revision, body = int(item["revision"]["N"]), body_of(item["body"]["S"])
            if revision < 1:
                raise ValueError("not a record")
        except (KeyError, TypeError, ValueError, OverflowError):
            raise StoreCorrupt(
                f"{self._what(key)}: the item is not one that rotator wrote",
                hint="it has a number `revision` and a string `body` that is a JSON object; restore it from a backup",
            ) from None
        return body, revision

    def _key_fault(self, key: str) -> StoreRejected | None:
        key_bytes = len(key.encode())
        if 0 < key_bytes <= MAX_KEY_BYTES:
            return None
        return StoreRejected(f"{self._what(key)}: the key has {key_bytes} bytes, not 1 to {MAX_KEY_BYTES}")

    def _require_fitting(self, key: str, text: str) -> None:
        if fault := self._key_fault(key):
            raise fault
        size = len("idrevisionbody") + REVISION_BYTES + len(key.encode()) + len(text.encode())
        if size > MAX_ITEM_BYTES:
            raise StoreRejected(
                f"{self._what(key)}: the item has {size} bytes, more than the {MAX_ITEM_BYTES} that DynamoDB takes",
                hint="keep large token sets in a file escrow",
            )

    def _what(self, key: str) -> str:
        return f"record {key} in {self._subject.what}"

    def _mapped(self, error: AwsError, effect: Effect) -> StoreError:
        # Sizes are checked before, so what else DynamoDB finds invalid is the table's key schema.
        if code_of(error) == "ValidationException" and not mentions(error, "size"):
            return StoreMissing(
                f"{self._subject.what} cannot hold the records: ValidationException",
                hint="it needs the partition key `id` of type string, and no sort key",
            )
        return mapped(error, self._subject, effect)
