"""Each real secret store answers like the in-memory model, whoever writes and whatever happens in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_aws_store import SecretsOnMoto
from test_local import SecretsOnDisk
from test_vault_store import Harness as SecretsInVault
from vault_harness import vault

from tests.stateful.running import walk
from tests.stateful.secret_benches import AwsBench, LocalBench, ModelBench, VaultBench
from tests.stateful.secret_store_machine import machine_on

if TYPE_CHECKING:
    from pathlib import Path

    import boto3
    from vault_harness import Vault

__all__ = ["vault"]


def test_the_model_answers_like_itself() -> None:
    """The machine finds nothing where there is nothing to find."""
    walk(machine_on(ModelBench()), 20)


def test_the_local_store_answers_like_the_model(tmp_path: Path) -> None:
    """SQLite: three instances on one file, and a person with the sqlite3 program."""
    walk(machine_on(LocalBench(SecretsOnDisk(tmp_path))), 15)


def test_the_vault_store_answers_like_the_model(vault: Vault) -> None:
    """Vault's KV version 2 over HTTP: three sessions, and a person with the vault program."""
    walk(machine_on(VaultBench(SecretsInVault(vault))), 15)


def test_the_aws_store_answers_like_the_model(fake_session: boto3.Session, moto_url: str) -> None:
    """Secrets Manager over HTTP: three clients, and a person who edits, deletes, restores and moves labels."""
    walk(machine_on(AwsBench(SecretsOnMoto(fake_session, moto_url, moto_url, moto_url))), 12)
