"""Each real state store on a bench: three independent instances, and what a person can do to a record."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from local_parts import sql
from vault_harness import MOUNT

from rotator import aws_session
from rotator.state.dynamodb import DynamoDbStateStore
from rotator.testing.memory import MemoryStateStore
from tests.stateful.differences import DYNAMODB_STATE, LOCAL_STATE, VAULT_STATE, StateDifferences
from tests.stateful.secret_benches import REPLICAS

if TYPE_CHECKING:
    import boto3
    from test_dynamodb_state import TableHarness
    from test_local import StateOnDisk
    from test_vault_state import Harness as RecordsInVault

    from rotator.ports import StateStore

CUT = '{"cut'


class StateModel(MemoryStateStore):
    """The in-memory state, whose records can be lost."""

    def __init__(self, differences: StateDifferences) -> None:
        super().__init__()
        self._marks = differences.deletion_is_a_mark is not None
        self._marked: set[str] = set()

    def read(self, key: str) -> tuple[Any, int]:
        """Return none for a record that was deleted; where that is a mark, with its revision."""
        return (None, self.revision(key)) if key in self._marked else super().read(key)

    def compare_and_swap(self, key: str, body: Any, *, expected: int) -> int:
        """Take the mark off, if there is one."""
        revision = super().compare_and_swap(key, body, expected=expected)
        self._marked.discard(key)
        return revision

    def raw_put(self, key: str, text: str) -> None:
        """Set the text, JSON or not."""
        super().raw_put(key, text)
        self._marked.discard(key)

    def raw_lose(self, key: str) -> None:
        """Delete the record as a person does."""
        if self._marks:
            self._marked.add(key)
        else:
            self._records.pop(key, None)

    def revision(self, key: str) -> int:
        """Return the revision, of an unreadable record too."""
        return self._records.get(key, ("", 0))[1]


class StateBench(abc.ABC):
    """A backend, its adapter three times, and a way around it. Keys begin with a folder of the example's own."""

    differences: StateDifferences
    stores: list[StateStore]

    @abc.abstractmethod
    def damage(self, key: str, revision: int) -> int:
        """Leave text that is no JSON in the record, as its revision `revision`, or as the one that is returned."""

    @abc.abstractmethod
    def lose(self, key: str) -> None:
        """Delete the record, if it is there."""

    def refused(self) -> dict[str, Any] | None:
        """Return a body that the backend refuses for good, if there is one."""
        return None


class LocalStateBench(StateBench):
    """One SQLite file."""

    differences = LOCAL_STATE

    def __init__(self, harness: StateOnDisk) -> None:
        self.path = harness.path
        self.stores = [harness.reopened() for _ in range(REPLICAS)]
        self.stores[0].prove_writable()

    def damage(self, key: str, revision: int) -> int:
        sql(self.path, "INSERT OR REPLACE INTO record (key, revision, body) VALUES (?, ?, ?)", key, revision, CUT)
        return revision

    def lose(self, key: str) -> None:
        sql(self.path, "DELETE FROM record WHERE key = ?", key)


class DynamoDbBench(StateBench):
    """One table on ministack; every instance has a client of its own."""

    differences = DYNAMODB_STATE

    def __init__(self, harness: TableHarness, session: boto3.Session, url: str) -> None:
        self.harness = harness
        self.stores = [
            DynamoDbStateStore(aws_session.client("dynamodb", endpoint_url=url, session=session), harness.table)
            for _ in range(REPLICAS)
        ]

    def damage(self, key: str, revision: int) -> int:
        self.harness.put_raw(key, revision={"N": str(revision)}, body={"S": CUT})
        return revision

    def lose(self, key: str) -> None:
        self.harness.client.delete_item(TableName=self.harness.table, Key={"id": {"S": key}})

    def refused(self) -> dict[str, Any]:
        return self.harness.refused_body()


class VaultStateBench(StateBench):
    """One folder of KV version 2; every instance has a session of its own."""

    differences = VAULT_STATE

    def __init__(self, harness: RecordsInVault) -> None:
        self.harness = harness
        self.stores = [harness.reopened() for _ in range(REPLICAS)]

    def damage(self, key: str, revision: int) -> int:
        answer = self.harness.vault.raw("POST", self._path("data", key), {"data": {"record": CUT}})
        return int(answer["data"]["version"])

    def lose(self, key: str) -> None:
        self.harness.vault.raw("DELETE", self._path("data", key))

    def refused(self) -> dict[str, Any]:
        return self.harness.refused_body()

    def _path(self, kind: str, key: str) -> str:
        return f"{MOUNT}/{kind}/{self.harness.path}/{quote(quote(key, safe=':'), safe='')}"
