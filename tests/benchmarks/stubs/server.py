"""The least of an HTTP/1.1 server: whole requests with a content length, kept connections, one answer each.

`http.server` and every framework were rejected: they cost more than the client under test. This takes some 60 µs of
processor time a call.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tests.benchmarks.stubs import LOOPBACK, filled

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `head` is the raw head in lower case, `target` as it was sent."""

    method: str
    target: str
    head: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer, and the name of the operation under which it is counted."""

    operation: str
    body: bytes
    status: int = 200


class Service(Protocol):
    """What a stub knows."""

    def seed(self, item: Mapping[str, Any]) -> None:
        """Take an item in."""
        ...

    def answer(self, asked: Asked) -> Answered:
        """Answer one request."""
        ...


class Server:
    """A service behind HTTP.

    Args:
        service: Answers; all of it runs in one thread.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.calls: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.delay_s = 0.0

    async def serve(self, ends: asyncio.Event) -> None:
        """Listen on a free port, print its number, and serve until `ends` is set."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self, loop), LOOPBACK, 0, backlog=512)
        print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - whoever started it reads that
        await ends.wait()
        server.close()

    def control(self, asked: Asked) -> bytes:
        """Do what the benchmark asks of the stub itself."""
        body = json.loads(asked.body)
        match asked.target:
            case "/_seed":
                for number in range(body["first"], body["first"] + body["count"]):
                    self.service.seed(json.loads(filled(body["template"], number)))
            case "/_delay":
                self.delay_s = body["seconds"]
            case "/_stats":
                found = {"calls": self.calls, "cpu_s": time.process_time(), "failures": self.failures}
                return json.dumps(found).encode()
        return b"{}"


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._left = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._left += data
        while (end := self._left.find(b"\r\n\r\n")) >= 0:
            head = self._left[:end].lower()
            begin = head.find(b"content-length:")
            length = int(head[begin + 15 :].split(b"\r", 1)[0]) if begin >= 0 else 0
            if len(self._left) < end + 4 + length:
                return
            line = self._left[: self._left.index(b"\r")].decode("latin-1").split(" ")
            asked = Asked(line[0], line[1], head, self._left[end + 4 : end + 4 + length])
            self._left = self._left[end + 4 + length :]
            self._answer(asked)

    def _answer(self, asked: Asked) -> None:
        server = self._server
        if asked.target.startswith("/_"):
            self._send(Answered("", server.control(asked)))
            return
        answered = server.service.answer(asked)
        server.calls[answered.operation] += 1
        if answered.status >= 300:
            server.failures[f"{answered.operation} {answered.status}"] += 1
        if server.delay_s:
            self._loop.call_later(server.delay_s, self._send, answered)
        else:
            self._send(answered)

    def _send(self, answered: Answered) -> None:
        head = (
            f"HTTP/1.1 {answered.status} Stub\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
            f"Content-Length: {len(answered.body)}\r\n\r\n"
        )
        if not self._transport.is_closing():
            self._transport.write(head.encode() + answered.body)
