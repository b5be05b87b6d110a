"""The Lambda handler tells after its pass, within what is left of its time."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from rotator import aws_events
from tests.integration.conftest import table
from tests.notify.daemons import HOOK_KEY, messages
from tests.test_aws_events import Context, deployed, names, sandbox, seed

if TYPE_CHECKING:
    from rotator.testing.sandbox import SandboxServer
    from tests.notify.receiver import Receiver

__all__ = ["deployed", "names", "sandbox", "table"]


@pytest.fixture
def told(deployed: SandboxServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> SandboxServer:
    import os

    entry = {"type": "webhook", "url": receiver.url(), "signing_key": {"env": "HOOK_KEY"}}
    text = f"{os.environ['ROTATOR_CONFIG_YAML']}notifiers: {json.dumps({'hook': entry})}\nnotify: [hook]\n"
    monkeypatch.setenv("ROTATOR_CONFIG_YAML", f"{text}on_rotated: [hook]\n")
    monkeypatch.setenv("HOOK_KEY", HOOK_KEY)
    return deployed


def test_invocations_tell_a_dead_grant_once_and_each_rotation(
    told: SandboxServer, names: list[str], receiver: Receiver
) -> None:
    """Three schedules in one sandbox: the dead grant is told by the first, and so is the other one's rotation."""
    seed(told, due=True)
    told.face("dailypay").revoke(1)
    reports = [aws_events.handler({"horizon": 60}, Context(300)) for _ in range(3)]
    assert [len(report["failed"]) for report in reports] == [1, 1, 1]
    assert sorted(messages(receiver)) == [
        ("case.opened", "grant_dead", names[0]),
        ("rotated", "", names[1]),
    ]


def test_a_queue_batch_tells_as_well(told: SandboxServer, names: list[str], receiver: Receiver) -> None:
    """Messages of a queue are passes, too."""
    seed(told, due=True)
    told.face("dailypay").revoke(1)
    records: list[dict[str, Any]] = [{"messageId": name, "body": name} for name in names]
    aws_events.handler({"Records": records}, Context(300))
    assert ("case.opened", "grant_dead", names[0]) in messages(receiver)


def test_the_telling_ends_before_the_function_does(told: SandboxServer, receiver: Receiver) -> None:
    """With four seconds left and a receiver that hangs the report is there in time, and nothing is in it of that."""
    seed(told, due=True)
    receiver.hangs = True

    class Ending(Context):
        """So little time is left once the pass is done."""

        def get_remaining_time_in_millis(self) -> int:
            done = told.face("dailypay").report.requests >= 2
            return 4000 if done else 300_000

    began = time.monotonic()
    report = aws_events.handler({}, Ending(0))
    assert len(report["rotated"]) == 2
    assert time.monotonic() - began < 10
