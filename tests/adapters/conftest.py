"""Servers that the adapters' tests talk to: two emulators of AWS, and a stub that answers as it is told."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import boto3
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
READY_WITHIN_S = 60.0

# --------------------------------------------------------------------------------------------------- emulators


@pytest.fixture(scope="session")
def fake_session() -> boto3.Session:
    """A session with credentials of nobody, so that no test depends on, or uses, those of the machine."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="not-a-secret", region_name=REGION)


@pytest.fixture
def new_name() -> Callable[[str], str]:
    """Return names that no other test uses: the emulators live for the whole session."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The URL of a moto server: Secrets Manager, DynamoDB for one thread, KMS and SQS."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def ministack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a ministack server: DynamoDB whose conditional writes let one writer win.

    It runs in a process of its own with an environment of its own. IOT_MTLS_ENABLED=0 always: its MQTT listener binds
    to all interfaces whatever BIND_HOST says.
    """
    home = tmp_path_factory.mktemp("ministack")
    port = _free_port()
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "TMPDIR": str(home),
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "SERVICES": "dynamodb",
        "LOG_LEVEL": "WARNING",
    }
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log, cwd=home
        )
    try:
        url = f"http://{LOOPBACK}:{port}"
        _wait_until_ready(process, url, home / "log")
        exposed = _listening_beyond_loopback(process.pid)
        assert not exposed, f"ministack listens on {exposed}"
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ministack ended: {log.read_text()}"
        try:
            with urllib.request.urlopen(f"{url}/_ministack/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"ministack is not ready after {READY_WITHIN_S} s: {log.read_text()}")


def _listening_beyond_loopback(pid: int) -> list[str]:
    """Return the addresses other than loopback on which a process listens, from Linux's /proc."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = descriptor.readlink().name
        except OSError:
            continue
        sockets.add(target.removeprefix("socket:[").removesuffix("]"))
    exposed = []
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
        listing = Path(f"/proc/{pid}/net/{table}")
        for line in listing.read_text().splitlines()[1:] if listing.exists() else []:
            columns = line.split()
            address, state, inode = columns[1], columns[3], columns[9]
            if state == "0A" and inode in sockets and not address.startswith(f"{loopback}:"):
                exposed.append(address)
    return exposed


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
    return f"http://{LOOPBACK}:{_free_port()}"
