"""What a secret store has to answer: the in-memory store, and the acts of people that it does not offer itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from rotator.documents import document_text
from rotator.errors import StoreRejected, VersionConflict
from rotator.model import Document, Malformed, Versioned
from rotator.testing.memory import MemorySecretStore, VirtualClock, _Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rotator.model import Found, Listed
    from tests.stateful.differences import SecretDifferences

NO_VALUE = "\0no value"
"""The content of a secret that exists and never held a value."""


class SecretsModel(MemorySecretStore):
    """The in-memory store, with deletions that can be undone, roll-backs and secrets without a value.

    Args:
        differences: What of the adapter's nature it takes on (`tests.stateful.differences`).
    """

    def __init__(self, differences: SecretDifferences) -> None:
        super().__init__("model", VirtualClock())
        self._differences = differences
        self._marked: dict[str, _Version] = {}
        self._kept: dict[str, dict[int, _Version]] = {}
        self._by_write: dict[tuple[str, str, str, str | None], _Version] = {}

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """Answer as the in-memory store does, but for the differences."""
        current, differences = self._current.get(secret), self._differences
        if secret in self._marked:
            if differences.deletion_is_a_mark:
                if expected != str(self._marked[secret].number):
                    raise VersionConflict(secret, expected=expected)
                self._current[secret] = self._marked.pop(secret)
            elif differences.deleted_name_is_taken and expected is None:
                raise StoreRejected(secret)
        elif current is not None and current.content == NO_VALUE:
            unfenced = differences.first_value_is_unfenced and expected is not None
            if expected != "" and not unfenced:
                raise VersionConflict(secret, expected=expected)
            return self._versioned(secret, self._add(secret, document_text(document), write_id, expected))
        if differences.ids_are_not_kept:
            write_id, document = "", _in_order(document)
        return super().compare_and_swap(secret, document, expected=expected, write_id=write_id)

    def versions(self, secrets: Sequence[str]) -> dict[str, Listed]:
        """Leave out what has no current version."""
        return {name: listed for name, listed in super().versions(secrets).items() if listed.version != "0"}

    def find(self, prefix: str, labels: Mapping[str, str]) -> dict[str, Found]:
        """Give what has no current version none."""
        found = super().find(prefix, labels)
        return {name: replace(one, version=None) if one.version == "0" else one for name, one in found.items()}

    def copy(self) -> SecretsModel:
        """Return a model that stands where this one stands."""
        other = SecretsModel(self._differences)
        for name in ("_current", "_numbers", "_marked", "_by_write"):
            setattr(other, name, dict(getattr(self, name)))
        other._kept = {secret: dict(versions) for secret, versions in self._kept.items()}
        return other

    # ------------------------------------------------------------------------------------------- what people do

    def raw_put(self, secret: str, content: str | bytes) -> None:
        """Set the content; where ids are not kept, what it replaced stands beside it."""
        if not self._differences.ids_are_not_kept:
            self._add(secret, content)
            return
        before = self._current.get(secret) or self._marked.get(secret)
        text = document_text(_in_order(Document(json.loads(content))))
        self._add(secret, text, replaced=str(before.number) if before else None)

    def raw_delete(self, secret: str) -> None:
        """Delete it so that it can be restored."""
        self._marked[secret] = self._current.pop(secret)

    def raw_restore(self, secret: str) -> None:
        """Undo the deletion."""
        self._current[secret] = self._marked.pop(secret)

    def raw_wipe(self, secret: str) -> None:
        """Delete it for good."""
        self._current.pop(secret, None)
        self._marked.pop(secret, None)
        self._kept.pop(secret, None)

    def raw_make_empty(self, secret: str) -> None:
        """Make the secret without a value."""
        self._current[secret] = _Version(0, NO_VALUE, Malformed("it holds no value yet"), self._clock.now())

    def raw_roll_back(self, secret: str, number: int) -> None:
        """Make an earlier version current again."""
        self._current[secret] = self._kept[secret][number]

    def numbers(self, secret: str) -> list[int]:
        """Return which versions a person could roll back to."""
        return sorted(self._kept.get(secret, ()))

    def state_of(self, secret: str) -> str:
        """Return `there`, `empty`, `marked` or `absent`."""
        if secret in self._current:
            return "empty" if self._current[secret].content == NO_VALUE else "there"
        return "marked" if secret in self._marked else "absent"

    # -------------------------------------------------------------------------------------------------- within

    def _add(
        self,
        secret: str,
        content: str | bytes,
        write_id: str = "",
        replaced: str | None = None,
        parsed: Document | None = None,
    ) -> _Version:
        key = (secret, write_id, str(content), replaced)
        again = self._by_write.get(key) if self._differences.one_write_one_version and write_id else None
        if again is not None:
            self._current[secret] = again
        else:
            if self._differences.numbers_begin_anew:
                before = self._current.get(secret)
                if before is None and self._differences.deletion_is_a_mark:
                    before = self._marked.get(secret)
                self._numbers[secret] = before.number if before else 0
            super()._add(secret, content, write_id, replaced, parsed)
            self._by_write[key] = self._current[secret]
        self._marked.pop(secret, None)
        self._kept.setdefault(secret, {})[self._current[secret].number] = self._current[secret]
        return self._current[secret]

    def _versioned(self, secret: str, held: _Version) -> Versioned:
        versioned = super()._versioned(secret, held)
        return replace(versioned, version="", created_at=None) if held.content == NO_VALUE else versioned


def _in_order(document: Document) -> Document:
    return replace(document, fields=json.loads(json.dumps(dict(document.fields), sort_keys=True)))
