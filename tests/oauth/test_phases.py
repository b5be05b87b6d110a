"""What the phase decides, over real sockets: before the first byte nothing can be spent, after it everything may be.

The items are those of the table of network phases.
"""

from __future__ import annotations

import gzip
import json
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from oauth_parts import TOKENS, doubt, request, to
from scripted_server import answering, free_port, message, reset

from rotator.clocks import SystemClock, SystemIds
from rotator.model import InDoubt, Misconfigured, RateLimited, Refreshed, Unavailable
from rotator.redact import Secret
from rotator.token_endpoint import LONGEST_BODY_BYTES, HttpTokenEndpoint

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from scripted_server import ScriptedServer

    from rotator.model import TokenAnswer

BODY = json.dumps(TOKENS).encode()
OK = message(BODY, "200 OK", "Cache-Control: no-store", "Content-Type: application/json")
LONG_REQUEST = Secret("r" * (8 << 20))
"""More than the socket buffers of both ends hold."""

Serve = "Callable[..., ScriptedServer]"


def unsent(answer: TokenAnswer, server: ScriptedServer | None = None) -> Unavailable:
    """Check that the answer says "never sent", and that the server agrees."""
    assert isinstance(answer, Unavailable), answer
    assert answer.error.startswith("not sent")
    assert answer.retry_after_s == 15
    assert not (server and server.heard)
    return answer


# ------------------------------------------------------------------------------------------------ before the request


def test_a_refused_connection_was_never_sent(endpoint: HttpTokenEndpoint) -> None:
    """Nobody listens: unavailable."""
    of = request({"token_endpoint": f"http://127.0.0.1:{free_port()}/token"})
    assert "connecting failed" in unsent(endpoint.refresh(of, deadline_s=5)).error


def test_an_unknown_host_was_never_sent(endpoint: HttpTokenEndpoint) -> None:
    """A name that does not resolve: unavailable."""
    of = request({"token_endpoint": "https://nobody.invalid/token"})
    assert "host name" in unsent(endpoint.refresh(of, deadline_s=5)).error


def test_the_second_address_is_tried_when_the_first_one_refuses(
    serve: Serve, endpoint: HttpTokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host with several addresses is reached by the one that answers, and the request is sent once."""
    server = serve(answering(OK))
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (free_port(), server.port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert isinstance(endpoint.refresh(to(server), deadline_s=5), Refreshed)
    assert len(server.heard) == 1


def test_a_name_without_addresses_was_never_sent(endpoint: HttpTokenEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that finds nothing and says nothing: unavailable."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    unsent(endpoint.refresh(request(), deadline_s=5))


def test_an_untrusted_certificate_gets_no_request(serve: Serve, tls: Callable[..., ssl.SSLContext]) -> None:
    """The default context trusts the system's authorities only: a configuration error, and nothing is sent."""
    server = serve(answering(OK), tls("127.0.0.1"))
    answer = HttpTokenEndpoint(SystemClock(), SystemIds()).refresh(to(server), deadline_s=5)
    assert isinstance(answer, Misconfigured)
    assert "certificate" in answer.error
    assert answer.retry_after_s == 900
    assert not server.heard


def test_a_certificate_for_another_host_gets_no_request(
    serve: Serve, tls: Callable[..., ssl.SSLContext], endpoint: HttpTokenEndpoint
) -> None:
    """A trusted certificate for another name: a configuration error, and nothing is sent."""
    server = serve(answering(OK), tls("other.example"))
    answer = endpoint.refresh(to(server), deadline_s=5)
    assert isinstance(answer, Misconfigured)
    assert "127.0.0.1" in answer.error
    assert not server.heard


def test_a_server_without_tls_gets_no_request(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """A server that answers the handshake with plain HTTP: a configuration error."""
    server = serve(lambda _, connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10))
    answer = endpoint.refresh(request({"token_endpoint": f"https://127.0.0.1:{server.port}/"}), deadline_s=5)
    assert isinstance(answer, Misconfigured)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_connection_that_breaks_in_the_handshake_was_never_sent(
    serve: Serve, endpoint: HttpTokenEndpoint, how: str
) -> None:
    """The peer goes away before TLS is up: unavailable, and no fault of the configuration."""

    def script(_: ScriptedServer, connection: socket.socket) -> None:
        connection.recv(1)
        if how == "reset":
            reset(connection)
        else:
            connection.recv(65536)

    server = serve(script)
    answer = endpoint.refresh(request({"token_endpoint": f"https://127.0.0.1:{server.port}/"}), deadline_s=5)
    assert "TLS handshake" in unsent(answer).error


def test_a_handshake_that_never_ends_was_never_sent(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """A peer that accepts and stays silent is given up at the deadline: unavailable."""

    def script(server: ScriptedServer, connection: socket.socket) -> None:
        server.stopping.wait(2)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # what a client that still waits would complain of

    server = serve(script)
    answer = endpoint.refresh(request({"token_endpoint": f"https://127.0.0.1:{server.port}/"}), deadline_s=0.3)
    assert "TLS handshake" in unsent(answer).error


@dataclass
class JumpingClock(SystemClock):
    """A clock whose monotonic readings are scripted; the last one stays."""

    readings: list[float] = field(default_factory=list)

    def monotonic_s(self) -> float:
        """Return the next reading."""
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]


def test_a_deadline_that_ends_before_the_first_byte_sends_nothing(serve: Serve) -> None:
    """Connected, but too late to write: unavailable, and the server heard nothing."""
    seen: list[bytes] = []
    server = serve(lambda _, connection: seen.append(connection.recv(1)))
    late = HttpTokenEndpoint(JumpingClock([0.0, 1.0, 100.0]), SystemIds())
    with_deadline = late.refresh(to(server), deadline_s=30)
    assert "deadline" in unsent(with_deadline).error
    server.wait_for_an_end()
    assert seen == [b""]


@pytest.mark.parametrize("deadline_s", [0.0, -1.0])
def test_without_time_nothing_is_begun(serve: Serve, endpoint: HttpTokenEndpoint, deadline_s: float) -> None:
    """A deadline that is over from the start opens no connection."""
    server = serve(answering(OK))
    unsent(endpoint.refresh(to(server), deadline_s=deadline_s), server)
    assert server.connections == 0


def test_an_error_of_our_own_before_sending_is_no_doubt(serve: Serve) -> None:
    """An unforeseen exception while nothing was sent is unavailable, and its text is not quoted."""

    class Broken(SystemIds):
        def new_id(self) -> str:
            raise RuntimeError("text with a-secret in it")

    server = serve(answering(OK))
    of = request({"token_endpoint": server.url(), "client_auth": "private_key_jwt"})
    answer = HttpTokenEndpoint(SystemClock(), Broken()).refresh(of, deadline_s=5)
    assert "RuntimeError" in unsent(answer, server).error
    assert "a-secret" not in str(answer)


# ------------------------------------------------------------------------------------------------- after the request


def test_a_server_that_drops_before_reading_is_in_doubt(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """Bytes were handed over, so that it cannot be known what became of them."""
    server = serve(lambda _, connection: connection.recv(1))
    doubt(endpoint.refresh(to(server), deadline_s=5))


def test_a_server_that_drops_after_reading_is_in_doubt(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """The whole request was read and no reply came."""
    server = serve(answering())
    answer = doubt(endpoint.refresh(to(server), deadline_s=5))
    assert "RemoteProtocolError" in answer.cause
    assert len(server.heard) == 1


def test_a_server_that_resets_after_reading_is_in_doubt(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """A reset after the request tells nothing about what was processed."""

    def script(server: ScriptedServer, connection: socket.socket) -> None:
        server.hear(connection)
        reset(connection)

    doubt(endpoint.refresh(to(serve(script)), deadline_s=5))


def test_a_server_that_resets_within_the_request_is_in_doubt(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """A write that fails half way leaves a part of the body with the server."""

    def script(_: ScriptedServer, connection: socket.socket) -> None:
        connection.recv(65536)
        reset(connection)

    server = serve(script)
    of = request({"token_endpoint": server.url()}, refresh_token=LONG_REQUEST)
    doubt(endpoint.refresh(of, deadline_s=5))


def test_a_server_that_stops_reading_is_in_doubt(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """A write that meets the deadline left a part of the body with the server."""
    server = serve(lambda server, _: server.stopping.wait(10))
    of = request({"token_endpoint": server.url()}, refresh_token=LONG_REQUEST)
    assert "sending" in doubt(endpoint.refresh(of, deadline_s=1.5)).cause


def test_a_silent_server_is_in_doubt_at_the_deadline(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """No reply in time."""

    def script(server: ScriptedServer, connection: socket.socket) -> None:
        server.hear(connection)
        server.stopping.wait(10)

    assert "waiting for the reply" in doubt(endpoint.refresh(to(serve(script)), deadline_s=0.3)).cause


@pytest.mark.parametrize("begins", [OK[:10], OK[: OK.index(b"{") + 5]])
def test_a_trickling_server_is_given_up_at_the_total_deadline(
    serve: Serve, endpoint: HttpTokenEndpoint, begins: bytes
) -> None:
    """Bytes that keep coming do not extend the deadline, in the head as in the body; what came is kept."""

    def script(server: ScriptedServer, connection: socket.socket) -> None:
        server.hear(connection)
        connection.sendall(begins)
        for position in range(len(begins), len(OK)):
            server.stopping.wait(0.05)
            connection.sendall(OK[position : position + 1])

    answer = endpoint.refresh(to(serve(script)), deadline_s=0.4)
    assert isinstance(answer, InDoubt)
    assert answer.body is not None
    assert (OK if b"{" not in begins else BODY).startswith(answer.body.reveal().encode("latin-1"))


def test_a_truncated_body_is_in_doubt_and_kept(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """A Content-Length that is longer than the body: in doubt, though the JSON looks whole."""
    server = serve(answering(message(BODY, length=len(BODY) + 1)))
    doubt(endpoint.refresh(to(server), deadline_s=5), BODY)


def test_a_chunked_body_without_its_end_is_in_doubt(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """A chunked reply whose last chunk is missing is not whole; with it, it is a success."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n"
    chunk = f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n"
    doubt(endpoint.refresh(to(serve(answering(head + chunk))), deadline_s=5), BODY)
    assert isinstance(endpoint.refresh(to(serve(answering(head + chunk + b"0\r\n\r\n"))), deadline_s=5), Refreshed)


def test_a_truncated_failure_is_classified_by_its_status(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """The status line arrived: a cut 400 is refused, a cut 429 is a rate limit with its Retry-After."""
    body = b'{"error":"invalid_grant"}'
    cut = serve(answering(message(body, "400 Bad Request", length=999)))
    assert isinstance(endpoint.refresh(to(cut), deadline_s=5), Misconfigured)
    limited = serve(answering(message(body, "429 Too Many", "Retry-After: 7", length=999)))
    assert endpoint.refresh(to(limited), deadline_s=5) == RateLimited(7, "http_429")


def test_a_huge_body_is_read_to_a_bound(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """More than a mebibyte: in doubt, with the first mebibyte kept."""
    huge = b'{"access_token":"' + b"a" * (3 << 20) + b'","token_type":"Bearer"}'
    answer = endpoint.refresh(to(serve(answering(message(huge)))), deadline_s=10)
    doubt(answer, huge[:LONGEST_BODY_BYTES])


def test_a_huge_head_is_in_doubt(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """Headers without end are given up, and what is kept of them is bounded."""
    server = serve(answering(message(BODY, "200 OK", *(f"X-{n}: {'h' * 1000}" for n in range(3000)))))
    answer = endpoint.refresh(to(server), deadline_s=10)
    assert isinstance(answer, InDoubt)
    assert answer.body is not None
    assert len(answer.body.reveal()) <= 1 << 20


def test_a_compressed_body_is_in_doubt_and_kept(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """What was not asked for is not unpacked: the bytes are kept as they came, and come back."""
    packed = gzip.compress(BODY)
    answer = endpoint.refresh(to(serve(answering(message(packed, "200 OK", "Content-Encoding: gzip")))), deadline_s=5)
    kept = doubt(answer, packed).body
    assert kept
    assert gzip.decompress(kept.reveal().encode("latin-1")) == BODY


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02 garbage\r\n\r\n", b"HTTP/9.9 abc\r\n\r\n", BODY])
def test_a_reply_that_is_no_http_is_in_doubt_and_kept(
    serve: Serve, endpoint: HttpTokenEndpoint, garbage: bytes
) -> None:
    """Whatever came instead of a reply is kept, for there may be tokens in it."""
    doubt(endpoint.refresh(to(serve(answering(garbage))), deadline_s=5), garbage)
