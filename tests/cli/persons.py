"""Persons who log in: in front of a browser, and beside a device."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from rotator import login as logins
from rotator.cli import logins as cli_logins

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.app.stage import Stage


def visit(address: str) -> None:
    """Do as a browser does: follow the redirect back to the loopback address."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert b"can be closed" in answer.read()
    except urllib.error.HTTPError as error:
        error.close()


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A browser with a person in front of it; the addresses that it was sent to."""
    visited: list[str] = []

    def opened(address: str) -> bool:
        visited.append(address)
        threading.Thread(target=visit, args=(address,), daemon=True).start()
        return True

    monkeypatch.setattr(cli_logins.webbrowser, "open", opened)
    return visited


def saying(stage: Stage, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a person say a word as soon as a device shows its code."""

    def heard(text: str) -> None:
        if " enter " in text:
            stage.face().say(text.rsplit(" ", 1)[1], word)

    beside_a_device(heard, monkeypatch)


def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a person visit the address with the code in it as soon as a device shows it."""

    def heard(text: str) -> None:
        if text.startswith("or open "):
            with urllib.request.urlopen(text.removeprefix("or open "), timeout=10) as answer:
                assert b"The device is" in answer.read()

    beside_a_device(heard, monkeypatch)


def beside_a_device(heard: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a person hear what a device's login says."""
    real = logins.Login.by_device

    def by_device(self: Any, endpoint: Any) -> Any:
        say = self.say

        def told(text: str) -> None:
            say(text)
            heard(text)

        object.__setattr__(self, "say", told)
        return real(self, endpoint)

    monkeypatch.setattr(logins.Login, "by_device", by_device)
