"""The staging labels of a secret in Secrets Manager, and the version ids of fenced writes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rotator.stores.aws_listing import CURRENT
from rotator.stores.aws_writes import version_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREVIOUS: Final = "AWSPREVIOUS"
PENDING: Final = "AWSPENDING"

DISPLACED: Final = "rotator-displaced"
"""The label of a version that a write displaced and could not put back, so that AWS does not delete it."""

PINS: Final = 9
"""How many such versions a secret keeps, the later ones as `rotator-displaced-2` and so on: a person takes a label away
once the edit is dealt with. A secret has 20 labels at most."""

_PIN_LABELS: Final = (DISPLACED, *(f"{DISPLACED}-{number}" for number in range(2, PINS + 1)))
_FENCED = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a secret at one moment.

    Args:
        identity: The secret's ARN.
        of: The labels of each version that has any.
    """

    identity: str
    of: Mapping[str, Sequence[str]]

    @property
    def current(self) -> str | None:
        """The version that readers see."""
        return self._holder(CURRENT)

    @property
    def previous(self) -> str | None:
        """The version that was current before."""
        return self._holder(PREVIOUS)

    def pin_of(self, version: str) -> str | None:
        """Return rotator's own label of a displaced version, if it has one."""
        return next((label for label in self.of.get(version, ()) if label in _PIN_LABELS), None)

    def free_pin(self) -> str | None:
        """Return such a label that no version has, if there is one."""
        taken = {label for labels in self.of.values() for label in labels}
        return next((label for label in _PIN_LABELS if label not in taken), None)

    def _holder(self, label: str) -> str | None:
        return next((version for version, labels in self.of.items() if label in labels), None)


def fenced_id(write_id: str, expected: str, generation: int) -> str:
    """Return the version id of a fenced write; whoever sees it can tell which version it was to replace."""
    return f"{version_id(write_id, expected, generation)}-{_digest(expected)}"


def is_fenced(version: str) -> bool:
    """Return whether the id is that of a fenced write."""
    return _FENCED.fullmatch(version) is not None


def was_to_replace(fenced: str, version: str) -> bool:
    """Return whether the fenced write of this id was to replace `version`."""
    found = _FENCED.fullmatch(fenced)
    return found is not None and found[1] == _digest(version)


def _digest(version: str) -> str:
    return hashlib.blake2b(version.encode(), digest_size=8).hexdigest()
