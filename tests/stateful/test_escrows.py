"""Each escrow keeps what the in-memory model keeps, through stale writers, races, crashes in between and damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_dynamodb_state import TableHarness
from test_local import StateOnDisk
from test_vault_state import Harness as RecordsInVault
from vault_harness import vault

from rotator.testing.memory import MemoryStateStore
from tests.adapters.conftest import AwsStub, stub
from tests.stateful.escrow_machine import FileBench, RecordBench, machine_on
from tests.stateful.running import walk
from tests.stateful.secret_benches import REPLICAS
from tests.stateful.state_benches import DynamoDbBench, LocalStateBench, VaultStateBench

if TYPE_CHECKING:
    from pathlib import Path

    import boto3
    from vault_harness import Vault

__all__ = ["stub", "vault"]


def test_the_file_escrow_keeps_what_the_model_keeps(tmp_path: Path) -> None:
    """One folder, three instances, and a disk that cuts files."""
    walk(machine_on(FileBench(tmp_path / "escrow")), 20)


def test_the_record_escrow_keeps_what_the_model_keeps() -> None:
    """Records in the in-memory state."""
    walk(machine_on(RecordBench([MemoryStateStore()] * REPLICAS)), 30)


def test_the_record_escrow_in_the_local_state_keeps_what_the_model_keeps(tmp_path: Path) -> None:
    """Records in SQLite, each replica with its own instance."""
    walk(machine_on(RecordBench(LocalStateBench(StateOnDisk(tmp_path)).stores)), 6)


def test_the_record_escrow_in_vault_keeps_what_the_model_keeps(vault: Vault) -> None:
    """Records in Vault over HTTP, each replica with its own session."""
    walk(machine_on(RecordBench(VaultStateBench(RecordsInVault(vault)).stores)), 4)


def test_the_record_escrow_in_dynamodb_keeps_what_the_model_keeps(
    fake_session: boto3.Session, ministack_url: str, stub: AwsStub
) -> None:
    """Records in DynamoDB over HTTP, each replica with its own client."""
    harness = TableHarness(fake_session, ministack_url, stub, stub.url)
    walk(machine_on(RecordBench(DynamoDbBench(harness, fake_session, ministack_url).stores)), 4)
