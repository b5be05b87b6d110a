"""The read timeout of a client bounds the whole answer, over TLS, on a kept connection and through a proxy."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
import trustme
import urllib3
from botocore.exceptions import ReadTimeoutError
from urllib3.poolmanager import pool_classes_by_scheme

from rotator import aws_session
from rotator.answer_deadline import with_deadline
from rotator.testing.memory import SeededRandomness, VirtualClock
from rotator.vault_session import VaultSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    import boto3

TIMEOUT_S = 0.3
DRIP_S = 0.05
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n"
DRIPS = {"headers": HEAD + b"X-Long: ", "body": HEAD + b"\r\n"}
NOBODY: Any = None
"""Nobody logs in here."""

LONGEST_S = 3.0
"""What the server drips for: a client without a deadline is told by then."""


class Dripper:
    """Answers each request on a connection with the next of its lists of pieces, waiting before each piece."""

    def __init__(self, answers: list[list[bytes]], context: ssl.SSLContext | None = None) -> None:
        self.answers = answers
        self.connections = 0
        self._context = context
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while self.answers:
                connection, _ = self._listener.accept()
                self.connections += 1
                with contextlib.suppress(OSError):
                    if self._context:
                        connection = self._context.wrap_socket(connection, server_side=True)
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            while self.answers and connection.recv(65536):
                for piece in self.answers.pop(0):
                    if self._ended.wait(DRIP_S):
                        return
                    connection.sendall(piece)

    def end(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def drippers() -> Iterator[list[Dripper]]:
    """Those in the list are ended after the test."""
    started: list[Dripper] = []
    yield started
    for one in started:
        one.end()


def dripping(part: str) -> list[bytes]:
    return [DRIPS[part], *[b"x"] * int(LONGEST_S / DRIP_S)]


@contextlib.contextmanager
def soon() -> Iterator[None]:
    """Check that what happens inside takes the timeout and not as long as the server drips."""
    began_s = time.monotonic()
    yield
    assert TIMEOUT_S * 0.9 < time.monotonic() - began_s < LONGEST_S * 0.7


def bounded(timeout_s: float = TIMEOUT_S, **more: Any) -> urllib3.PoolManager:
    manager = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=timeout_s), retries=False, **more)
    manager.pool_classes_by_scheme = with_deadline(pool_classes_by_scheme)
    return manager


@pytest.mark.parametrize("part", DRIPS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_that_drips_ends_with_the_timeout(drippers: list[Dripper], scheme: str, part: str) -> None:
    """Headers and bodies that come byte by byte are given up when the timeout is over, with and without TLS."""
    context, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = Dripper([dripping(part)], context if scheme == "https" else None)
    drippers.append(server)
    with (
        bounded(ca_cert_data=authority.cert_pem.bytes().decode()) as client,
        soon(),
        pytest.raises(urllib3.exceptions.ReadTimeoutError),
    ):
        client.request("GET", f"{scheme}://127.0.0.1:{server.port}/")


def test_each_answer_on_a_kept_connection_has_its_whole_time(drippers: list[Dripper]) -> None:
    """What an answer took is not missing from the time of the next one."""
    answer = [b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n", b"\r\n", b"ok"]
    server = Dripper([answer] * 5)
    drippers.append(server)
    with bounded(len(answer) * DRIP_S * 3) as client:
        for _ in range(5):
            assert client.request("GET", f"http://127.0.0.1:{server.port}/").data == b"ok"
    assert server.connections == 1


@pytest.mark.parametrize("proxied", [False, True])
def test_clients_of_aws_have_the_deadline(
    drippers: list[Dripper], fake_session: boto3.Session, monkeypatch: pytest.MonkeyPatch, *, proxied: bool
) -> None:
    """A client of `aws_session` gives up an answer that drips, directly and through a proxy."""
    server = Dripper([dripping("body")])
    drippers.append(server)
    monkeypatch.setattr(aws_session, "READ_TIMEOUT_S", TIMEOUT_S)
    url = address(server, monkeypatch, proxied=proxied)
    client = aws_session.client("secretsmanager", endpoint_url=url, session=fake_session)
    with soon(), pytest.raises(ReadTimeoutError):
        client.get_secret_value(SecretId="payroll")
    client.close()


@pytest.mark.parametrize("proxied", [False, True])
def test_sessions_with_vault_have_the_deadline(
    drippers: list[Dripper], monkeypatch: pytest.MonkeyPatch, *, proxied: bool
) -> None:
    """A `VaultSession` gives up an answer that drips, directly and through a proxy."""
    server = Dripper([dripping("body")])
    drippers.append(server)
    url = address(server, monkeypatch, proxied=proxied)
    session = VaultSession(url, NOBODY, clock=VirtualClock(), randomness=SeededRandomness(), timeout_s=TIMEOUT_S)
    with soon(), pytest.raises(requests.exceptions.ConnectionError, match="timed out"):
        session._http.get(url, timeout=TIMEOUT_S)
    session.close()


def address(server: Dripper, monkeypatch: pytest.MonkeyPatch, *, proxied: bool) -> str:
    """Return the server's address, or one that it is the proxy to."""
    url = f"http://127.0.0.1:{server.port}"
    for name in ("HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name.lower(), url if proxied and name == "HTTP_PROXY" else "")
    return "http://store.example:8200" if proxied else url
