"""The page on notifications holds: its samples load, run and verify."""

from __future__ import annotations

import base64
import json
import re
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rotator.clocks import SystemClock, SystemIds
from rotator.config.load import load_config
from rotator.errors import NotDelivered
from rotator.notices import KINDS, Notice
from rotator.notifiers.posts import Poster
from rotator.notifiers.webhook import Webhook
from rotator.redact import Secret
from tests.config.right_config import ENV, changed

if TYPE_CHECKING:
    from tests.notify.receiver import Receiver

PAGE = (Path(__file__).parent.parent.parent / "docs" / "notifications.md").read_text(encoding="utf-8")
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
RAW = b"thirty-two bytes of a secret key"


def block(name: str) -> str:
    found = re.search(rf"<!-- tested: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def test_the_configuration_is_right(tmp_path: Path) -> None:
    """But for the program, which this machine has under another path."""
    program = tmp_path / "page"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = block("configuration").replace("/usr/local/bin/page", str(program))
    env = {**ENV, "SLACK_WEBHOOK_URL": "https://hooks.example/x", "ROTATOR_HOOK_KEY": "key", "PAGER_TOKEN": "token"}
    settings = load_config(changed() + text, env)
    assert list(settings.notifiers) == ["oncall", "hook", "topic", "bus", "pager"]
    assert settings.warnings == []


def test_the_message_is_what_is_sent() -> None:
    """The sample has every key of a real message, in its order."""
    notice = Notice(
        "3b0f1f3e-64f4-4a52-a2a6-5f8f9f6f0c1d.1",
        "case.opened",
        AT,
        "a person is needed",
        kind="needs_person",
        credential="payroll-export",
        provider="dailypay",
        store="main",
        since=AT,
        detail="secret oauth/payroll-export in store main: GetSecretValue failed with AccessDeniedException "
        "(request 5f9f6f0c)",
        action="allow GetSecretValue on it, and its KMS key, in the IAM policy",
        deadline=AT.replace(minute=6),
    )
    assert json.dumps(notice.body(), indent=2) == block("message").strip()


@pytest.mark.parametrize("text", [RAW.decode(), f"whsec_{base64.b64encode(RAW).decode()}"])
def test_the_snippet_verifies_what_arrives(receiver: Receiver, text: str) -> None:
    """A real delivery is rotator's; with another key, another body, another id or an old time it is not."""
    space: dict[str, Any] = {}
    exec(block("verify"), space)  # the page's own words
    verified = space["verified"]
    poster = Poster("hook", lambda: Secret(receiver.url()), SystemClock(), SystemIds())
    Webhook(poster, lambda: Secret(text)).deliver(Notice("a.1", "test", AT, "a test message"), deadline_s=10)
    [request] = receiver.requests
    headers, body = request.headers, request.body.encode()
    assert verified(RAW, headers, body)
    assert not verified(b"another key", headers, body)
    assert not verified(RAW, headers, body + b" ")
    assert not verified(RAW, {**headers, "webhook-id": "b.1"}, body)
    assert not verified(RAW, {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}, body)
    old = {**headers, "webhook-timestamp": "1"}
    assert not verified(RAW, old, body)


def test_the_notifier_of_ones_own_keeps_the_port() -> None:
    """The sample takes a notice, and says in the right way that it did not."""
    space: dict[str, Any] = {}
    exec(textwrap.dedent(block("own")), space)  # the page's own words
    notice = Notice("a.1", "test", AT, "a test message")
    space["Pigeon"]("p", {"loft": "north"}, SystemClock()).deliver(notice, deadline_s=1)
    with pytest.raises(NotDelivered, match="came back"):
        space["Pigeon"]("p", {"loft": "south"}, SystemClock()).deliver(notice, deadline_s=1)


def test_every_kind_is_on_the_page() -> None:
    """The table of kinds lists those that exist, in the order of their urgency, and no other."""
    table = PAGE.split("| kind |", 1)[1].split("\n\n", 1)[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == KINDS
