"""What the contract suites ask of an adapter's test: the adapter, and a way around it.

Methods that raise NotImplementedError are needed only where the suite's attribute of that name is True.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rotator.model import Document
    from rotator.ports import Escrow, RecordWriter, SecretStore, StateStore


class SecretStoreHarness(abc.ABC):
    """The store under test, and a way around it.

    The `raw_` methods act as another program that does not know rotator: they must not use `store`.
    """

    store: SecretStore

    @abc.abstractmethod
    def new_name(self) -> str:
        """Return the name of a secret that does not exist yet."""

    @abc.abstractmethod
    def raw_set(self, secret: str, content: str | bytes) -> None:
        """Set the current content, creating the secret if it does not exist."""

    @abc.abstractmethod
    def raw_get(self, secret: str) -> str | bytes:
        """Return the current content as JSON text."""

    @abc.abstractmethod
    def reopened(self) -> SecretStore:
        """Return another instance over the same backend, as another process would open it."""

    def raw_delete(self, secret: str) -> None:
        """Delete the secret or mark it deleted."""
        raise NotImplementedError("provide raw_delete, or set deletion_supported to the reason why not")

    def damage(self, secret: str) -> None:
        """Make the stored bytes of the secret undecodable."""
        raise NotImplementedError("provide damage, or set damage_supported to the reason why not")

    def refused_document(self) -> Document:
        """Return a document that the backend refuses for good."""
        raise NotImplementedError("provide refused_document, or set refusal_supported to the reason why not")

    def missing_store(self) -> SecretStore:
        """Return a store whose mount or folder does not exist."""
        raise NotImplementedError("provide missing_store, or set missing_supported to the reason why not")

    def denied_store(self) -> SecretStore:
        """Return a store over the same backend whose caller may do nothing."""
        raise NotImplementedError("provide denied_store, or set denied_supported to the reason why not")

    def unreachable_store(self) -> SecretStore:
        """Return a store that cannot reach its backend at all, so that surely nothing is applied."""
        raise NotImplementedError("provide unreachable_store, or set unreachable_supported to the reason why not")


class StateStoreHarness(abc.ABC):
    """The state store under test, and a way around it."""

    store: StateStore

    @abc.abstractmethod
    def reopened(self) -> StateStore:
        """Return another instance over the same backend, as another replica or the next run would open it."""

    def damage(self, key: str) -> None:
        """Make the stored bytes of the record undecodable, without using `store`."""
        raise NotImplementedError("provide damage, or set damage_supported to the reason why not")

    def refused_body(self) -> dict[str, Any]:
        """Return a body that the backend refuses for good."""
        raise NotImplementedError("provide refused_body, or set refusal_supported to the reason why not")

    def missing_store(self) -> StateStore:
        """Return a store whose table, mount or folder does not exist."""
        raise NotImplementedError("provide missing_store, or set missing_supported to the reason why not")

    def denied_store(self) -> StateStore:
        """Return a store over the same backend whose caller may do nothing."""
        raise NotImplementedError("provide denied_store, or set denied_supported to the reason why not")

    def unreachable_store(self) -> StateStore:
        """Return a store that cannot reach its backend at all, so that surely nothing is applied."""
        raise NotImplementedError("provide unreachable_store, or set unreachable_supported to the reason why not")


class EscrowHarness(abc.ABC):
    """The escrow under test, and the records that stand beside it or around it."""

    escrow: Escrow

    @abc.abstractmethod
    def writer(self, identity: str) -> RecordWriter:
        """Return a new writer with the secret's present record.

        An escrow inside the record needs the state store that it walks in `all_waiting`; for any other escrow
        `rotator.testing.memory.MemoryRecordWriter` will do.
        """

    @abc.abstractmethod
    def reopened(self) -> Escrow:
        """Return another instance over the same place, as the next run would open it."""

    def damage(self, identity: str) -> None:
        """Make the one entry of this secret undecodable, without using `escrow`."""
        raise NotImplementedError("provide damage, or set damage_supported to the reason why not")

    def broken(self) -> Escrow:
        """Return an escrow whose place can be neither read nor written."""
        raise NotImplementedError("provide broken, or set broken_supported to the reason why not")
