"""One connection with one total deadline, which knows whether anything of the request was handed over.

It is httpcore's network backend: httpcore and h11 speak HTTP, every byte passes here. httpcore's own backend was
rejected for two reasons: its timeouts begin anew with every address, read and write, so that a server that trickles
can hold a request for hours; and whether a request was sent would have to be guessed from exception types.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, Literal

import httpcore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from rotator.ports import Clock

RECORDED_BYTES = 1 << 20

Phase = Literal["resolving the host name", "connecting", "the TLS handshake", "sending", "waiting for the reply"]


class Wire(httpcore.NetworkBackend):
    """A connection of one request. For one thread, used once; `close` it in any case.

    Args:
        deadline_s: Seconds until everything has to be over. Name resolution alone can take longer: the
            system's resolver takes no deadline.
        begun_s: The monotonic reading from which they count; None is now.
    """

    def __init__(self, clock: Clock, deadline_s: float, begun_s: float | None = None) -> None:
        self._clock = clock
        self._ends_at_s = (clock.monotonic_s() if begun_s is None else begun_s) + deadline_s
        self._socket: socket.socket | None = None
        self.phase: Phase = "resolving the host name"
        self.sent_at: datetime | None = None
        """When the first byte of the request was about to be handed to the socket; None while nothing was."""
        self.received = bytearray()
        """The raw beginning of what arrived, for a reply that is no HTTP."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the port's; the total deadline decides
        local_address: str | None = None,  # noqa: ARG002 - the port's; never configured
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - the port's; never configured
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; the time that is left is shared between those not yet tried.

        Raises:
            OSError: None answered.
        """
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.phase = "connecting"
        for position, (family, kind, protocol, _, address) in enumerate(addresses):
            self.close()
            self._socket = socket.socket(family, kind, protocol)
            try:
                self._socket.settimeout(self._left_s() / (len(addresses) - position))
                self._socket.connect(address)
                break
            except OSError:
                if position == len(addresses) - 1:
                    raise
        self._connected().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.phase = "sending"
        return _Stream(self)

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Put TLS on the connection.

        Raises:
            OSError: The handshake failed; an `ssl.SSLError` where TLS itself is the reason.
        """
        self.phase = "the TLS handshake"
        plain = self._connected()
        plain.settimeout(self._left_s())  # the handshake as a whole: CPython counts its steps against one deadline
        self._socket = context.wrap_socket(plain, server_hostname=host)
        self.phase = "sending"

    def write(self, data: bytes) -> None:
        """Hand over bytes of the request.

        Raises:
            TimeoutError: The deadline is over. Before the first byte nothing was handed over then.
            httpcore.WriteError: The peer closed; it may have answered first, so httpcore reads on.
        """
        left = memoryview(data)
        while left:
            connection = self._connected()
            connection.settimeout(self._left_s())
            if self.sent_at is None:
                self.sent_at = self._clock.now()
            try:
                left = left[connection.send(left) :]
            except TimeoutError:
                raise
            except OSError as error:
                raise httpcore.WriteError(str(error)) from None

    def read(self, most_bytes: int) -> bytes:
        """Return what arrived; nothing at the end.

        What has arrived by the end of the deadline is taken even after it: a process that did not run meanwhile must
        not throw away tokens that lie before it.

        Raises:
            OSError: The connection broke or the deadline is over.
        """
        self.phase = "waiting for the reply"
        connection = self._connected()
        left_s = self._ends_at_s - self._clock.monotonic_s()
        connection.settimeout(max(0.0, left_s))
        try:
            data = connection.recv(most_bytes)
        except (BlockingIOError, ssl.SSLWantReadError):
            raise TimeoutError("the deadline is over") from None
        self.received += data[: RECORDED_BYTES - len(self.received)]
        return data

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise OSError("not connected")
        return self._socket

    def _left_s(self) -> float:
        left_s = self._ends_at_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise TimeoutError("the deadline is over")
        return left_s


class _Stream(httpcore.NetworkStream):
    """httpcore's view of a wire; its timeouts are the port's and give way to the wire's one deadline."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - as above
        return self._wire.read(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - as above
        self._wire.write(buffer)

    def close(self) -> None:
        self._wire.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - as above
    ) -> httpcore.NetworkStream:
        self._wire.secure(ssl_context, server_hostname or "")
        return self
