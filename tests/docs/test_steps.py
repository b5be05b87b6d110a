"""The blocks that are marked as tested run as they stand, in order, in one bash."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs.pages import DOCS, README, Page, documentation
from tests.docs.shell import clone_in, on_free_ports, run_in_bash

if TYPE_CHECKING:
    from pathlib import Path

START = Page(DOCS / "start.md")
RUN_BY = {
    ("README.md", "five minutes"): "test_the_front_page_rotates_a_credential_of_an_own_provider",
    ("docs/start.md", "own provider"): "test_a_provider_of_ones_own",
    ("docs/start.md", "first credential"): "test_the_first_credential",
    ("docs/security.md", "seal key"): "tests/docs/test_seal_key.py",
    ("docs/notifications.md", "configuration"): "tests/notify/test_docs.py",
    ("docs/notifications.md", "message"): "tests/notify/test_docs.py",
    ("docs/notifications.md", "verify"): "tests/notify/test_docs.py",
    ("docs/notifications.md", "own"): "tests/notify/test_docs.py",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return clone_in(tmp_path)


def ran(page: Page, name: str, folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """Run the steps of a name; return what they printed and the audit events."""
    ended = run_in_bash(on_free_ports("".join(page.steps(name))), folder)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    lines = (folder / "var" / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    return ended.stdout, [json.loads(line) for line in lines]


def test_every_marked_block_is_run() -> None:
    """Each name that a block is marked with has a test here, and each test has its blocks."""
    marked = {
        (page.name, block.mark.removeprefix("tested: "))
        for page in documentation()
        for block in page.blocks
        if block.mark.startswith("tested: ")
    }
    assert marked == RUN_BY.keys()


def test_the_front_page_rotates_a_credential_of_an_own_provider(clone: Path) -> None:
    """Configured, logged in, proved, rotated and run, with what stands on the front page alone."""
    printed, events = ran(Page(README), "five minutes", clone)

    assert [event["event"] for event in events] == ["credential.seeded", "rotation.started", "rotation.succeeded"]
    assert {event["provider"] for event in events} == {"acme"}
    assert "config/rotator.yaml: 1 credential can be rotated" in printed
    assert "partner-api: rotated" in printed


def test_a_provider_of_ones_own(clone: Path) -> None:
    """The generic profile, a login by a browser, one rotation, and a token for a reader."""
    printed, events = ran(START, "own provider", clone)

    assert [event["event"] for event in events] == [
        "credential.seeded",
        "rotation.started",
        "rotation.succeeded",
        "credential.read",
    ]
    assert re.search(r"^sandbox_at_\w+$", printed, re.MULTILINE)


def test_the_first_credential(clone: Path) -> None:
    """Both credentials are rotated, by the daemon and by passes, and a lost reply ends as a doubt."""
    printed, events = ran(START, "first credential", clone)

    succeeded = [
        (event["credential"], event["actor"]["mode"]) for event in events if event["event"] == "rotation.succeeded"
    ]
    assert succeeded == [("payroll-export", "daemon"), ("reports", "once"), ("reports", "once")]
    assert [event["credential"] for event in events if event["event"] == "rotation.in_doubt"] == ["reports"]
    assert "exit code 75" in printed
    assert re.search(r"^config/rotator\.yaml: 2 credentials can be rotated$", printed, re.MULTILINE)
    assert re.search(r"^sandbox_at_\w+$", printed, re.MULTILINE)
