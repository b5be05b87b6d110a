"""`rotator login`: the browser, the loopback address it comes back to, and the words for the person."""

from __future__ import annotations

import contextlib
import shlex
import time
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from rotator.cli import shown
from rotator.cli.context import Context, Exit, exit_code, say, warn
from rotator.cli.shown import json_text, stored_json
from rotator.errors import ConfigError, Problem
from rotator.first_token import first_token
from rotator.login import Login, Redirect
from rotator.provider_calls import ProviderCalls
from rotator.revoking import revoke
from rotator.token_endpoint import HttpTokenEndpoint

if TYPE_CHECKING:
    from types import TracebackType

PATH = "/callback"
_PAGE = "<!doctype html><title>rotator</title><p>"
DONE = f"{_PAGE}Thank you: the login goes on in the terminal. This window can be closed."
FAILED = f"{_PAGE}It did not work: the terminal says why. This window can be closed."
STRAY = f"{_PAGE}This is not the login that was begun. That one is still waited for."


class Loopback:
    """Listens on the loopback address for the one visit of a browser (RFC 8252 section 7.3); for `with`.

    Args:
        port: 0 is any that is free; providers that want the whole address registered need a fixed one.
    """

    def __init__(self, port: int) -> None:
        try:
            self._server = _Visits(("127.0.0.1", port), _Visit)
        except OSError as error:
            what = f"cannot listen at 127.0.0.1:{port}: {error.strerror}"
            raise ConfigError([Problem("--port", what, "leave it out, or name another port")]) from None

    @property
    def redirect_uri(self) -> str:
        """The address that the browser comes back to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def wait(self, state: str, timeout_s: float) -> Redirect | None:
        """Return what the browser brought back for the login that was begun with `state`.

        Whoever comes with another one ends no login: any page can lead a browser here. When the time is up it is told,
        though: the last such visit is returned, or None when nobody came.
        """
        self._server.state = state
        ends_s = time.monotonic() + timeout_s  # noqa: TID251 - a person's patience goes by the machine's clock
        while self._server.brought is None:
            self._server.timeout = ends_s - time.monotonic()  # noqa: TID251 - likewise
            if self._server.timeout <= 0:
                return self._server.stray
            self._server.handle_request()
        return self._server.brought

    def __enter__(self) -> Loopback:  # noqa: PYI034 - final by use
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._server.server_close()


class _Visits(HTTPServer):
    state: str = ""
    brought: Redirect | None = None
    stray: Redirect | None = None

    def visited(self, target: str) -> tuple[int, str]:
        """Take what a visit brings; return the status and the page that answer it."""
        parts = urlsplit(target)
        if parts.path != PATH:
            return 404, ""
        redirect = Redirect(dict(parse_qsl(parts.query)))
        if not redirect.answers(self.state):
            self.stray = redirect
            return 400, STRAY
        self.brought = redirect
        return 200, DONE if "code" in redirect.parameters and "error" not in redirect.parameters else FAILED


class _Visit(BaseHTTPRequestHandler):
    server: _Visits
    timeout = 5.0

    def do_GET(self) -> None:
        status, page = self.server.visited(self.path)
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's; the line would hold the code
        """Stay silent."""


def log_in(
    context: Context, name: str, *, device: bool, port: int, browser: bool, timeout_s: float, as_json: bool
) -> int:
    """Log in at a credential's provider and put the token set; where the grant stands, get its first token.

    Args:
        browser: Open it, instead of printing the address.
        timeout_s: How long to wait for it to come back.
        as_json: Print one JSON object; what is told the person goes to stderr then.
    """
    app = context.app("once")
    credential = app.credential(name)
    if credential.provider.stands:
        outcome = first_token(app, credential)
        say(shown.pass_json([outcome]) if as_json else shown.outcome_line(outcome))
        return exit_code([outcome])
    clock, ids = app.surroundings.clock, app.surroundings.ids
    tell = warn if as_json else say
    calls = ProviderCalls(app, credential, HttpTokenEndpoint(clock, ids))
    one = Login(calls, tell, _command(context, name, device=device, port=port))
    endpoint = one.prepare(device=device)
    if device:
        written = one.by_device(endpoint)
    else:

        def show(address: str) -> None:
            opened = False
            if browser:
                with contextlib.suppress(webbrowser.Error):
                    opened = webbrowser.open(address)
            warn("rotator: log in in the browser that was opened" if opened else "rotator: log in at this address:")
            if not opened:
                tell(address)

        with Loopback(port) as loopback:
            uri = loopback.redirect_uri
            written = one.by_browser(endpoint, uri, show, lambda state: loopback.wait(state, timeout_s))
    say(stored_json(credential, written) if as_json else f"{name}: stored as version {written.version}")
    return Exit.WELL


def _command(context: Context, name: str, *, device: bool, port: int) -> str:
    """Return the command line that begins a login anew; $ROTATOR_CONFIG is still there for it."""
    where = ("-c", context.config) if context.config else ()
    how = ("--device",) if device else ("--port", str(port)) if port else ()  # where only that address is registered
    return shlex.join(("rotator", *where, "login", name, *how))


def end_grant(context: Context, name: str, *, as_json: bool) -> int:
    """Revoke a credential's refresh token at its provider."""
    app = context.app("operator")
    endpoint = HttpTokenEndpoint(app.surroundings.clock, app.surroundings.ids)
    revoke(ProviderCalls(app, app.credential(name), endpoint))
    credential = app.credential(name)
    told = f"{name}: revoked; nothing of it is refreshed until somebody logs in again: {credential.login}"
    say(json_text({"name": name, "revoked": True, "action": credential.login_again}) if as_json else told)
    return Exit.WELL
