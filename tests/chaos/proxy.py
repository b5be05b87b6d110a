"""A TCP proxy on loopback that loses requests and replies by seeded chance, and remembers what it did to each."""

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
    from collections.abc import Mapping
    from types import TracebackType

Fate = Literal[
    "pass", "delay", "cut_before", "reset_before", "cut_after", "reset_after", "truncate", "client_left", "no_answer"
]
"""What became of one request and its reply.

`delay`: passed on late. `cut_…` closes the client's connection in order, `reset_…` with RST; `…_before`: the server
never sees the request; `…_after`: the server answered and the client gets nothing. `truncate`: half of the reply's
first piece is passed on. Not by chance: `client_left`: the client closed before the reply; `no_answer`: the server did.
"""

BEFORE: tuple[Fate, ...] = ("cut_before", "reset_before")
LOST: tuple[Fate, ...] = ("cut_after", "reset_after", "truncate", "client_left")
"""The server answered and the client has no reply."""

CHANCES: dict[Fate, float] = {
    "delay": 0.10,
    "cut_before": 0.03,
    "reset_before": 0.03,
    "cut_after": 0.02,
    "reset_after": 0.02,
    "truncate": 0.01,
}
PROVIDER_CHANCES: dict[Fate, float] = {
    "delay": 0.15,
    "cut_before": 0.05,
    "reset_before": 0.05,
    "cut_after": 0.04,
    "reset_after": 0.04,
    "truncate": 0.04,
}
"""Stores are asked ten times as often."""

LONGEST_DELAY_S = 0.5
IDLE_S = 60.0
DRAIN_S = 5.0
KEPT_BYTES = 16_384
SLICE = 65_536
STATUS = slice(9, 12)
"""Where the status stands in `HTTP/1.1 200 OK`."""


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its reply.

    Args:
        began_s: Wall-clock time of the first byte of the request, like all times here.
        request: Its first bytes.
        answered_s: When the first byte of the reply came from the server; None if none came.
        status: Of the reply, `200` say.
        delivered_s: When the first piece of the reply was handed to the client's connection whole.
    """

    fate: Fate
    began_s: float
    request: bytearray = field(default_factory=bytearray)
    answered_s: float | None = None
    status: bytes = b""
    delivered_s: float | None = None

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
    """

    def __init__(
        self,
        target: str,
        seed: int,
        chances: Mapping[Fate, float] = CHANCES,
        *,
        unhurried: tuple[bytes, ...] = (),
        keep: bool = False,
    ) -> None:
        parts = urlsplit(target)
        assert parts.hostname
        assert parts.port
        self._target = (parts.hostname, parts.port)
        self._random = random.Random(seed)
        self._unhurried = unhurried
        self._keep = keep
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(0.1)
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self.chances = dict(chances)
        self.counts: Counter[str] = Counter()
        self.exchanges: list[Exchange] = []
        self.connections = 0

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
            self.connections += 1
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
                        _end(client, reset=exchange.fate == "reset_before")
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
            exchange.answered_s, exchange.status = time.time(), data[STATUS]
        if exchange.fate in {"cut_after", "reset_after"}:
            _end(client, reset=exchange.fate == "reset_after")
            return False
        if exchange.fate == "truncate":
            client.sendall(data[: len(data) // 2])
            return False
        try:
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
                exchange.answered_s, exchange.status = time.time(), data[STATUS]
        self._now(exchange, "client_left")

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
            exchange = Exchange(fate, time.time())
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


def _end(client: socket.socket, *, reset: bool) -> None:
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
