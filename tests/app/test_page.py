"""The status page in a real browser: what it shows of a fleet, and what it does not do."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.board import Board
from rotator.clocks import SystemClock
from rotator.listener import Listener
from rotator.looks import Sight
from rotator.metrics import Meters
from rotator.redact import Secret
from rotator.web import Web
from tests.app.browser import Page, browser
from tests.app.stage import poll
from tests.rotation.world import credential, provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

pytestmark = pytest.mark.xdist_group("browser")

MANY = 2_000
PROVIDERS = [provider(name=name) for name in ("acme", "dailypay")]
EVERY_MS = 5_000


class Fleet:
    """A board with credentials, and the listener that shows it."""

    def __init__(self, count: int) -> None:
        self.clock = SystemClock()
        self.board = Board(starting=False)
        self.credentials = [
            credential(f"service-{number:04d}", provider=PROVIDERS[number % 2]) for number in range(count)
        ]
        for one in self.credentials:
            self.board.seen(Sight(one, "1", "lane", self.at(3000), self.at(2700), None, "", b"", None, self.at(-600)))
        web = Web(self.board, Meters(self.clock), self.clock, local=True, token=None)
        self.listener = Listener("127.0.0.1:0", web)

    def at(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)

    def done(self, number: int, outcome: Callable[[str], outcomes.Outcome]) -> None:
        one = self.credentials[number]
        self.board.done(one, outcome(one.name), None, now=self.clock.now())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.port}/"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@contextlib.contextmanager
def showing(page: Page, fleet: Fleet) -> Iterator[None]:
    """Show a fleet in the page for the length of the block; nothing was complained of, and nobody else asked."""
    fleet.listener.start()
    page.requests.clear()
    page.complaints.clear()
    page.size(1200, 800)
    page.scheme("light")
    here = fleet.url
    page.open(here)
    try:
        poll(lambda: page.evaluate("document.querySelectorAll('article').length"), "the rows")
        yield
    finally:
        page.open("about:blank")
        fleet.listener.close()
    assert page.complaints == []
    assert all(url.startswith(here) for url in page.requests if url != "about:blank")


def text(page: Page, selector: str) -> Any:
    return page.evaluate(f"[...document.querySelectorAll({selector!r})].map(one => one.textContent)")


def test_a_credential_is_a_bar_with_its_times(page: Page) -> None:
    """From its issue to its end, with a mark for now and one for the next refresh, in this order."""
    with showing(page, Fleet(1)):
        assert text(page, "h2") == ["service-0000"]
        left = "parseFloat(getComputedStyle(document.querySelector('{}')).left)"
        issued, now, then = (page.evaluate(left.format(part)) for part in (".life", ".bar .now", ".next"))
        width = page.evaluate("parseFloat(getComputedStyle(document.querySelector('.life')).width)")
        assert issued < now < then < issued + width
        assert text(page, "#sum") == ["1 fresh"]


def test_what_is_wrong_stands_first_with_the_command_that_mends_it(page: Page) -> None:
    """Among two thousand; the counts tell of the others."""
    fleet = Fleet(MANY)
    fleet.done(1234, lambda name: outcomes.Failed(name, "latched", "the grant is dead", f"rotator put {name}"))
    fleet.done(77, lambda name: outcomes.Deferred(name, "rate_limited", None, "429"))
    with showing(page, fleet):
        assert text(page, "article:first-child h2, article:first-child .wrong, article:first-child .mend") == [
            "service-1234",
            "the grant is dead",
            "rotator put service-1234",
        ]
        assert text(page, "#sum") == [f"1 dead, 1 waits, {MANY - 2} fresh"]
        assert page.evaluate("document.querySelectorAll('article').length") == MANY


def test_it_is_filtered_by_state_provider_and_name(page: Page) -> None:
    """At once, without a question to the daemon."""
    fleet = Fleet(10)
    fleet.done(3, lambda name: outcomes.Failed(name, "latched", "the grant is dead", "log in"))

    def choose(field: str, value: str) -> list[str]:
        page.evaluate(
            f"{{ const one = document.getElementById('{field}'); one.value = '{value}';"
            " one.dispatchEvent(new Event('input')); }"
        )
        return [str(name) for name in text(page, "h2")]

    with showing(page, fleet):
        assert choose("state", "latched") == ["service-0003"]
        choose("state", "")
        assert len(choose("provider", "acme")) == 5
        assert choose("name", "0008") == ["service-0008"]


def test_it_is_live(page: Page) -> None:
    """What changes in the daemon changes on the page, without loading it again; what is gone goes."""
    fleet = Fleet(2)
    with showing(page, fleet):
        page.evaluate("window.mark = 1")
        fleet.done(0, lambda name: outcomes.Failed(name, "latched", "the grant is dead", "log in"))
        fleet.board.forget("service-0001")
        poll(lambda: text(page, "#sum") == ["1 dead"], "the news")
        assert text(page, "h2") == ["service-0000"]
        assert page.evaluate("window.mark") == 1


def test_a_daemon_that_does_not_answer_is_no_news_of_its_own(page: Page) -> None:
    """What it said last is shown as that."""
    fleet = Fleet(1)
    with showing(page, fleet):
        page.evaluate(f"{{ const real = Date.now; Date.now = () => real() + {4 * EVERY_MS}; }}")
        page.evaluate("{ fetch = () => Promise.reject(new Error('away')); }")
        poll(lambda: "does not answer" in text(page, "#sum")[0], "the word")


def test_it_fits_a_phone_and_the_dark(page: Page) -> None:
    """Nothing reaches beyond a narrow screen; the colours follow the system's."""
    with showing(page, Fleet(3)):
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.size(360, 740)
        page.scheme("dark")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_a_name_is_text_and_nothing_else(page: Page) -> None:
    """Whatever a reason or an action holds, it is shown and not run."""
    fleet = Fleet(1)
    evil = "<img src=x onerror=document.title='run'>"
    fleet.done(0, lambda name: outcomes.Failed(name, "latched", evil, evil))
    with showing(page, fleet):
        assert text(page, ".wrong") == [evil]
        assert page.evaluate("document.title") == "rotator"


def test_without_the_token_there_is_no_page(page: Page) -> None:
    """Neither the page nor what it reads."""
    fleet = Fleet(1)
    token = Secret("canary-page-token")
    web = Web(fleet.board, Meters(fleet.clock), fleet.clock, local=True, token=lambda: token)
    fleet.listener = Listener("127.0.0.1:0", web)
    fleet.listener.start()
    page.open(fleet.url)
    try:
        poll(lambda: page.evaluate("document.readyState") == "complete", "the answer")
        assert page.evaluate("document.querySelectorAll('article').length") == 0
    finally:
        page.open("about:blank")
        fleet.listener.close()
