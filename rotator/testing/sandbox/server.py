"""The sandbox authorization server: tenants behind one loopback socket that can fail in every way that matters."""

from __future__ import annotations

import os
import select
import socket
import socketserver
import struct
import sys
import threading
import traceback
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from rotator.clocks import SystemClock, SystemIds
from rotator.testing.sandbox.admin import ADMIN_PREFIX, admin_reply
from rotator.testing.sandbox.face import Face
from rotator.testing.sandbox.messages import json_reply
from rotator.testing.sandbox.settings import auth0_face, dailypay_face

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from rotator.ports import Clock, Ids
    from rotator.testing.sandbox.face import Arrival
    from rotator.testing.sandbox.faults import Fault
    from rotator.testing.sandbox.messages import Reply
    from rotator.testing.sandbox.settings import FaceSettings

_LARGEST_BODY: Final = 1 << 20
_PIECE_BYTES: Final = 16
_IDLE_CONNECTION_S: Final = 30.0
"""A connection on which nothing comes is given up, so that its thread ends."""


class SandboxServer:
    """An authorization server on a free loopback port, for `with`.

    Args:
        faces: The tenants; one like Auth0 and one like DailyPay by default.
        clock: Measures lifetimes, windows and delays; the handling of sockets goes by the machine's clock.
        ids: What tokens are made from.
        port: 0 picks a free one.
    """

    def __init__(
        self,
        faces: Sequence[FaceSettings] | None = None,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        port: int = 0,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        settings = (auth0_face(), dailypay_face()) if faces is None else faces
        self._faces = {one.name: Face(one, self.clock, ids or SystemIds()) for one in settings}
        self._by_path = {face.settings.token_path: face for face in self._faces.values()}
        if len(self._by_path) != len(settings):
            raise ValueError("the names and the token paths of the faces must differ")
        self._port = port
        self._server: _LoopbackServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen and serve in the background.

        Raises:
            OSError: The port is taken.
        """
        self._server = _LoopbackServer(self, self._port)
        for face in self._faces.values():
            face.at(self.url)
        self._thread = threading.Thread(
            # The poll interval bounds how long `stop` takes, nothing else.
            target=self._server.serve_forever,
            args=(0.02,),
            name="sandbox",
            daemon=True,
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening; requests in flight end by themselves. Stopping twice does no harm."""
        if self._server and self._thread:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end.

        Raises:
            RuntimeError: It does not listen.
        """
        if self._server is None:
            raise RuntimeError("the sandbox server is not started")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def failures(self) -> tuple[str, ...]:
        """Errors of the sandbox itself, by type and place; always empty, or the sandbox has a defect."""
        return tuple(self._server.failures) if self._server else ()

    @property
    def faces(self) -> Mapping[str, Face]:
        """The tenants by name."""
        return self._faces

    def face(self, name: str) -> Face:
        """Return a tenant.

        Raises:
            LookupError: There is none of this name.
        """
        if name not in self._faces:
            raise LookupError(f"there is no face {name!r}; there are {', '.join(self._faces)}")
        return self._faces[name]

    def face_at(self, path: str) -> Face | None:
        """Return the tenant whose token endpoint has this path."""
        return self._by_path.get(path)


class _LoopbackServer(ThreadingHTTPServer):
    """The socket: loopback only, silent, one daemon thread per connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # the default of 5 would drop connections of a crowd of clients

    def __init__(self, sandbox: SandboxServer, port: int) -> None:
        self.sandbox = sandbox
        self.failures: list[str] = []
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for the machine's name, which may block."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's signature
        """Note what failed and where; a traceback on stderr could show a token."""
        error = sys.exception()
        if error is None or isinstance(error, OSError):  # the client is gone
            return
        place = traceback.extract_tb(error.__traceback__)[-1]
        self.failures.append(f"{type(error).__name__} at {place.filename}:{place.lineno}")


class _Handler(BaseHTTPRequestHandler):
    """One connection: one request, one answer, or a fault in between."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_CONNECTION_S
    wbufsize = -1  # head and body leave in one packet, or the client would wait for the second one
    server: _LoopbackServer

    def do_GET(self) -> None:
        """Serve the report; a token endpoint takes POST only."""
        if self._path.startswith(ADMIN_PREFIX):
            self._send(admin_reply(self.server.sandbox, "GET", self.path, b""))
        elif self.server.sandbox.face_at(self._path):
            self._send(json_reply(405, {"error": "method_not_allowed"}, (("Allow", "POST"),)))
        else:
            self._elsewhere("GET", b"")

    def _elsewhere(self, method: str, body: bytes) -> None:
        query, content_type = urlsplit(self.path).query, self.headers.get("Content-Type", "")
        answers = (
            face.elsewhere(method, self._path, query, content_type, body) for face in self.server.sandbox.faces.values()
        )
        self._send(next(filter(None, answers), json_reply(404, {"error": "not_found"})))

    def do_POST(self) -> None:
        """Serve the token endpoints and the admin endpoints."""
        body = self._body()
        if body is None:
            return
        face = self.server.sandbox.face_at(self._path)
        if face:
            self._token_request(face, body)
        elif self._path.startswith(ADMIN_PREFIX):
            self._send(admin_reply(self.server.sandbox, "POST", self.path, body))
        else:
            self._elsewhere("POST", body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's signature
        """Stay silent."""

    def version_string(self) -> str:
        """Return the `Server` header."""
        return "sandbox"

    def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002 - the base's signature
        """Return the `Date` header by the sandbox's clock, which may be virtual."""
        return format_datetime(self.server.sandbox.clock.now(), usegmt=True)

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _body(self) -> bytes | None:
        """Return the whole body; None when it was refused, or when the client hung up in the middle."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._send(json_reply(411, {"error": "length_required"}))
            return None
        if int(length) > _LARGEST_BODY:
            self._send(json_reply(413, {"error": "too_large"}))
            return None
        body = self.rfile.read(int(length))
        return body if len(body) == int(length) else None

    def _token_request(self, face: Face, body: bytes) -> None:
        arrival = face.arrival(self.headers.get("Authorization", ""), self.headers.get("Content-Type", ""), body)
        if arrival.refused:
            self._send(arrival.refused)
            return
        fault = arrival.fault
        if fault and fault.kind == "drop_before_processing":
            self._drop(reset=fault.reset)
            return
        if fault and fault.kind == "delay_before_processing":
            self._delay(fault)
        reply = face.bend(arrival, face.process(arrival))
        if fault and fault.kind == "delay_before_reply":
            self._delay(fault)
        try:
            if self._client_is_gone():
                raise ConnectionResetError
            self._deliver(reply, arrival)
        except OSError:
            face.undelivered(arrival, reply)
            self._drop(reset=True)

    def _deliver(self, reply: Reply, arrival: Arrival) -> None:
        fault = arrival.fault
        if fault and fault.kind == "drop_after_processing":
            self._drop(reset=fault.reset)
        elif fault and fault.kind == "truncated":
            self._send(reply, until_byte=len(reply.body) // 2)
        elif fault and fault.kind == "trickled":
            self._send(reply, pause_s=fault.delay_s)
        else:
            self._send(reply)

    def _send(self, reply: Reply, *, until_byte: int | None = None, pause_s: float | None = None) -> None:
        """Send an answer and close; `until_byte` cuts its body, `pause_s` sends it piece by piece."""
        self.close_connection = True
        self.send_response(reply.status)
        for name, value in (*reply.headers, ("Content-Length", str(len(reply.body))), ("Connection", "close")):
            self.send_header(name, value)
        body = reply.body[:until_byte]
        self.end_headers()
        if pause_s is None:
            self.wfile.write(body)
        else:
            for start in range(0, len(body), _PIECE_BYTES):
                self.wfile.flush()
                self.server.sandbox.clock.sleep(pause_s)
                self.wfile.write(body[start : start + _PIECE_BYTES])
        self.wfile.flush()

    def _client_is_gone(self) -> bool:
        """Return whether the client has hung up; a small answer would vanish into the kernel's buffer unnoticed."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return bool(poll.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)

    def _delay(self, fault: Fault) -> None:
        if fault.until:
            fault.until.wait(fault.delay_s)
        else:
            self.server.sandbox.clock.sleep(fault.delay_s)

    def _drop(self, *, reset: bool) -> None:
        """End the connection without an answer."""
        self.close_connection = True
        if reset:
            # Closing with a linger time of zero sends RST. The descriptor is closed here and now: the server's own way
            # of ending a connection would send FIN first.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
