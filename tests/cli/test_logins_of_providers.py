"""Logins at providers that refuse with status 200, from answers as their documentation shows them."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rotator.cli import logins as cli_logins
from tests.oauth.scripted_server import ScriptedServer, message

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from tests.app.stage import Stage

DEVICE = {
    "device_code": "invented-device-code",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://github.com/login/device",
    "expires_in": 900,
    "interval": 0.01,
}
PENDING = {"error": "authorization_pending", "error_description": "The authorization request is still pending."}
TOKENS = {
    "access_token": "canary-access-token",
    "expires_in": 28800,
    "refresh_token": "canary-refresh-token",
    "token_type": "bearer",
    "scope": "",
}


class Answering:
    """A provider that gives one answer after the other, each with status 200."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def __call__(self, server: ScriptedServer, connection: socket.socket) -> None:
        server.hear(connection)
        body = json.dumps(self.answers.pop(0)).encode()
        connection.sendall(message(body, "200 OK", "Content-Type: application/json", "Cache-Control: no-store"))


@pytest.fixture
def provider(stage: Stage) -> Iterator[Any]:
    """Start a provider with some answers, and lead a new credential's logins to it."""
    servers: list[ScriptedServer] = []

    def start(profile: str, *answers: Any) -> ScriptedServer:
        server = ScriptedServer(Answering(*answers))
        servers.append(server.__enter__())
        stage.config["providers"]["acme"] = {
            "profile": profile,
            "token_endpoint": server.url(path="/login/oauth/access_token"),
            "authorization_endpoint": server.url(path="/login/oauth/authorize"),
            "device_authorization_endpoint": server.url(path="/login/device/code"),
        }
        stage.credential("alpha")
        return server

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def approving(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser whose person says yes at once: it comes back with a code."""

    def visit(address: str) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        try:
            urllib.request.urlopen(
                f"{query['redirect_uri']}?code=invented-code&state={query['state']}", timeout=10
            ).close()
        except urllib.error.HTTPError as error:
            error.close()

    def opened(address: str) -> bool:
        threading.Thread(target=visit, args=(address,), daemon=True).start()
        return True

    monkeypatch.setattr(cli_logins.webbrowser, "open", opened)


def test_a_pending_login_at_github_is_waited_for(stage: Stage, provider: Any) -> None:
    """Its `authorization_pending` comes with status 200; the token set is put when it is there."""
    server = provider("github", DEVICE, PENDING, PENDING, TOKENS)
    ended = stage.cli("login", "alpha", "--device")
    assert ended.code == 0, ended.err
    assert "WDJB-MJHT" in ended.out
    assert [heard.line for heard in server.heard] == [
        "POST /login/device/code HTTP/1.1",
        *["POST /login/oauth/access_token HTTP/1.1"] * 3,
    ]
    assert stage.document()["access_token"] == "canary-access-token"


def test_a_refused_device_code_with_status_200_is_told(stage: Stage, provider: Any) -> None:
    """As what it is, not as a token set that cannot be used."""
    provider("github", DEVICE, {"error": "device_flow_disabled"})
    ended = stage.cli("login", "alpha", "--device")
    assert ended.code == 1
    assert "the code was refused: HTTP 200, device_flow_disabled" in ended.err


@pytest.mark.usefixtures("approving")
def test_a_refused_code_at_slack_is_told(stage: Stage, provider: Any) -> None:
    """`ok: false` is a refusal, whatever the status."""
    provider("slack", {"ok": False, "error": "invalid_code"})
    ended = stage.cli("login", "alpha")
    assert ended.code == 1
    assert "the code was refused: HTTP 200, invalid_code" in ended.err


@pytest.mark.usefixtures("approving")
def test_a_bots_tokens_from_slack_are_put(stage: Stage, provider: Any) -> None:
    """`token_type: bot` is no obstacle."""
    provider("slack", {**TOKENS, "ok": True, "token_type": "bot"})
    ended = stage.cli("login", "alpha")
    assert ended.code == 0, ended.err
    assert stage.document()["access_token"] == "canary-access-token"
