"""What the contract suites ask of an adapter's test: the adapter, and a way around it.

Every step is asked for, so that none is forgotten. One that a backend cannot show calls
`rotator.testing.contracts.cannot_show` with the reason, which skips the tests that need it.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rotator.ports import SecretStore, StateStore

if TYPE_CHECKING:
    from rotator.model import Document
    from rotator.ports import Escrow, RecordWriter

_Store = TypeVar("_Store")


class StoreHarness(abc.ABC, Generic[_Store]):
    """What a secret store's harness and a state store's have in common."""

    store: _Store

    @abc.abstractmethod
    def reopened(self) -> _Store:
        """Return another instance over the same backend, as another replica or the next run would open it."""

    @abc.abstractmethod
    def damage(self, name: str, /) -> None:
        """Make the stored bytes of the secret or record undecodable, without using `store`."""

    @abc.abstractmethod
    def missing_store(self) -> _Store:
        """Return a store whose table, mount or folder does not exist."""

    @abc.abstractmethod
    def denied_store(self) -> _Store:
        """Return a store over the same backend whose caller may do nothing."""

    @abc.abstractmethod
    def unreachable_store(self) -> _Store:
        """Return a store that cannot reach its backend at all, so that surely nothing is applied."""


class SecretStoreHarness(StoreHarness[SecretStore]):
    """The store under test, and a way around it.

    The `raw_` methods act as another program that does not know rotator: they must not use `store`.
    """

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
    def raw_delete(self, secret: str) -> None:
        """Delete the secret or mark it deleted."""

    @abc.abstractmethod
    def raw_label(self, secret: str, labels: dict[str, str]) -> None:
        """Put labels (tags, custom metadata) on a secret that has none."""

    @abc.abstractmethod
    def refused_document(self) -> Document:
        """Return a document that the backend refuses for good."""


class StateStoreHarness(StoreHarness[StateStore]):
    """The state store under test, and a way around it."""

    @abc.abstractmethod
    def refused_body(self) -> dict[str, Any]:
        """Return a body that the backend refuses for good."""


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

    @abc.abstractmethod
    def damage(self, identity: str) -> None:
        """Make the one entry of this secret undecodable, without using `escrow`."""

    @abc.abstractmethod
    def broken(self) -> Escrow:
        """Return an escrow whose place can be neither read nor written."""
