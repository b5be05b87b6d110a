"""What the daemon answers over HTTP, and to whom; as a WSGI application that the standard's own checker watches."""

from __future__ import annotations

import base64
import io
import json
import threading
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from rotator.board import LIVE_S, Board
from rotator.errors import ConfigError, Problem, StoreUnavailable
from rotator.metrics import Meters
from rotator.redact import Secret
from rotator.testing.memory import VirtualClock
from rotator.web import FRESH_S, Fresh, Web

TOKEN = "canary-page-token"


def web(*, local: bool = True, token: str | None = None, board: Board | None = None) -> Web:
    clock = VirtualClock()
    secret = Secret(token) if token else None
    return Web(board or Board(starting=False), Meters(clock), clock, local, (lambda: secret) if secret else None)


def ask(answering: Web, path: str, *, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    environ: dict[str, Any] = {"HTTP_HOST": "127.0.0.1:9464", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO()}
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    told: list[Any] = []

    def start(status: str, found: list[tuple[str, str]], _: Any = None) -> Any:
        told.extend((status, found))

    parts = validator(answering)(environ, start)
    body = b"".join(parts)
    parts.close()  # type: ignore[attr-defined]  # the checker's iterator has one
    return int(told[0].split()[0]), dict(told[1]), body.decode()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("local", [True, False])
def test_health_is_for_whoever_asks(path: str, local: bool) -> None:
    """An orchestrator has no token."""
    assert ask(web(local=local), path)[0] == 200
    assert ask(web(local=local, token=TOKEN), path)[0] == 200


def test_a_loop_that_hangs_is_unhealthy() -> None:
    """And says so, for whoever looks at a probe's event."""
    board = Board(starting=False)
    board.turned(0.0)
    hanging = web(board=board)
    hanging.clock.sleep(LIVE_S + 1)
    status, _, text = ask(hanging, "/healthz")
    assert status == 503
    assert "has not turned" in text


def test_what_is_not_ready_says_why() -> None:
    """In JSON."""
    board = Board()
    board.listed("vault", StoreUnavailable("no answer for team/secret"))
    status, _, text = ask(web(board=board), "/readyz")
    assert status == 503
    assert json.loads(text) == {
        "ready": False,
        "troubles": ["not every credential was looked at yet", "vault: store unavailable"],
    }


def test_without_a_token_metrics_are_for_this_machine() -> None:
    """By its own names; a page that another site's name leads here with is refused (DNS rebinding)."""
    for host in ("127.0.0.1:9464", "localhost:9464", "[::1]:9464", "localhost"):
        assert ask(web(), "/metrics", host=host)[0] == 200
    for host in ("evil.example", "evil.example:9464", "", "127.0.0.1.evil.example:80"):
        assert ask(web(), "/metrics", host=host)[0] == 403


def test_beyond_this_machine_metrics_need_a_token() -> None:
    """One that is configured; without one there are none."""
    status, _, text = ask(web(local=False), "/metrics")
    assert status == 403
    assert "set http.token" in text


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        ("Basic " + base64.b64encode(f"anyone:{TOKEN}".encode()).decode(), 200),
        ("Basic " + base64.b64encode(TOKEN.encode()).decode(), 401),
        ("Basic no-base64", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer ", 401),
        (f"Digest {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer \u00ff", 401),
        ("", 401),
    ],
)
def test_with_a_token_only_who_has_it_is_answered(local: bool, authorization: str, status: int) -> None:
    """As bearer token, or as a browser's password; on loopback, too."""
    found, headers, text = ask(web(local=local, token=TOKEN), "/metrics", authorization=authorization)
    assert found == status
    assert TOKEN not in text + repr(headers)
    if status == 401:
        assert "WWW-Authenticate" in headers


def test_who_shows_no_token_is_refused_without_reading_it() -> None:
    """A store that hangs is not asked for the sake of whoever comes by."""

    def asked() -> Secret:
        raise AssertionError

    assert ask(Web(Board(), Meters(VirtualClock()), VirtualClock(), False, asked), "/metrics")[0] == 401


def test_a_token_is_read_by_one_at_a_time_and_the_others_go_on_with_the_last() -> None:
    """A store that hangs takes one thread, not all of them."""
    clock, inside, go = VirtualClock(), threading.Event(), threading.Event()
    reads: list[int] = []

    def read() -> Secret:
        reads.append(1)
        if len(reads) > 1:
            inside.set()
            go.wait(10)
        return Secret(TOKEN)

    token = Fresh(read, clock)
    assert token().reveal() == TOKEN
    assert token().reveal() == TOKEN
    assert len(reads) == 1
    clock.sleep(FRESH_S + 1)
    reader = threading.Thread(target=token)
    reader.start()
    assert inside.wait(10)
    assert token().reveal() == TOKEN
    go.set()
    reader.join()
    assert len(reads) == 2


def test_a_token_that_cannot_be_read_opens_nothing() -> None:
    """And the answer says what is wrong with the configuration."""

    def missing() -> Secret:
        raise ConfigError([Problem("http.token", "the environment variable X is not set", "set X")])

    answering = Web(Board(), Meters(VirtualClock()), VirtualClock(), True, missing)
    status, _, text = ask(answering, "/metrics", authorization="Bearer x")
    assert status == 503
    assert "http.token" in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_done_through_it(method: str) -> None:
    """Whatever the path."""
    for path in ("/metrics", "/healthz", "/"):
        assert ask(web(), path, method=method)[0] == 405


def test_head_is_get_without_a_body() -> None:
    """With the same length stated."""
    status, headers, text = ask(web(), "/healthz", method="HEAD")
    assert (status, text) == (200, "")
    assert headers["Content-Length"] == "3"


def test_what_is_not_there_is_told() -> None:
    """With what is."""
    status, _, text = ask(web(), "/etc/passwd")
    assert status == 404
    assert "/metrics" in text


def test_no_answer_is_kept_framed_or_guessed_at() -> None:
    """The headers that browsers and caches go by."""
    _, headers, _ = ask(web(), "/readyz")
    assert headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_metrics_come_in_the_format_that_is_asked_for() -> None:
    """Prometheus' text, or OpenMetrics."""
    plain = ask(web(), "/metrics")
    assert plain[1]["Content-Type"].startswith("text/plain")
    assert "rotator_escrow_entries 0.0" in plain[2]
    newer = ask(web(), "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert newer[1]["Content-Type"].startswith("application/openmetrics-text")
    assert newer[2].endswith("# EOF\n")
