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
    """Digests of the refresh tokens that documents hold, or that records say were spent, by credential."""

    _holders: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, name: str, stored: Versioned, record: StateRecord) -> None:
        """Enter a credential."""
        token = stored.content.fields.get("refresh_token") if isinstance(stored.content, Document) else None
        digests = {claim.digest for claim in record.presented}
        if isinstance(token, str) and token:
            digests.add(digest_of(Secret(token)))
        for digest in digests:
            self._holders.setdefault(digest, []).append((name, stored.identity))

    def sharer(self, name: str, stored: Versioned) -> str | None:
        """Return another credential that holds, or has spent, the token in this document."""
        token = stored.content.fields.get("refresh_token") if isinstance(stored.content, Document) else None
        if not isinstance(token, str) or not token:
            return None
        holders = self._holders.get(digest_of(Secret(token)), ())
        return next((other for other, _ in holders if other != name), None)

    def marked(self, observed: Observed) -> Observed:
        """Return what was observed, with the sharer noted in it."""
        situation = observed.situation
        other = self.sharer(situation.credential.name, situation.stored)
        if other is None:
            return observed
        return replace(observed, situation=replace(situation, shared_with=other))
