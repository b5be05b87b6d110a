"""A gateway before a store that passes everything through, until it is told to answer slowly, wrongly or not at all."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DRIP_S = 0.05
DRIPS = 60
"""A gateway drips for three seconds at most: a client without a deadline of its own is told by then."""

PAGE = b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The store's real answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def sent(self, *, body: bytes | None = None, length: int | None = None) -> bytes:
        """Return it as bytes, with another body or a length that is not true."""
        body = self.body if body is None else body
        headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP_BY_HOP}
        return message(self.status, body, length=length, headers=headers)


HOP_BY_HOP = {"content-length", "connection", "transfer-encoding", "date", "server", "x-amz-crc32"}


def message(
    status: int, body: bytes = b"", *, length: int | None = None, headers: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    lines = [f"HTTP/1.1 {status} Evil", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class EvilGateway:
    """Stands before one HTTP server on loopback, for `with`.

    Args:
        elsewhere: Where redirects lead.
    """

    def __init__(self, target: str, elsewhere: str = "http://127.0.0.1:9/") -> None:
        parts = urlsplit(target)
        assert parts.hostname
        assert parts.port
        self._target = (parts.hostname, parts.port)
        self.elsewhere = elsewhere
        self._evil: str | None = None
        self._left = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.evil_answers = 0
        self.requests = 0
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        for thread in self._threads:
            thread.join(5)

    def turn(self, evil: str, *, times: int = 10**9) -> None:
        """Answer like this from now on, `times` times."""
        assert evil in EVILS
        with self._lock:
            self._evil, self._left = evil, times

    def heal(self) -> None:
        with self._lock:
            self._evil = None

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException), client:
            client.settimeout(0.1)
            while not self._stopped.is_set():
                request = self._read(client)
                if request is None:
                    return
                evil = self._next()
                if evil is None:
                    client.sendall(self._forward(request).sent())
                else:
                    EVILS[evil](self, client, request)
                    return

    def _next(self) -> str | None:
        with self._lock:
            self.requests += 1
            if self._evil is None or self._left <= 0:
                return None
            self._left -= 1
            self.evil_answers += 1
            return self._evil

    def _read(self, client: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._received(client)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        if headers.get("expect") == "100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(body) < int(headers.get("content-length", "0")):
            body += self._received(client)
        method, target, _ = line.split(" ", 2)
        return Request(method, target, headers, body)

    def _received(self, client: socket.socket) -> bytes:
        while not self._stopped.is_set():
            try:
                return client.recv(65536)
            except TimeoutError:
                continue
        return b""

    def _forward(self, request: Request) -> Answer:
        upstream = http.client.HTTPConnection(*self._target, timeout=20)
        try:
            headers = {key: value for key, value in request.headers.items() if key not in {"expect", "connection"}}
            upstream.request(request.method, request.target, request.body, headers)
            answer = upstream.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            upstream.close()

    def wait(self, seconds: float) -> bool:
        """Wait, unless the gateway ends before."""
        return not self._stopped.wait(seconds)


# ---------------------------------------------------------------------------------------------------- evils


def _says(data: bytes) -> Callable[[EvilGateway, socket.socket, Request], None]:
    return lambda gateway, client, request: client.sendall(data)


def _silent(gateway: EvilGateway, client: socket.socket, request: Request) -> None:
    ends = time.monotonic() + DRIP_S * DRIPS
    while time.monotonic() < ends and gateway.wait(DRIP_S):
        with contextlib.suppress(TimeoutError):
            if not client.recv(1):
                return


def _drips(gateway: EvilGateway, client: socket.socket, request: Request) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
    for _ in range(DRIPS):
        if not gateway.wait(DRIP_S):
            return
        client.sendall(b" ")


def _drips_headers(gateway: EvilGateway, client: socket.socket, request: Request) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    for _ in range(DRIPS):
        if not gateway.wait(DRIP_S):
            return
        client.sendall(b"x")


def _resets(gateway: EvilGateway, client: socket.socket, request: Request) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _done_and_lost(gateway: EvilGateway, client: socket.socket, request: Request) -> None:
    gateway._forward(request)


def _cut_in_half(gateway: EvilGateway, client: socket.socket, request: Request) -> None:
    whole = gateway._forward(request).sent()
    client.sendall(whole[: -max(1, len(whole.partition(b"\r\n\r\n")[2]) // 2)])


def _too_long(gateway: EvilGateway, client: socket.socket, request: Request) -> None:
    answer = gateway._forward(request)
    client.sendall(answer.sent(length=len(answer.body) + 10))


def _too_short(gateway: EvilGateway, client: socket.socket, request: Request) -> None:
    answer = gateway._forward(request)
    client.sendall(answer.sent(length=max(0, len(answer.body) - 5)))


def _redirects(gateway: EvilGateway, client: socket.socket, request: Request) -> None:
    client.sendall(message(307, headers={"Location": f"{gateway.elsewhere}{request.target}"}))


def _other_versions(gateway: EvilGateway, client: socket.socket, request: Request) -> None:
    """The real content under version ids, numbers and revisions that are not its own."""
    answer = gateway._forward(request)
    text = answer.body.decode()
    text = re.sub(r'("VersionId": ?")[^"]{8}', r"\g<1>00000000", text)
    text = re.sub(r'("version": ?)(\d+)', lambda found: f"{found[1]}{int(found[2]) + 7}", text)
    text = re.sub(r'("revision": ?\{"N": ?")(\d+)', lambda found: f"{found[1]}{int(found[2]) + 7}", text)
    client.sendall(answer.sent(body=text.encode()))


EVILS: dict[str, Callable[[EvilGateway, socket.socket, Request], None]] = {
    "is silent": _silent,
    "drips its body": _drips,
    "drips its headers": _drips_headers,
    "resets": _resets,
    "does it and hangs up": _done_and_lost,
    "cuts its answer in half": _cut_in_half,
    "says that it is longer": _too_long,
    "says that it is shorter": _too_short,
    "answers no HTTP": _says(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "answers a page": _says(message(200, PAGE, headers={"Content-Type": "text/html"})),
    "answers a bad gateway's page": _says(message(502, PAGE, headers={"Content-Type": "text/html"})),
    "answers 204": _says(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "answers an empty body": _says(message(200)),
    "answers a list": _says(message(200, b"[1, 2]")),
    "answers another object": _says(message(200, json.dumps({"data": {"hello": "world"}}).encode())),
    "redirects": _redirects,
    "answers other versions": _other_versions,
}
