"""A sandbox per test, and a client that speaks plain HTTP to it."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

import pytest

from rotator.testing.memory import VirtualClock
from rotator.testing.sandbox import (
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    Face,
    FaceSettings,
    SandboxServer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORM = "application/x-www-form-urlencoded"
POST_CREDENTIALS = {"client_id": DEFAULT_CLIENT_ID, "client_secret": DEFAULT_CLIENT_SECRET}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.json["error"]


class Serve(Protocol):
    def __call__(self, settings: FaceSettings, **arguments: Any) -> Face: ...


class Send(Protocol):
    def __call__(
        self, url: str, *, method: str = "POST", body: bytes | str = b"", headers: Mapping[str, str] | None = None
    ) -> Answer: ...


class Refresh(Protocol):
    def __call__(
        self,
        face: Face,
        refresh_token: str,
        *,
        headers: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
        **parameters: str,
    ) -> Answer: ...


def _send(
    url: str, *, method: str = "POST", body: bytes | str = b"", headers: Mapping[str, str] | None = None
) -> Answer:
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=20)) as connection:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, body, dict(headers or {}))
        with connection.getresponse() as response:
            return Answer(response.status, response.headers, response.read())


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def serve(clock: VirtualClock) -> Iterator[Serve]:
    """Start a server with one tenant and return the tenant; at the end, the sandbox must have had no defect."""
    with contextlib.ExitStack() as stack:
        servers: list[SandboxServer] = []

        def start(settings: FaceSettings, **arguments: Any) -> Face:
            server = stack.enter_context(SandboxServer([settings], **{"clock": clock, **arguments}))
            servers.append(server)
            return server.face(settings.name)

        yield start
        assert [server.failures for server in servers] == [() for _ in servers]


@pytest.fixture
def send() -> Send:
    """Send one request on a fresh connection and return the answer."""
    return _send


@pytest.fixture
def refresh() -> Refresh:
    """Refresh with the default client's credentials in a form body, unless told otherwise."""

    def once(
        face: Face,
        refresh_token: str,
        *,
        headers: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
        **parameters: str,
    ) -> Answer:
        who = POST_CREDENTIALS if credentials is None else credentials
        body = {"grant_type": "refresh_token", "refresh_token": refresh_token, **who, **parameters}
        return _send(face.token_endpoint, body=urlencode(body), headers={"Content-Type": FORM, **(headers or {})})

    return once
