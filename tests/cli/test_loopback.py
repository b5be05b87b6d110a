"""The loopback address of a login: one visit ends it, and whoever else comes gets a page and ends nothing."""

from __future__ import annotations

import math
import threading
import urllib.error
import urllib.request
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rotator.cli import logins
from tests.app.stage import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.app.stage import Stage

Visit = tuple[int, str]


def visit(address: str) -> Visit:
    """Return the status and the page of a visit, at the end of its redirects."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Waiting:
    """A loopback address at which somebody waits for the state `begun`."""

    def __init__(self) -> None:
        self.loopback = logins.Loopback(0)
        self.base = self.loopback.redirect_uri.removesuffix("/callback")
        self.came: list[Any] = []
        self.thread = threading.Thread(target=lambda: self.came.append(self.loopback.wait("begun", 20.0)))
        self.thread.start()

    def callback(self, query: str) -> Visit:
        return visit(f"{self.base}/callback?{query}")


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    one = Waiting()
    with one.loopback:
        yield one
        one.thread.join()


def test_other_visitors_are_not_the_browser(waiting: Waiting) -> None:
    """A favicon is asked for first, by some."""
    assert visit(f"{waiting.base}/favicon.ico") == (404, "")
    status, page = waiting.callback("code=x&state=begun")
    assert (status, "Thank you" in page) == (200, True)
    assert poll(lambda: waiting.came, "the visit")[0].parameters == {"code": "x", "state": "begun"}


@pytest.mark.parametrize("query", ["", "code=forged", "code=forged&state=another", "error=access_denied&state=b%C3%A9"])
def test_a_visit_that_was_not_asked_for_ends_no_login(waiting: Waiting, query: str) -> None:
    """Its page says that it is another login, and the one that was begun is waited for."""
    status, page = waiting.callback(query)
    assert (status, "not the login that was begun" in page) == (400, True)
    assert "Thank you" not in page
    assert waiting.callback("code=x&state=begun")[0] == 200
    assert poll(lambda: waiting.came, "the visit")[0].parameters == {"code": "x", "state": "begun"}


@pytest.mark.parametrize("query", ["error=access_denied&state=begun", "error=x&code=y&state=begun", "state=begun"])
def test_a_login_that_failed_is_not_thanked_for(waiting: Waiting, query: str) -> None:
    """The page says so, and where the reason stands."""
    status, page = waiting.callback(query)
    assert (status, "did not work" in page, "terminal" in page) == (200, True, True)
    assert "Thank you" not in page


# ------------------------------------------------------------------------------------------------ whole logins


@pytest.fixture
def offered(stage: Stage) -> Stage:
    entry = stage.config["providers"]["acme"]
    entry["authorization_endpoint"] = f"{stage.face().token_endpoint}/authorize"
    stage.credential("alpha")
    return stage


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], Any]], list[Any]]:
    """Let a browser do something with the address that it is sent to; what comes of it is in the list."""

    def browser(does: Callable[[str], Any]) -> list[Any]:
        done: list[Any] = []

        def opened(address: str) -> bool:
            threading.Thread(target=lambda: done.append(does(address)), daemon=True).start()
            return True

        monkeypatch.setattr(logins.webbrowser, "open", opened)
        return done

    return browser


def test_a_forged_visit_before_the_browsers_does_no_harm(offered: Stage, sent: Any) -> None:
    """The login ends with the token set of the one that was begun."""

    def both(address: str) -> Visit:
        [back] = parse_qs(urlsplit(address).query)["redirect_uri"]
        assert visit(f"{back}?code=forged&state=another")[0] == 400
        return visit(address)

    pages = sent(both)
    ended = offered.cli("login", "alpha")
    assert ended.code == 0, ended.err
    assert poll(lambda: pages, "the browser's page")[0][0] == 200
    assert offered.is_live()


def test_who_comes_back_with_the_wrong_state_alone_is_told_when_the_time_is_up(
    offered: Stage, sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an answer to somebody else's question; the document is as it was."""
    offered.seed()
    before = offered.version()
    offered.face().settings.person = "forged"
    now_s, visited = [0.0], logins._Visits.visited

    def the_last(server: Any, target: str) -> Any:
        now_s[0] = math.inf  # nobody else comes
        return visited(server, target)

    monkeypatch.setattr(logins._Visits, "visited", the_last)
    monkeypatch.setattr(logins, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    sent(visit)
    ended = offered.cli("login", "alpha")
    assert (ended.code, "not asked for here: another `state`" in ended.err) == (1, True)
    assert offered.version() == before


def test_a_code_of_another_issuer_is_not_redeemed(offered: Stage, sent: Any) -> None:
    """A code that another provider gave out for this login would be shown to this one (RFC 9207 section 2.4)."""
    offered.config["providers"]["acme"]["issuer"] = offered.face().issuer

    def mixed_up(address: str) -> Visit:
        asked = parse_qs(urlsplit(address).query)
        return visit(f"{asked['redirect_uri'][0]}?code=x&state={asked['state'][0]}&iss=https://another.example")

    sent(mixed_up)
    ended = offered.cli("login", "alpha")
    assert (ended.code, "what the browser brought back is another issuer's" in ended.err) == (1, True)
    assert offered.face().report.requests == 0


@pytest.mark.parametrize("port", ["99999", "-5"])
def test_a_port_that_is_none_is_a_mistake_in_the_command_line(offered: Stage, port: str) -> None:
    """Exit code 2, without a traceback."""
    ended = offered.cli("login", "alpha", f"--port={port}")
    assert (ended.code, "is not in the range 0<=x<=65535" in ended.err) == (2, True)
