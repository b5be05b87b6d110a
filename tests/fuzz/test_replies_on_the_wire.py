"""HTTP replies damaged as bytes, over a real socket: an answer in time, and never the word that nothing was sent."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.clocks import SystemClock, SystemIds
from rotator.model import Unavailable
from rotator.redact import Secret
from rotator.token_endpoint import HttpTokenEndpoint
from tests.effort import tried
from tests.fuzz.leaks import INSIDE, INSIDE_TOO, PROCESS, assert_secret
from tests.fuzz.mutations import mutated_bytes
from tests.fuzz.test_token_responses import ANSWERS
from tests.oauth.oauth_parts import request
from tests.oauth.scripted_server import ScriptedServer, message

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

DEADLINE_S = 1.0
REFRESH = "canary-refresh-token-Zx81qPw7"
TOKENS = {"access_token": INSIDE, "refresh_token": INSIDE_TOO, "token_type": "Bearer", "expires_in": 3600}
BODY = json.dumps(TOKENS).encode()
ERROR = json.dumps({"error": "invalid_grant", "error_description": f"token {REFRESH} of {PROCESS}"}).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
REPLIES = [
    message(BODY, "200 OK", "Content-Type: application/json", "Cache-Control: no-store"),
    message(ERROR, "400 Bad Request", "Content-Type: application/json"),
    message(b"", "429 Too Many Requests", "Retry-After: 120", 'RateLimit: "a";r=0;t=30'),
    message(b"<html>", "503 Service Unavailable", "Connection: close"),
    CHUNKED,
    b"HTTP/1.1 100 Continue\r\n\r\n" + message(BODY),
    b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
]


class Replying:
    """Answers each connection with what is next; keeps the connection open afterwards when told to."""

    def __init__(self) -> None:
        self.next = b""
        self.served = 0

    def __call__(self, server: ScriptedServer, connection: socket.socket) -> None:
        server.hear(connection)
        connection.sendall(self.next)
        self.served += 1


@pytest.fixture(scope="module")
def replying() -> Iterator[tuple[Replying, str]]:
    script = Replying()
    with ScriptedServer(script) as server:
        yield script, server.url()


@tried(100, cost=8)
@given(st.one_of(mutated_bytes(REPLIES), mutated_bytes(REPLIES), st.binary(max_size=200)))
def test_a_damaged_reply_is_answered_in_time(
    replying: tuple[Replying, str], caplog: pytest.LogCaptureFixture, damaged: bytes
) -> None:
    """Whatever comes back over the socket, the answer is one of the six, and a request that was heard was sent."""
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    script, url = replying
    script.next = damaged
    before = script.served
    of = request({"token_endpoint": url}, refresh_token=Secret(REFRESH), client_secret=Secret(PROCESS))
    began = time.monotonic()
    answer = HttpTokenEndpoint(SystemClock(), SystemIds()).refresh(of, deadline_s=DEADLINE_S)
    assert time.monotonic() - began < DEADLINE_S + 5
    assert isinstance(answer, ANSWERS)
    assert script.served == before + 1 or not isinstance(answer, Unavailable)
    assert not (isinstance(answer, Unavailable) and "not sent" in answer.error)
    assert_secret(
        answer, REFRESH if REFRESH.encode() in damaged else PROCESS, INSIDE_TOO if BODY in damaged else PROCESS
    )
    assert_secret(caplog.text, REFRESH, PROCESS)
