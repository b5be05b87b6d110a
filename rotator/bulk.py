"""The half of the secret store's port that deals with many secrets at once, and what its adapters share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rotator.model import Listed


class BulkReads(Protocol):
    """Listing: as `rotator.ports` says of every port."""

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """Return identity and current version of each secret, without reading a value.

        For noticing changes cheaply. Secrets that do not exist, that hold no value, or that the listing does not show
        yet, are left out; the answer may lag by minutes.

        Raises:
            StoreMissing: As in `read`.
            StoreDenied: Listing is not allowed.
            StoreUnavailable: No answer.
        """
        ...
