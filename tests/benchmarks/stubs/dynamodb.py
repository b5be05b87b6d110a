"""DynamoDB, as far as rotator asks: items of `id`, `revision` and `body`, written under a condition on the revision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.benchmarks.stubs.server import Answered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.stubs.server import Asked

_CONFLICT = b'{"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "stub"}'
_NOTHING = b"{}"

Fields = dict[str, Any]


class DynamoDb:
    """One table, whatever name it is called by. A seed has `id` and `body`, both texts."""

    def __init__(self) -> None:
        self._items: dict[str, Fields] = {}

    def seed(self, item: Mapping[str, Any]) -> None:
        """Put an item in, at revision 1."""
        self._items[item["id"]] = {"id": {"S": item["id"]}, "revision": {"N": "1"}, "body": {"S": item["body"]}}

    def answer(self, asked: Asked) -> Answered:
        """Carry out the operation that `X-Amz-Target` names."""
        begin = asked.head.index(b"x-amz-target:") + 13
        target = asked.head[begin:].split(b"\r", 1)[0]
        fields = json.loads(asked.body)
        if target.endswith(b".getitem"):
            item = self._items.get(fields["Key"]["id"]["S"])
            return Answered("GetItem", json.dumps({"Item": item}).encode() if item else _NOTHING)
        if target.endswith(b".putitem"):
            taken = self._put(fields)
            return Answered("PutItem", _NOTHING if taken else _CONFLICT, 200 if taken else 400)
        if target.endswith(b".batchgetitem"):
            return Answered("BatchGetItem", json.dumps(self._batch(fields)).encode())
        return Answered(target.decode(), b'{"__type": "UnknownOperationException"}', 400)

    def _put(self, fields: Fields) -> bool:
        item = fields["Item"]
        key = item["id"]["S"]
        before = self._items.get(key)
        match fields["ConditionExpression"]:
            case "attribute_not_exists(id)":
                free = before is None
            case "revision = :expected":
                free = before is not None and before["revision"] == fields["ExpressionAttributeValues"][":expected"]
            case _:  # one that no item can meet: a probe
                free = False
        if free:
            self._items[key] = item
        return free

    def _batch(self, fields: Fields) -> Fields:
        found = {}
        for table, wanted in fields["RequestItems"].items():
            items = (self._items.get(key["id"]["S"]) for key in wanted["Keys"])
            found[table] = [item for item in items if item]
        return {"Responses": found, "UnprocessedKeys": {}}
