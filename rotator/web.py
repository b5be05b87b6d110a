"""What the daemon answers over HTTP, as a WSGI application (PEP 3333): health for whoever asks, more for who may.

Nothing can be done through it: it answers GET and HEAD, reads memory only, and shows no secret.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hmac
import json
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Any

from rotator.addresses import is_loopback
from rotator.errors import RotatorError, StoreUnavailable
from rotator.reports import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rotator.board import Board, Line
    from rotator.metrics import Meters
    from rotator.ports import Clock
    from rotator.redact import Secret

Headers = list[tuple[str, str]]
TEXT = "text/plain; charset=utf-8"
COMMON: Headers = [
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


FRESH_S = 5.0
"""How long a token that was read is believed."""

POLICY = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
PAGE_POLICY = (
    POLICY[0],
    "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
"""What the status page may load: its own script and style, and `/status.json`."""

PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT
    headers: Headers = field(default_factory=list)

    @classmethod
    def text(cls, status: HTTPStatus, text: str, headers: Headers | None = None) -> Answer:
        """Return an answer for people."""
        return cls(status, f"{text}\n".encode(), TEXT, headers or [])


@dataclass(frozen=True, slots=True)
class Web:
    """Answers requests from many threads.

    `/healthz` and `/readyz` are for whoever can reach them: an orchestrator has no token, and they name no credential.
    All else needs the token where there is one; without one it is for this machine only, by the address that is
    listened at and by the `Host` of the request, which a page of another site cannot choose (DNS rebinding).

    Args:
        local: Whether a loopback address is listened at.
        token: Reads the token that opens the rest (`rotator.web.Fresh`); None where none is configured.
    """

    board: Board
    meters: Meters
    clock: Clock
    local: bool
    token: Callable[[], Secret] | None

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        answer = self._answer(environ)
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        if not any(name == PAGE_POLICY[0] for name, _ in answer.headers):
            headers.append(POLICY)
        start_response(f"{answer.status.value} {answer.status.phrase}", [*headers, *COMMON, *answer.headers])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _answer(self, environ: Mapping[str, Any]) -> Answer:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return Answer.text(HTTPStatus.METHOD_NOT_ALLOWED, "nothing can be done here", [("Allow", "GET, HEAD")])
        match environ.get("PATH_INFO", "/"):
            case "/healthz":
                trouble = self.board.hangs(self.clock.monotonic_s())
                return Answer.text(HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK, trouble or "ok")
            case "/readyz":
                return self._readiness()
            case "/metrics":
                return self._refusal(environ) or self._metrics(environ)
            case "/status.json":
                return self._refusal(environ) or self._status()
            case path if path in PAGE:
                return self._refusal(environ) or _file(path)
            case _:
                return Answer.text(HTTPStatus.NOT_FOUND, "there are /, /status.json, /metrics, /healthz and /readyz")

    def _readiness(self) -> Answer:
        troubles = self.board.unready()
        status = HTTPStatus.SERVICE_UNAVAILABLE if troubles else HTTPStatus.OK
        body = json.dumps({"ready": not troubles, "troubles": troubles}, ensure_ascii=False) + "\n"
        return Answer(status, body.encode(), "application/json")

    def _metrics(self, environ: Mapping[str, Any]) -> Answer:
        body, content_type = self.meters.scrape(environ.get("HTTP_ACCEPT", ""))
        return Answer(HTTPStatus.OK, body, content_type)

    def _status(self) -> Answer:
        body = json.dumps({"credentials": [_shown(line) for line in self.board.lines()]}, ensure_ascii=False)
        return Answer(HTTPStatus.OK, body.encode(), "application/json")

    # -------------------------------------------------------------------------------------------------- who may

    def _refusal(self, environ: Mapping[str, Any]) -> Answer | None:
        """Return why this request is not answered; None where it is."""
        if self.token is None:
            if not self.local:
                hint = "set http.token, or listen on 127.0.0.1: without a token there are /healthz and /readyz only"
                return Answer.text(HTTPStatus.FORBIDDEN, hint)
            if not is_loopback(_host(environ.get("HTTP_HOST", ""))):
                return Answer.text(HTTPStatus.FORBIDDEN, "ask by 127.0.0.1 or localhost, or set http.token")
            return None
        given = _given(environ.get("HTTP_AUTHORIZATION", ""))
        if given:  # who shows nothing is answered without asking a store
            try:
                token = self.token()
            except RotatorError as error:
                return Answer.text(HTTPStatus.SERVICE_UNAVAILABLE, f"http.token cannot be read: {error}")
            if hmac.compare_digest(given, token.reveal().encode(errors="surrogateescape")):
                return None
        challenges = [("WWW-Authenticate", 'Bearer realm="rotator"'), ("WWW-Authenticate", 'Basic realm="rotator"')]
        what = "this needs the token of http.token: Authorization: Bearer TOKEN, or as a browser's password"
        return Answer.text(HTTPStatus.UNAUTHORIZED, what, challenges)


@dataclass(slots=True)
class Fresh:
    """A secret, read anew every few seconds by one thread at a time.

    While a store that holds it does not answer, that thread waits for it, and the others go on with what was read last:
    else a page that asks every five seconds would take every thread, and health would not be answered.
    """

    read: Callable[[], Secret]
    clock: Clock
    _known: Secret | None = None
    _read_s: float = 0.0
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> Secret:
        """Return it.

        Raises:
            ConfigError: It cannot be read.
            StoreUnavailable: It lies in a store that does not answer.
        """
        known = self._known
        if known is not None and self.clock.monotonic_s() - self._read_s < FRESH_S:
            return known
        if not self._reading.acquire(blocking=False):
            if known is None:
                raise StoreUnavailable("it is being read", hint="ask again")
            return known
        try:
            self._known = self.read()
            self._read_s = self.clock.monotonic_s()
            return self._known
        except RotatorError:
            self._known = None
            raise
        finally:
            self._reading.release()


def _shown(line: Line) -> dict[str, str | None]:
    """Return a line as `status --json` has it, with `issued_at` besides."""
    return {
        "name": line.credential.name,
        "provider": line.credential.provider.name,
        "store": line.credential.store,
        "state": line.state,
        "issued_at": instant(line.issued_at),
        "expires_at": instant(line.expires_at),
        "next_refresh_at": instant(line.next_at),
        "last_rotated_at": instant(line.rotated_at),
        "reason": line.reason,
        "action": line.action,
    }


@functools.cache
def _file(path: str) -> Answer:
    """Return a file of the status page; all of it comes from here, and nothing from elsewhere."""
    name, content_type = PAGE[path]
    body = (resources.files("rotator") / "page" / name).read_bytes()
    return Answer(HTTPStatus.OK, body, content_type, [PAGE_POLICY])


def _given(authorization: str) -> bytes:
    """Return the token in an `Authorization` header (RFC 6750 section 2.1; RFC 7617, as password); empty for none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip(" \t").encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


def _host(header: str) -> str:
    """Return the host of a `Host` header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
