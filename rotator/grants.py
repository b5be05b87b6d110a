"""Which credentials share one grant: two documents with one refresh token are a double spend in waiting."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rotator.model import Document
from rotator.records import digest_of
from rotator.redact import Secret

if TYPE_CHECKING:
    from rotator.model import Versioned
    from rotator.observe import Observed
    from rotator.records import StateRecord


@dataclass(slots=True)
class GrantIndex:
    """Digests of the refresh tokens that documents hold, or that records say were spent, by credential.

    Args:
        with_spent: Also index what the records say was spent. A daemon that keeps the index for weeks does without, to
            stay small; it is told of every rotation (`replace`).
    """

    with_spent: bool = True
    _holders: dict[str, list[str]] = field(default_factory=dict)
    _newest: dict[str, str] = field(default_factory=dict)

    def replace(self, name: str, digest: str) -> None:
        """Enter the digest of the token that a credential's document holds now."""
        before = self._newest.pop(name, None)
        if before:
            self._holders[before].remove(name)
            if not self._holders[before]:
                del self._holders[before]
        if digest:
            self._newest[name] = digest
            self._holders.setdefault(digest, []).append(name)

    def add(self, name: str, stored: Versioned, record: StateRecord) -> None:
        """Enter what was read of a credential, in place of what was entered before."""
        digest = _digest_in(stored)
        self.replace(name, digest or "")
        if self.with_spent:
            for claim in record.presented:
                if claim.digest != digest:
                    self._holders.setdefault(claim.digest, []).append(name)

    def sharer(self, name: str) -> str | None:
        """Return another credential that holds, or has spent, the token in this one's document."""
        digest = self._newest.get(name)
        if digest is None:
            return None
        return next((other for other in self._holders.get(digest, ()) if other != name), None)

    def marked(self, observed: Observed) -> Observed:
        """Return what was observed, with the sharer noted in it."""
        situation = observed.situation
        other = self.sharer(situation.credential.name)
        if other is None:
            return observed
        return replace(observed, situation=replace(situation, shared_with=other))


def _digest_in(stored: Versioned) -> str | None:
    token = stored.content.fields.get("refresh_token") if isinstance(stored.content, Document) else None
    return digest_of(Secret(token)) if isinstance(token, str) and token else None
