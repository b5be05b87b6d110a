"""The token endpoint, with its HTTP and TLS libraries imported when the first request is at hand.

A pass that finds nothing due sends nothing, and most passes do: for a CronJob of some hundred credentials these imports
were a sixth of the whole run.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rotator.model import Provider, RefreshRequest, TokenAnswer
    from rotator.ports import Clock, Ids, TokenEndpoint


class LateEndpoint:
    """`ports.TokenEndpoint`, in front of `rotator.token_endpoint.HttpTokenEndpoint`. Thread-safe."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._made: TokenEndpoint | None = None
        self._lock = threading.Lock()

    def warm_up(self, provider: Provider) -> None:
        """See `TokenEndpoint.warm_up`."""
        self._real().warm_up(provider)

    def refresh(self, request: RefreshRequest, *, deadline_s: float, begun_s: float | None = None) -> TokenAnswer:
        """See `TokenEndpoint.refresh`."""
        return self._real().refresh(request, deadline_s=deadline_s, begun_s=begun_s)

    def reachable(self, endpoint: str, *, deadline_s: float) -> str | None:
        """See `TokenEndpoint.reachable`."""
        return self._real().reachable(endpoint, deadline_s=deadline_s)

    def _real(self) -> TokenEndpoint:
        with self._lock:
            if self._made is None:
                from rotator.token_endpoint import HttpTokenEndpoint  # noqa: PLC0415 - on use

                self._made = HttpTokenEndpoint(self._clock, self._ids)
            return self._made
