"""A deadline for the whole answer, for HTTP clients that are built on urllib3: botocore and requests.

Their read timeout bounds each wait for a byte, so that a server which sends one now and then is waited for without end,
while a lease is held. Here the same timeout bounds the answer: status, headers and body. A thread with a timer that
closes the connection was rejected: one for each call, and what it closes may be the next call's by then.
"""

from __future__ import annotations

import http.client
import io
from typing import TYPE_CHECKING, Any

from rotator.clocks import SystemClock

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

_CLOCK = SystemClock()
"""No injected one: a socket waits in real time."""


def with_deadline(pools: Mapping[str, type[Any]]) -> dict[str, type[Any]]:
    """Return urllib3's connection pool classes by scheme as ones whose answers have a deadline."""
    return {scheme: _bounded(pool) for scheme, pool in pools.items()}


def _bounded(pool: type[Any]) -> type[Any]:
    connection = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), {"response_class": _Response})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


class _Response(http.client.HTTPResponse):
    """An answer that is read until the socket's timeout is over, counted from the end of the request."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        timeout_s = sock.gettimeout()
        if timeout_s is not None:
            self.fp = io.BufferedReader(_Reader(sock, self.fp.detach(), timeout_s))


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, raw: io.RawIOBase, timeout_s: float) -> None:
        self._sock = sock
        self._raw = raw
        self._ends_at = _CLOCK.monotonic_s() + timeout_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._ends_at - _CLOCK.monotonic_s()
        if left_s <= 0:
            raise TimeoutError("the answer took too long")  # as the socket itself does
        self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
