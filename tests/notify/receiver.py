"""An HTTP receiver on loopback that takes, refuses, redirects, hangs, or answers byte by byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.leak_hunt import HUNT

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Received:
    """A request."""

    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Receiver:
    """What came in, and how requests are answered.

    Args:
        hangs: Answers nothing until the test is over.
        trickles: Sends the answer's head a byte at a time, and never its end.
    """

    status: int = 200
    answer: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    trickles: bool = False
    requests: list[Received] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def bodies(self) -> list[str]:
        return [one.body for one in self.requests]


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive for the length of the block."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            HUNT.saw("message to a notifier", body)  # no message holds a secret of any test
            made.requests.append(Received(self.path, headers, body))
            if made.hangs:
                made.over.wait(60)
            elif made.trickles:
                self._trickle()
            else:
                self.send_response(made.status)
                for name, value in made.headers.items():
                    self.send_header(name, value)
                answer = made.answer.encode()
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def _trickle(self) -> None:
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 20")
                while not made.over.wait(0.2):
                    self.wfile.write(b"0")
                    self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver for the length of a test."""
    with receiving() as made:
        yield made


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def closed_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
