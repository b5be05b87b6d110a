"""What every notifier must do: the port's docstring as tests."""

from __future__ import annotations

import abc
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from rotator.clocks import SystemClock
from rotator.errors import NotDelivered
from rotator.notices import Notice
from rotator.testing.contract_parts import race, shown

if TYPE_CHECKING:
    from rotator.notifier import Notifier


_AT = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
_DEADLINE_S = 10.0
_SPARE_S = 3.0
"""A busy machine is no broken promise."""

_DETAIL = "detail-that-no-error-shows"


class NotifierHarness(abc.ABC):
    """The notifier under test, and its receiver.

    Args:
        notifier: Leads to a receiver that takes everything.
        secrets: What no error may show: an address, a key.
        hangs_s: The deadline to be tried with a receiver that hangs; 10 where the notifier has bounds of its own.
    """

    notifier: Notifier
    secrets: tuple[str, ...] = ()
    hangs_s: float = 1.0

    @abc.abstractmethod
    def received(self) -> list[str]:
        """Return what has arrived, one text for each message, in the receiver's own form."""

    @abc.abstractmethod
    def refusing(self) -> Notifier:
        """Return a notifier whose receiver refuses every message."""

    @abc.abstractmethod
    def hanging(self) -> Notifier:
        """Return a notifier whose receiver takes a message and never answers."""

    @abc.abstractmethod
    def unreachable(self) -> Notifier:
        """Return a notifier that cannot reach its receiver."""


class NotifierContract:
    """Subclass it with a name that begins with `Test` and a fixture `harness`: a harness with nothing received."""

    def test_a_delivered_notice_has_arrived_once(self, harness: NotifierHarness) -> None:
        """When `deliver` returns the receiver has the message, with the credential and what is the case, once."""
        harness.notifier.deliver(_notice(1), deadline_s=_DEADLINE_S)
        [text] = harness.received()
        assert "payroll-export" in text
        assert "its grant is dead" in text

    def test_any_text_arrives(self, harness: NotifierHarness) -> None:
        """Quotes, markup, other scripts, line ends and a detail of a million characters are no reason to fail."""
        strange = 'a "b" \\ <!channel> & \r\n\t\u0007 Zoë 株式会社 😀 \u202e'
        for text in (strange, "x" * 1_000_000, ""):
            harness.notifier.deliver(_notice(2, detail=text, action=strange), deadline_s=_DEADLINE_S)
        assert len(harness.received()) == 3

    def test_each_type_of_message_arrives(self, harness: NotifierHarness) -> None:
        """Messages that are about no credential, or about many, arrive like the others."""
        test = Notice("t-1", "test", _AT, "a test message")
        many = Notice("s-1", "cases.summary", _AT, "and 900 more", names=tuple(f"name-{n}" for n in range(50)))
        for notice in (test, many):
            harness.notifier.deliver(notice, deadline_s=_DEADLINE_S)
        assert len(harness.received()) == 2

    def test_a_refusal_is_not_delivered(self, harness: NotifierHarness) -> None:
        """A receiver that refuses is NotDelivered; nothing of the message or of the notifier's secrets is shown."""
        self._fails(harness, harness.refusing(), _DEADLINE_S)

    def test_a_receiver_that_hangs_is_not_waited_for(self, harness: NotifierHarness) -> None:
        """One that never answers is NotDelivered by the deadline."""
        clock = SystemClock()
        notifier = harness.hanging()
        began_s = clock.monotonic_s()
        self._fails(harness, notifier, harness.hangs_s)
        assert clock.monotonic_s() - began_s < harness.hangs_s + _SPARE_S

    def test_an_unreachable_receiver_is_not_delivered(self, harness: NotifierHarness) -> None:
        """One that is not there is NotDelivered."""
        self._fails(harness, harness.unreachable(), _DEADLINE_S)

    def test_many_threads_may_deliver(self, harness: NotifierHarness) -> None:
        """Messages of many threads at once all arrive."""
        race(lambda n: harness.notifier.deliver(_notice(n), deadline_s=_DEADLINE_S))
        assert len(harness.received()) == 8

    def test_a_closed_notifier_delivers_nothing(self, harness: NotifierHarness) -> None:
        """After `close`, however often it is called, a delivery is NotDelivered and nothing arrives."""
        harness.notifier.close()
        harness.notifier.close()
        self._fails(harness, harness.notifier, _DEADLINE_S)
        assert harness.received() == []

    @staticmethod
    def _fails(harness: NotifierHarness, notifier: Notifier, deadline_s: float) -> None:
        with pytest.raises(NotDelivered) as caught:
            notifier.deliver(_notice(1), deadline_s=deadline_s)
        told = shown(caught.value)
        assert caught.value.message
        for secret in (*harness.secrets, _DETAIL):
            assert secret not in told


def _notice(number: int, detail: str = _DETAIL, action: str = "rotator login payroll-export") -> Notice:
    return Notice(
        f"00000000-0000-4000-8000-{number:012d}.1",
        "case.opened",
        _AT,
        "its grant is dead",
        kind="grant_dead",
        credential="payroll-export",
        provider="auth0-prod",
        store="main",
        since=_AT,
        detail=detail,
        action=action,
        deadline=_AT,
    )
