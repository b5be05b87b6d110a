"""The token endpoint over HTTP: one request on a fresh verified connection, and one answer whatever happens."""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpcore

from rotator.addresses import shown
from rotator.answers import classify
from rotator.errors import ProviderUnreachable
from rotator.http_messages import HttpReply
from rotator.model import InDoubt, Misconfigured, Unavailable
from rotator.oauth import build, endpoint_problem
from rotator.redact import Secret, without
from rotator.wire import Wire

if TYPE_CHECKING:
    from rotator.http_messages import HttpRequest
    from rotator.model import Provider, RefreshRequest, TokenAnswer
    from rotator.ports import Clock, Ids

LONGEST_BODY_BYTES = 1 << 20
"""Token answers have some kilobytes; golang.org/x/oauth2 stops at the same mebibyte."""

RETRY_UNSENT_S = 15.0
"""Nothing reached the provider, so that no pacing of its applies; soon enough for a restart to pass unnoticed."""

RETRY_TLS_S = 900.0
"""A certificate is mended by a person."""

BROKEN_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""The peer went away during the handshake, which says nothing against its certificate."""

for _logger in ("httpcore.connection", "httpcore.http11"):
    # At DEBUG they write reply headers, which may quote the request.
    logging.getLogger(_logger).disabled = True


class HttpTokenEndpoint:
    """`ports.TokenEndpoint` over HTTP/1.1. Safe for many threads; no connection outlives its request.

    Neither redirects nor proxies nor environment variables lead the request elsewhere, and nothing repeats it.

    Args:
        ssl_context: Verifies the endpoint; default is the system's trust with TLS 1.2 or later, loaded on first use.
    """

    def __init__(self, clock: Clock, ids: Ids, ssl_context: ssl.SSLContext | None = None) -> None:
        self._clock = clock
        self._ids = ids
        self._context = ssl_context
        self._context_lock = threading.Lock()

    def warm_up(self, provider: Provider) -> None:
        """See `TokenEndpoint.warm_up`."""
        if provider.client_auth == "private_key_jwt" or provider.grant == "jwt_bearer":
            import rotator.client_assertion  # noqa: F401, PLC0415 - on use: few providers ask for signatures
        if provider.token_endpoint.startswith("https:"):
            with contextlib.suppress(OSError, ValueError):
                self._verifying()

    def refresh(self, request: RefreshRequest, *, deadline_s: float, begun_s: float | None = None) -> TokenAnswer:
        """Present the refresh token once. Ends within `deadline_s`, name resolution excepted. Raises nothing."""
        with contextlib.closing(Wire(self._clock, deadline_s, begun_s)) as wire:
            try:
                http = self._prepared(request)
                if isinstance(http, Misconfigured):
                    return http
                reply = self._exchange(http, wire)
                return classify(reply, request, reply.received_at, echoes=http.echoes)
            except Exception as error:  # noqa: BLE001 - the phase decides, not the type: an unforeseen error is no licence
                return _unanswered(wire, error, request)

    def reachable(self, endpoint: str, *, deadline_s: float) -> str | None:
        """Return None when a connection to the endpoint can be opened, TLS included, else what is wrong."""
        problem = endpoint_problem(endpoint)
        if problem:
            return f"the address {problem}"
        url = _target(endpoint)
        host, port = url.host.decode(), url.origin.port
        with contextlib.closing(Wire(self._clock, deadline_s)) as wire:
            try:
                wire.connect_tcp(host, port)
                if url.scheme == b"https":
                    wire.secure(self._verifying(), host)
            except Exception as error:  # noqa: BLE001 - whatever it is, the endpoint is not reachable
                return f"{host}:{port}: {_described(wire, error)}"
        return None

    def ask(self, http: HttpRequest, *, deadline_s: float) -> HttpReply:
        """Send a request that spends no refresh token, once, and return the reply.

        Raises:
            ProviderUnreachable: No reply could be read; the text says whether anything was sent.
        """
        with contextlib.closing(Wire(self._clock, deadline_s)) as wire:
            try:
                return self._exchange(http, wire)
            except Exception as error:  # noqa: BLE001 - whatever it is, there is no reply
                sent = "no reply could be read" if wire.sent_at is not None else "not sent"
                where = http.called or shown(http.url)
                raise ProviderUnreachable(f"{where}: {sent}: {_described(wire, error)}", hint="try again") from None

    def assertion(self, request: RefreshRequest) -> Secret | Misconfigured | None:
        """Return a fresh client assertion where the provider asks for one."""
        if request.provider.client_auth != "private_key_jwt":
            return None
        from rotator.client_assertion import signed_assertion  # noqa: PLC0415 - as in `warm_up`

        return signed_assertion(request, now=self._clock.now(), jwt_id=self._ids.new_id())

    def _prepared(self, request: RefreshRequest) -> HttpRequest | Misconfigured:
        assertion, grant_assertion = self.assertion(request), self._grant_assertion(request)
        if isinstance(assertion, Misconfigured):
            return assertion
        if isinstance(grant_assertion, Misconfigured):
            return grant_assertion
        return build(request, assertion, grant_assertion)

    def _grant_assertion(self, request: RefreshRequest) -> Secret | Misconfigured | None:
        """Return a fresh assertion where that is the grant."""
        if request.provider.grant != "jwt_bearer":
            return None
        from rotator.client_assertion import signed_grant  # noqa: PLC0415 - as in `warm_up`

        return signed_grant(request, now=self._clock.now(), jwt_id=self._ids.new_id())

    def _exchange(self, http: HttpRequest, wire: Wire) -> HttpReply:
        url = _target(http.url)
        headers = {"Host": urlsplit(http.url).netloc, **http.headers, "Content-Length": str(len(http.body))}
        context = self._verifying() if url.scheme == b"https" else None
        # A connection of its own, and no pool: an idle one that the server just closed would be a false doubt.
        connection = httpcore.HTTPConnection(url.origin, context, http2=False, retries=0, network_backend=wire)
        response = connection.handle_request(
            httpcore.Request(http.method, url, headers=list(headers.items()), content=http.body)
        )
        body, complete = _body(response)
        received_at = self._clock.now()
        return HttpReply(
            status=response.status,
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers),
            body=body,
            complete=complete,
            sent_at=wire.sent_at or received_at,
            received_at=received_at,
        )

    def _verifying(self) -> ssl.SSLContext:
        with self._context_lock:
            if self._context is None:
                self._context = ssl.create_default_context()
                self._context.minimum_version = ssl.TLSVersion.TLSv1_2
                # SSLKEYLOGFILE in the environment would let others read the tokens off the wire.
                self._context.keylog_filename = None  # type: ignore[assignment]  # typeshed forgets None
            return self._context


def _target(endpoint: str) -> httpcore.URL:
    """Return the address in the form that is sent: its query kept, an empty path made `/`."""
    parts = urlsplit(endpoint)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return httpcore.URL(scheme=parts.scheme, host=parts.hostname or "", port=parts.port, target=target)


def _body(response: httpcore.Response) -> tuple[bytes, bool]:
    """Return the body, bounded, and whether it is whole. The status stands by now, so no error may lose it."""
    body = bytearray()
    try:
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > LONGEST_BODY_BYTES:
                return bytes(body[:LONGEST_BODY_BYTES]), False
    except Exception:  # noqa: BLE001 - cut off, reset, too slow or badly framed: in each case not whole
        return bytes(body), False
    finally:
        response.close()
    return bytes(body), True


def _unanswered(wire: Wire, error: Exception, request: RefreshRequest) -> TokenAnswer:
    """Classify an exchange that brought no reply, by its phase: what was not sent cannot be spent."""
    described = _described(wire, error)
    if wire.sent_at is not None:
        body = Secret(wire.received.decode("latin-1")) if wire.received else None
        return InDoubt(f"the request was sent and no reply could be read: {described}", body)
    if isinstance(error, ssl.SSLError) and not isinstance(error, BROKEN_OFF):
        hint = (
            f"check token_endpoint of {request.provider.name}, its certificate and this machine's trusted authorities"
        )
        return Misconfigured(f"not sent: {described}", hint, RETRY_TLS_S)
    return Unavailable(RETRY_UNSENT_S, f"not sent: {described}")


def _described(wire: Wire, error: Exception) -> str:
    """Name the phase and the reason. Only the system's own errors are quoted: others could hold what was sent."""
    reason = without(str(error), ()) if isinstance(error, OSError) else ""
    return f"{wire.phase} failed: {reason or type(error).__name__}"
