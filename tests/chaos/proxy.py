"""A TCP proxy on loopback that loses or slows requests and replies by seeded chance, and remembers what it did."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from types import TracebackType

Fate = Literal[
    "pass",
    "delay",
    "drip",
    "cut_before",
    "reset_before",
    "gateway_before",
    "cut_after",
    "reset_after",
    "truncate",
    "gateway_after",
    "client_left",
    "no_answer",
]
"""What became of one request and its reply.

`delay`: passed on late. `drip`: the reply arrives whole, piece by piece. `cut_…` closes the client's connection in
order, `reset_…` with RST, `gateway_…` answers with a gateway's 502; `…_before`: the server never sees the request;
`…_after`: the server answered and the client does not get its reply. `truncate`: half of the reply's first piece is
passed on. Not by chance: `client_left`: the client closed before the reply; `no_answer`: the server did.
"""

BEFORE: tuple[Fate, ...] = ("cut_before", "reset_before", "gateway_before")
CUT: tuple[Fate, ...] = ("cut_after", "reset_after", "truncate", "gateway_after")
LOST: tuple[Fate, ...] = (*CUT, "client_left")
"""The server answered and the client has no reply."""

LONGEST_DELAY_S = 0.5
IDLE_S = 60.0
DRAIN_S = 5.0
PIECES = 6
"""Into so many a reply that drips is cut."""

KEPT_BYTES = 65_536
"""Of a request: more than any state record has, so that a note is found wherever it stands."""

SLICE = 65_536
STATUS = slice(9, 12)
"""Where the status stands in `HTTP/1.1 200 OK`."""

BAD_GATEWAY = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 28\r\nConnection: close\r\n\r\n"
    b"<html>502 Bad Gateway</html>"
)


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its reply.

    Args:
        began_s: Wall-clock time of the first byte of the request, like all times here.
        request: Its first bytes.
        answered_s: When the first byte of the reply came from the server; None if none came.
        status: Of the reply, `200` say.
        delivered_s: When the first piece of the reply was handed to the client's connection whole.
        slow_s: How long a delay or a drip takes in all.
    """

    fate: Fate
    began_s: float
    request: bytearray = field(default_factory=bytearray)
    answered_s: float | None = None
    status: bytes = b""
    delivered_s: float | None = None
    slow_s: float = 0.0

    @property
    def lost_after_answer(self) -> bool:
        """Whether the server answered and the client cannot have read it."""
        return self.answered_s is not None and self.fate in LOST


class Proxy:
    """Stands before one server, for `with`. Knows enough of HTTP/1.1 to tell where a request begins: after a reply.

    Args:
        chances: Of each fate; what is left is `pass`. An empty mapping lets everything through.
        unhurried: Requests that begin with one of these are never delayed.
        keep: Whether exchanges are remembered one by one, or only counted.
        note: What to look for in requests: its first group goes to `noted`, with the time of the first reply that said
            200 to it.
    """

    def __init__(
        self,
        target: str,
        seed: int,
        chances: Mapping[Fate, float] | None = None,
        *,
        unhurried: tuple[bytes, ...] = (),
        keep: bool = False,
        note: re.Pattern[bytes] | None = None,
    ) -> None:
        parts = urlsplit(target)
        assert parts.hostname
        assert parts.port
        self._target = (parts.hostname, parts.port)
        self._random = random.Random(seed)
        self._unhurried = unhurried
        self._keep = keep
        self._note = note
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(0.1)
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self.chances: Mapping[Fate, float] = dict(chances or {})
        self.counts: Counter[str] = Counter()
        self.exchanges: list[Exchange] = []
        self.noted: dict[str, float] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._listener.close()

    def calm(self) -> None:
        """Let everything through from now on."""
        self.chances = {}

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=self._serve, args=(client,), name="proxied", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with socket.create_connection(self._target, timeout=IDLE_S) as server:
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._relay(client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        exchange: Exchange | None = None
        while not self._stopped.is_set():
            ready, _, _ = select.select([client, server], [], [], IDLE_S)
            if not ready:
                return
            if client in ready:
                data = _received(client)
                if not data:
                    self._left(exchange, server)
                    return
                if exchange is None or exchange.answered_s is not None:
                    exchange = self._begun(data)
                    if exchange.fate in BEFORE:
                        _end(client, exchange.fate)
                        return
                exchange.request += data[: KEPT_BYTES - len(exchange.request)]
                server.sendall(data)
            elif not self._answer(exchange, client, server):
                return

    def _answer(self, exchange: Exchange | None, client: socket.socket, server: socket.socket) -> bool:
        """Pass a piece of a reply on; False when the connection is over."""
        data = _received(server)
        if exchange is None:
            return False
        first = exchange.answered_s is None
        if not data:
            if first:
                self._now(exchange, "no_answer")
            return False
        if first:
            self._answered(exchange, data)
        if exchange.fate in {"cut_after", "reset_after", "gateway_after"}:
            _end(client, exchange.fate)
            return False
        if exchange.fate == "truncate":
            client.sendall(data[: len(data) // 2])
            return False
        try:
            if exchange.fate == "drip" and first:
                _drip(client, data, exchange.slow_s)
            else:
                client.sendall(data)
        except OSError:
            self._now(exchange, "client_left")
            return False
        if first:
            exchange.delivered_s = time.time()
        return True

    def _left(self, exchange: Exchange | None, server: socket.socket) -> None:
        """Note that the client went away, and whether the server answered all the same."""
        if exchange is None or exchange.answered_s is not None:
            return
        server.settimeout(DRAIN_S)
        with contextlib.suppress(OSError):
            data = server.recv(SLICE)
            if data:
                self._answered(exchange, data)
        self._now(exchange, "client_left")

    def _answered(self, exchange: Exchange, data: bytes) -> None:
        exchange.answered_s, exchange.status = time.time(), data[STATUS]
        if self._note and exchange.status == b"200":
            with self._lock:
                for found in self._note.findall(bytes(exchange.request)):
                    self.noted.setdefault(found.decode(), exchange.answered_s)

    def _begun(self, head: bytes) -> Exchange:
        with self._lock:
            drawn, delay_s = self._random.random(), self._random.uniform(0.05, LONGEST_DELAY_S)
            fate: Fate = "pass"
            for name, chance in self.chances.items():
                if drawn < chance:
                    fate = name
                    break
                drawn -= chance
            if fate == "delay" and head.startswith(self._unhurried or (b"\0",)):
                fate = "pass"
            self.counts[fate] += 1
            exchange = Exchange(fate, time.time(), slow_s=delay_s)
            if self._keep:
                self.exchanges.append(exchange)
        if fate == "delay":
            time.sleep(delay_s)
        return exchange

    def _now(self, exchange: Exchange, fate: Fate) -> None:
        with self._lock:
            self.counts[exchange.fate] -= 1
            self.counts[fate] += 1
            exchange.fate = fate


def _received(end: socket.socket) -> bytes:
    """Return what came; nothing when the other end closed or reset."""
    try:
        return end.recv(SLICE)
    except OSError:
        return b""


def _end(client: socket.socket, fate: Fate) -> None:
    if fate.startswith("gateway"):
        client.sendall(BAD_GATEWAY)
    if fate.startswith("reset"):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def _drip(client: socket.socket, data: bytes, seconds: float) -> None:
    size = -(-len(data) // PIECES)
    for start in range(0, len(data), size):
        if start:
            time.sleep(seconds / PIECES)
        client.sendall(data[start : start + size])
