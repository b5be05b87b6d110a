"""Servers that the adapters' tests talk to: two emulators of AWS, and a stub that answers as it is told."""

from __future__ import annotations

import json
import socket
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"

# ----------------------------------------------------------------------------------------------------- the stub


@dataclass
class Reply:
    """What the stub does with one request.

    Args:
        body: A dict is sent as JSON.
        then: `answer` it; read it and `drop` the connection; keep it waiting until the test ends (`hang`); or
            announce the whole body and `cut` it in the middle.
    """

    status: int = 200
    body: dict[str, Any] | bytes = field(default_factory=dict)
    then: Literal["answer", "drop", "hang", "cut"] = "answer"

    @classmethod
    def error(cls, code: str, *, status: int = 400, message: str = "no") -> Reply:
        """Return an error in the form of AWS JSON 1.1."""
        return cls(status, {"__type": f"com.amazonaws#{code}", "message": message})


class AwsStub:
    """An HTTP server on loopback that answers operations as told, the last reply again and again."""

    reply = staticmethod(Reply)
    error = staticmethod(Reply.error)

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._replies: dict[str, deque[Reply]] = defaultdict(deque)
        self._released = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes

            def do_POST(self) -> None:
                stub._handle(self)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def on(self, operation: str, *replies: Reply) -> AwsStub:
        """Answer the operation (`*` for any other) with these replies, in turn."""
        self._replies[operation] = deque(replies)
        return self

    @property
    def operations(self) -> list[str]:
        """The operations that were called, in order."""
        return [operation for operation, _ in self.calls]

    def close(self) -> None:
        """Stop the server and let go of what hangs."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        sent = request.rfile.read(int(request.headers["Content-Length"]))
        self.calls.append((operation, json.loads(sent)))
        replies = self._replies[operation] or self._replies["*"]
        reply = replies.popleft() if len(replies) > 1 else replies[0]
        if reply.then == "hang":
            self._released.wait()
        if reply.then in {"hang", "drop"}:
            request.close_connection = True
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        request.send_response(reply.status)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("x-amzn-RequestId", "11111111-2222-3333-4444-555555555555")
        request.end_headers()
        if reply.then == "cut":
            request.close_connection = True
            body = body[: len(body) // 2]
        request.wfile.write(body)


@pytest.fixture
def stub() -> Iterator[AwsStub]:
    """A stub of AWS that answers as told."""
    server = AwsStub()
    yield server
    server.close()


@pytest.fixture
def closed_url() -> str:
    """A URL on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return f"http://{LOOPBACK}:{probe.getsockname()[1]}"
