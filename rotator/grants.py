"""Which credentials share one grant: two documents with one refresh token are a double spend in waiting."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rotator.records import stored_digest

if TYPE_CHECKING:
    from rotator.model import Versioned
    from rotator.observe import Observed
    from rotator.records import StateRecord


@dataclass(slots=True)
class GrantIndex:
    """Digests of the refresh tokens that documents hold, or that records say were spent, by credential."""

    _holders: dict[str, set[str]] = field(default_factory=dict)
    _newest: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, stored: Versioned, record: StateRecord) -> None:
        """Enter what was read of a credential: the token in its document, and those that were presented for it.

        A token that its document held before and that was never presented is free again: somebody took it out.
        """
        before = self._newest.get(name)
        if before:
            self._holders[before].discard(name)
        for claim in record.presented:
            self._holders.setdefault(claim.digest, set()).add(name)
        self.rotated(name, stored_digest(stored))

    def rotated(self, name: str, digest: str) -> None:
        """Enter the digest of the token that a credential's document holds now; the one before counts as spent."""
        if digest:
            self._newest[name] = digest
            self._holders.setdefault(digest, set()).add(name)
        else:
            self._newest.pop(name, None)

    def sharer(self, name: str) -> str | None:
        """Return another credential that holds, or has spent, the token in this one's document."""
        digest = self._newest.get(name)
        others = self._holders.get(digest, set()) - {name} if digest else set()
        return min(others, default=None)

    def judged(self, observed: Observed) -> Observed:
        """Enter what was observed, and return it with the sharer noted in it."""
        situation = observed.situation
        self.add(situation.credential.name, situation.stored, situation.record)
        return self.marked(observed)

    def marked(self, observed: Observed) -> Observed:
        """Return what was observed, with the sharer noted in it."""
        situation = observed.situation
        other = self.sharer(situation.credential.name)
        if other is None:
            return observed
        return replace(observed, situation=replace(situation, shared_with=other))
