"""Each real state store answers like the in-memory model, with replicas that race and records that are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_dynamodb_state import TableHarness
from test_local import StateOnDisk
from test_vault_state import Harness as RecordsInVault
from vault_harness import vault

from tests.adapters.conftest import AwsStub, stub
from tests.stateful.running import walk
from tests.stateful.state_benches import DynamoDbBench, LocalStateBench, VaultStateBench
from tests.stateful.state_store_machine import machine_on

if TYPE_CHECKING:
    from pathlib import Path

    import boto3
    from vault_harness import Vault

__all__ = ["stub", "vault"]


def test_the_local_state_answers_like_the_model(tmp_path: Path) -> None:
    """SQLite: three instances on one file, and a person with the sqlite3 program."""
    walk(machine_on(LocalStateBench(StateOnDisk(tmp_path))), 12)


def test_the_vault_state_answers_like_the_model(vault: Vault) -> None:
    """Vault's KV version 2 over HTTP: three sessions, and a person who deletes and damages records."""
    walk(machine_on(VaultStateBench(RecordsInVault(vault))), 12)


def test_the_dynamodb_state_answers_like_the_model(
    fake_session: boto3.Session, ministack_url: str, stub: AwsStub
) -> None:
    """DynamoDB over HTTP, on ministack, which lets one writer win: three clients, and a person in the console."""
    harness = TableHarness(fake_session, ministack_url, stub, stub.url)
    walk(machine_on(DynamoDbBench(harness, fake_session, ministack_url)), 12)
