"""Whole replies over real sockets, the trust in the endpoint, and whether it can be reached."""

from __future__ import annotations

import json
import logging
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from oauth_parts import REFRESH_TOKEN, TOKENS, doubt, request, to
from scripted_server import answering, free_port, message

from rotator.clocks import SystemClock, SystemIds
from rotator.model import Misconfigured, Refreshed, Rejected
from rotator.redact import Secret
from rotator.token_endpoint import HttpTokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from scripted_server import ScriptedServer


BODY = json.dumps(TOKENS).encode()
OK = message(BODY, "200 OK", "Cache-Control: no-store", "Content-Type: application/json")
LONG_REQUEST = Secret("r" * (8 << 20))
"""More than the socket buffers of both ends hold."""

Serve = "Callable[..., ScriptedServer]"


def test_a_reply_over_tls_is_a_success(
    serve: Serve, tls: Callable[..., ssl.SSLContext], endpoint: HttpTokenEndpoint
) -> None:
    """Over a verified connection the tokens arrive, and the request was sent once."""
    server = serve(answering(OK), tls("127.0.0.1", "localhost"))
    for host in ("127.0.0.1", "localhost"):
        answer = endpoint.refresh(to(server, host), deadline_s=5)
        assert isinstance(answer, Refreshed)
        assert answer.warnings == ()
    assert len(server.heard) == 2


def test_a_connection_that_breaks_over_tls_is_in_doubt(
    serve: Serve, tls: Callable[..., ssl.SSLContext], endpoint: HttpTokenEndpoint
) -> None:
    """An end without a reply is the same doubt under TLS."""
    server = serve(answering(), tls("127.0.0.1"))
    doubt(endpoint.refresh(to(server), deadline_s=5))
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    "whole",
    [
        b"HTTP/1.0 200 OK\r\nCache-Control: no-store\r\n\r\n" + BODY,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n" + BODY,
    ],
)
def test_every_framing_of_a_reply_is_understood(serve: Serve, endpoint: HttpTokenEndpoint, whole: bytes) -> None:
    """HTTP/1.0, interim replies and a body that ends with the connection are all a success."""
    answer = endpoint.refresh(to(serve(answering(whole))), deadline_s=5)
    assert isinstance(answer, Refreshed)
    assert answer.tokens.refresh_token == Secret("new-refresh-token-1")


def test_an_upgrade_is_in_doubt(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """101 is no answer to a token request."""
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    doubt(endpoint.refresh(to(serve(answering(upgrade))), deadline_s=5), upgrade)


@pytest.mark.parametrize("reads_on", [True, False])
def test_a_reply_before_the_end_of_the_request_is_an_answer(
    serve: Serve, endpoint: HttpTokenEndpoint, reads_on: bool
) -> None:
    """A server that answers and stops reading has answered: the write error does not hide it."""

    def script(_: ScriptedServer, connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(message(b"", "413 Content Too Large"))
        connection.shutdown(socket.SHUT_WR)
        while reads_on and connection.recv(1 << 20):
            pass

    of = request({"token_endpoint": serve(script).url()}, refresh_token=LONG_REQUEST)
    answer = endpoint.refresh(of, deadline_s=5)
    assert isinstance(answer, Misconfigured)
    assert answer.error == "http_413"


def test_an_error_reply_is_classified(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """The answer's class comes from the reply, and what it echoes of the request is masked."""
    body = json.dumps({"error": "invalid_grant", "error_description": f"unknown: {REFRESH_TOKEN}"}).encode()
    answer = endpoint.refresh(to(serve(answering(message(body, "403 Forbidden")))), deadline_s=5)
    assert answer == Rejected("invalid_grant", "unknown: ***")


def test_an_echo_of_the_authorization_header_is_masked(serve: Serve, endpoint: HttpTokenEndpoint) -> None:
    """A server that quotes the Basic credentials does not bring them into the answer."""

    def script(server: ScriptedServer, connection: socket.socket) -> None:
        (basic,) = server.hear(connection).values("authorization")
        body = json.dumps({"error": "invalid_grant", "error_description": f"sent: {basic}"}).encode()
        connection.sendall(message(body, "400 Bad Request"))

    of = request({"token_endpoint": serve(script).url(), "client_auth": "client_secret_basic"})
    assert endpoint.refresh(of, deadline_s=5) == Rejected("invalid_grant", "sent: Basic ***")


@pytest.mark.parametrize("whole", [OK, message(b"a" * (3 << 20))])
def test_an_error_of_our_own_after_sending_is_in_doubt(serve: Serve, whole: bytes) -> None:
    """An unforeseen exception after the request was sent keeps what was received, to a bound."""

    class Broken(SystemClock):
        calls = 0

        def now(self) -> datetime:
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("text with a-secret in it")
            return super().now()

    server = serve(answering(whole))
    answer = doubt(HttpTokenEndpoint(Broken(), SystemIds()).refresh(to(server), deadline_s=5), whole[: 1 << 20])
    assert "a-secret" not in answer.cause


def test_nothing_of_an_exchange_is_logged(
    serve: Serve, endpoint: HttpTokenEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """Even at DEBUG no line shows a header or body of request or reply."""
    caplog.set_level(logging.DEBUG)
    echo = message(BODY, "200 OK", f"X-Echo: {TOKENS['access_token']}")
    assert isinstance(endpoint.refresh(to(serve(answering(echo))), deadline_s=5), Refreshed)
    assert TOKENS["access_token"] not in caplog.text
    assert "http11" not in caplog.text


# ------------------------------------------------------------------------------------------------ trust, reachability


def test_the_default_trust_verifies_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Certificates and names are checked, TLS is 1.2 or later, no key log is written, and it is loaded once."""
    monkeypatch.setenv("SSLKEYLOGFILE", f"{tmp_path}/keys")
    endpoint = HttpTokenEndpoint(SystemClock(), SystemIds())
    context = endpoint._verifying()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.keylog_filename is None
    assert endpoint._verifying() is context


def test_a_reachable_endpoint_is_sent_no_request(
    serve: Serve, tls: Callable[..., ssl.SSLContext], endpoint: HttpTokenEndpoint
) -> None:
    """A connection is opened, TLS included, and closed without a byte of HTTP."""
    seen: list[bytes] = []
    for context in (None, tls("127.0.0.1")):
        server = serve(lambda _, connection: seen.append(connection.recv(1)), context)
        assert endpoint.reachable(server.url(), deadline_s=5) is None
        server.wait_for_an_end()
    assert not any(seen)


def test_an_unreachable_endpoint_says_what_is_wrong(
    serve: Serve, tls: Callable[..., ssl.SSLContext], endpoint: HttpTokenEndpoint
) -> None:
    """A refused port, a wrong certificate and a forbidden address are told apart."""
    port = free_port()
    assert endpoint.reachable(f"http://127.0.0.1:{port}/", deadline_s=5) is not None
    server = serve(answering(OK), tls("other.example"))
    assert "TLS handshake" in str(endpoint.reachable(server.url(), deadline_s=5))
    assert endpoint.reachable("http://id.example/", deadline_s=5) == (
        "the address must begin with https://, for http is allowed on a loopback address only"
    )
