"""`docs/audit.md` holds: its samples are what is written, its tables what the code says, its configuration is taken."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from rotator.audit.events import AuditEvent, EventName
from rotator.audit.formats import ACTIVITIES, MEANING, OCSF_VERSION, SEVERITIES, STATUSES
from rotator.audit.sinks import JsonlFileSink
from tests.config.right_config import load, put
from tests.test_readme import commands_in, existing_commands

PAGE = (Path(__file__).parent.parent / "docs" / "audit.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"^\*\*`(\w+)`\*\*.*?^```json\n(.+?)\n```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("form", "sample"), SAMPLES, ids=[form for form, _ in SAMPLES])
def test_a_sample_is_what_is_written(tmp_path: Path, form: Any, sample: str) -> None:
    """To the letter, its chain included; but for the version of rotator."""
    event = AuditEvent(
        "rotation.succeeded",
        "9b2f6f3e-2f0a-4c55-9d55-0d6a3a1c7f10",
        datetime(2026, 1, 1, 9, 30, 2, 125000, tzinfo=UTC),
        "payroll-export",
        "dailypay",
        "main",
        {"host": "tokens-1", "pid": 412, "mode": "daemon", "instance": "5c1e0c7d9a41"},
        "1f6d1b53-8f5e-4d7c-8a36-6c0f6c7b2f9e",
        {
            "attempt": 1,
            "refresh_token_digest": "6f1d2c9b8a7e4053",
            "version_before": "41",
            "version_after": "42",
            "expires_at": datetime(2026, 1, 1, 10, 30, 2, tzinfo=UTC),
            "duration_ms": 412,
        },
    )
    path = tmp_path / "audit.jsonl"
    JsonlFileSink(path, form).record(event)
    assert _without_version(path.read_text()) == _without_version(sample)


def _without_version(line: str) -> Any:
    found = json.loads(line)
    if "class_uid" in found:  # with the version the digest changes
        del found["metadata"]["product"]["version"], found["unmapped"]["chain"]
    return found


def test_there_is_a_sample_of_each_format_and_all_are_taken() -> None:
    """The formats of the configuration, and no other."""
    [block] = re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL)
    settings = load(put("audit", yaml.safe_load(block)["audit"]))
    assert [sink.format for sink in settings.audit] == [form for form, _ in SAMPLES]


def test_the_events_are_those_that_there_are() -> None:
    """Each in a row."""
    table = PAGE.split("## Events", 1)[1].split("\n\n", 2)[1]
    assert re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE) == list(EventName.__args__)  # type: ignore[attr-defined]


def test_the_meanings_in_ocsf_are_those_of_the_code() -> None:
    """Row by row, and the version."""
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (\S.*? \| .*? \| \w+) \|$", PAGE, re.MULTILINE))
    for event, (activity, status, severity) in MEANING.items():
        other = f"Other: `{event}`"
        shown = (ACTIVITIES.get(activity, other), STATUSES.get(status, other), SEVERITIES[severity])
        assert rows[event] == " | ".join(shown)
    assert f"(https://schema.ocsf.io) {OCSF_VERSION}." in PAGE


def test_its_commands_exist() -> None:
    """With their options."""
    assert commands_in(PAGE) - existing_commands() == set()
