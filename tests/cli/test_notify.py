"""`rotator notify`: an operator tries notifiers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.notify.daemons import HOOK_KEY, hook
from tests.notify.receiver import Receiver, closed_port

if TYPE_CHECKING:
    from tests.app.stage import Stage


@pytest.fixture
def told(stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("HOOK_KEY", HOOK_KEY)
    stage.credential()
    hook(stage, receiver)
    return stage


def test_a_test_message_is_sent_and_told(told: Stage, receiver: Receiver) -> None:
    """It says that it is a test, and nothing else; the code is 0."""
    ended = told.cli("notify", "hook")
    assert (ended.code, ended.out) == (0, "hook: delivered\n")
    [body] = receiver.bodies
    assert json.loads(body)["type"] == "test"
    assert json.loads(body)["data"]["title"] == "a test message"


def test_what_was_not_delivered_is_told_with_a_hint(told: Stage, receiver: Receiver) -> None:
    """Of all notifiers, each by its name; one that failed makes the code 1 and holds no other up."""
    gone = {**told.config["notifiers"]["hook"], "url": f"http://127.0.0.1:{closed_port()}/"}
    told.config["notifiers"]["gone"] = gone
    ended = told.cli("notify")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert lines[0] == "hook: delivered"
    assert lines[1].startswith("gone: not delivered: notifier gone: not sent: connecting failed: ")
    assert lines[2] == "    → check the address and the network"


def test_an_unknown_name_is_bad_usage(told: Stage, receiver: Receiver) -> None:
    """All unknown names are told, with the one that was meant, and nothing is sent."""
    ended = told.cli("notify", "hok", "hook", "other")
    assert ended.code == 2
    assert "there is no notifier 'hok'\n    → did you mean 'hook'?" in ended.err
    assert "there is no notifier 'other'" in ended.err
    assert receiver.requests == []


def test_without_notifiers_there_is_nobody_to_tell(stage: Stage) -> None:
    """That is bad usage, with the section to be written."""
    stage.credential()
    ended = stage.cli("notify")
    assert ended.code == 2
    assert "no notifier is configured\n    → add one under notifiers" in ended.err
