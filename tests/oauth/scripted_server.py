"""A raw TCP or TLS server whose every connection follows a script, and which keeps what it was sent."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

DEADLINE_S = 10.0
"""How long a script waits for a client that should have spoken."""


@dataclass
class Heard:
    """A request as it came: its head's lines and its body."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return the values of all headers of that name."""
        return [value for header, value in self.headers if header.lower() == name.lower()]


@dataclass
class ScriptedServer:
    """Serves one connection after the other on loopback.

    Args:
        script: What to do with an accepted connection; its end closes the connection.
        tls: The handshake is done before the script runs.
    """

    script: Callable[[ScriptedServer, socket.socket], None]
    tls: ssl.SSLContext | None = None
    connections: int = 0
    heard: list[Heard] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    ended: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE_S)

    def url(self, host: str = "127.0.0.1", path: str = "/token") -> str:
        """Return an address of this server."""
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def _serve(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(DEADLINE_S)
            try:
                self._follow(connection)
            except OSError:
                pass  # what the client makes of it is the test's matter
            finally:
                connection.close()
                self.ended.release()

    def _follow(self, connection: socket.socket) -> None:
        if self.tls is None:
            self.script(self, connection)
            return
        with self.tls.wrap_socket(connection, server_side=True) as secured:
            self.script(self, secured)

    def wait_for_an_end(self) -> None:
        """Wait until a connection's script is over."""
        assert self.ended.acquire(timeout=DEADLINE_S)

    def hear(self, connection: socket.socket) -> Heard:
        """Read one whole request and keep it."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                raise ConnectionResetError
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (one.partition(":") for one in lines)]
        heard = Heard(line, headers, body)
        length = int(heard.values("content-length")[0])
        while len(heard.body) < length:
            heard.body += connection.recv(65536)
        self.heard.append(heard)
        return heard


def answering(*parts: bytes) -> Callable[[ScriptedServer, socket.socket], None]:
    """Return a script that reads the request, sends these bytes and closes."""

    def script(server: ScriptedServer, connection: socket.socket) -> None:
        server.hear(connection)
        for part in parts:
            connection.sendall(part)

    return script


def reset(connection: socket.socket) -> None:
    """Close a connection with a reset instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def message(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """Return a whole reply; `length` overrides its Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
