"""Each real secret store on a bench: three independent instances, and the hands of people who do not know rotator."""

from __future__ import annotations

import abc
import contextlib
import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ReadTimeoutError
from local_parts import sql
from vault_harness import MOUNT

from rotator.clocks import SystemClock
from rotator.stores.aws import AwsSecretStore
from tests.stateful.differences import AWS_SECRETS, LOCAL_SECRETS, NO_DIFFERENCE, VAULT_SECRETS
from tests.stateful.secrets_model import SecretsModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from test_aws_store import SecretsOnMoto
    from test_local import SecretsOnDisk
    from test_vault_store import Harness as SecretsInVault

    from rotator.model import Document
    from rotator.ports import SecretStore
    from rotator.testing.contracts import SecretStoreHarness
    from tests.stateful.differences import SecretDifferences

REPLICAS = 3
LAST = ("UpdateSecretVersionStage", "CreateSecret")
"""The operations of Secrets Manager that make a write visible."""


class SecretBench(abc.ABC):
    """A backend, its adapter three times, and what other programs can do to it."""

    differences: SecretDifferences
    stores: list[SecretStore]
    harness: SecretStoreHarness
    has_labels = False
    """Whether a person can point at an earlier version, and make a secret without a value."""
    refuses = True

    def new_name(self) -> str:
        return self.harness.new_name()

    def edit(self, secret: str, content: str) -> None:
        self.harness.raw_set(secret, content)

    @abc.abstractmethod
    def delete(self, secret: str) -> None:
        """Delete it so that `restore` brings it back."""

    @abc.abstractmethod
    def restore(self, secret: str) -> None:
        """Bring it back as it was."""

    @abc.abstractmethod
    def wipe(self, secret: str) -> None:
        """Delete it for good, whether it is marked deleted or not."""

    def refused(self) -> Document:
        return self.harness.refused_document()

    @contextlib.contextmanager
    def between(self, store: SecretStore, act: Callable[[], None]) -> Iterator[None]:
        """Let `act` happen after everything that a write does but its last request.

        A write that is one request has nothing in between: then it happens before.
        """
        act()
        yield


class RemoteBench(SecretBench):
    """A store behind a connection, whose answers can be lost."""

    loses_answers = True
    """Whether the connection is in the hands of the test."""

    @abc.abstractmethod
    def losing(self, store: SecretStore, which: int) -> AbstractContextManager[bool]:
        """Break the connection in one of a write's requests; yields whether that request is carried out."""


class ModelBench(SecretBench):
    """The in-memory model against itself: what fails here is a fault of the machine."""

    differences = NO_DIFFERENCE
    refuses = False

    def __init__(self) -> None:
        self.memory = SecretsModel(self.differences)
        self.stores = [self.memory] * REPLICAS
        self._count = 0

    def new_name(self) -> str:
        self._count += 1
        return f"oauth/{self._count}"

    def edit(self, secret: str, content: str) -> None:
        self.memory.raw_put(secret, content)

    def delete(self, secret: str) -> None:
        self.memory.raw_delete(secret)

    def restore(self, secret: str) -> None:
        self.memory.raw_restore(secret)

    def wipe(self, secret: str) -> None:
        self.memory.raw_wipe(secret)


class LocalBench(SecretBench):
    """One SQLite file."""

    differences = LOCAL_SECRETS
    refuses = False

    def __init__(self, harness: SecretsOnDisk) -> None:
        self.harness = harness
        self.stores = [harness.reopened() for _ in range(REPLICAS)]
        self._removed: dict[str, Any] = {}

    def delete(self, secret: str) -> None:
        (self._removed[secret],) = sql(self.harness.path, "SELECT * FROM secret WHERE name = ?", secret)
        self.harness.raw_delete(secret)

    def restore(self, secret: str) -> None:
        sql(self.harness.path, "INSERT INTO secret VALUES (?, ?, ?, ?, ?, ?)", *self._removed.pop(secret))

    def wipe(self, secret: str) -> None:
        self.harness.raw_delete(secret)


class VaultBench(RemoteBench):
    """KV version 2, over HTTP."""

    differences = VAULT_SECRETS

    def __init__(self, harness: SecretsInVault) -> None:
        self.harness = harness
        self.vault = harness.vault
        self.stores = [harness.reopened() for _ in range(REPLICAS)]

    def delete(self, secret: str) -> None:
        self.harness.raw_delete(secret)

    def restore(self, secret: str) -> None:
        newest = self.vault.raw("GET", f"{MOUNT}/metadata/{secret}")["data"]["current_version"]
        self.vault.raw("POST", f"{MOUNT}/undelete/{secret}", {"versions": [newest]})

    def wipe(self, secret: str) -> None:
        self.vault.raw("DELETE", f"{MOUNT}/metadata/{secret}")

    @property
    def loses_answers(self) -> bool:  # type: ignore[override]
        """Only the double does, a real server does not."""
        return hasattr(self.vault, "double")

    @contextlib.contextmanager
    def losing(self, store: SecretStore, which: int) -> Iterator[bool]:
        applied = which % 2 == 0
        self.vault.double.drop(path=f"{MOUNT}/data", method="POST", applied=applied)  # type: ignore[attr-defined]
        yield applied
        self.vault.double._faults.clear()  # type: ignore[attr-defined] # a write that was never sent leaves it behind


class AwsBench(RemoteBench):
    """Secrets Manager, over HTTP."""

    differences = AWS_SECRETS
    has_labels = True

    def __init__(self, harness: SecretsOnMoto) -> None:
        self.harness = harness
        self.client = harness.client
        self.clients = [harness._client("moto") for _ in range(REPLICAS)]
        self.stores = [AwsSecretStore("main", client, SystemClock()) for client in self.clients]

    def edit(self, secret: str, content: str) -> None:
        try:
            self.harness.raw_set(secret, content)
        except self.client.exceptions.ResourceExistsException:  # it exists and holds no value yet
            self.client.put_secret_value(SecretId=secret, SecretString=content)

    def delete(self, secret: str) -> None:
        self.client.delete_secret(SecretId=secret, RecoveryWindowInDays=7)

    def restore(self, secret: str) -> None:
        self.client.restore_secret(SecretId=secret)

    def wipe(self, secret: str) -> None:
        with contextlib.suppress(self.client.exceptions.InvalidRequestException):
            self.client.restore_secret(SecretId=secret)
        self.harness.raw_delete(secret)

    def make_empty(self, secret: str) -> None:
        self.client.create_secret(Name=secret)

    def roll_back(self, secret: str, version: str) -> None:
        current = self.client.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")["VersionId"]
        if current != version:
            self.client.update_secret_version_stage(
                SecretId=secret, VersionStage="AWSCURRENT", RemoveFromVersionId=current, MoveToVersionId=version
            )

    @contextlib.contextmanager
    def between(self, store: SecretStore, act: Callable[[], None]) -> Iterator[None]:
        pending = [act]

        def handler(**_: object) -> None:
            if pending:
                pending.pop()()

        with self._on(store, "before-call", LAST, handler):
            yield

    @contextlib.contextmanager
    def losing(self, store: SecretStore, which: int) -> Iterator[bool]:
        def lose(**_: object) -> None:
            raise ReadTimeoutError(endpoint_url="http://moto")

        with self._on(store, "before-parse", (("PutSecretValue",), LAST)[which % 2], lose):
            yield True

    @contextlib.contextmanager
    def _on(self, store: SecretStore, moment: str, operations: tuple[str, ...], handler: Any) -> Iterator[None]:
        events = self.clients[self.stores.index(store)].meta.events
        names = [f"{moment}.secrets-manager.{operation}" for operation in operations]
        for name in names:
            events.register_first(name, handler)
        try:
            yield
        finally:
            for name in names:
                events.unregister(name, handler)


def text_of(fields: dict[str, Any]) -> str:
    """Return the text that another program puts; not rotator's own form."""
    return json.dumps(fields, indent=1)
