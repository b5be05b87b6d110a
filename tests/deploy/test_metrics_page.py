"""`docs/metrics.md` holds: its metrics are those of real runs, its spans the code's, its configuration is taken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from rotator.config.telemetry_settings import PushSettings
from tests.app.stage import real_stage
from tests.config.right_config import load
from tests.deploy.real_runs import exposed
from tests.deploy.test_prometheus import ROOT

if TYPE_CHECKING:
    from typing import Any

    from tests.deploy.real_runs import Exposed

__all__ = ["exposed", "real_stage"]

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
ENDINGS = re.compile("_(?:bucket|count|sum)$")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its own."""
    table = PAGE.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def test_the_metrics_are_those_of_real_runs(exposed: Exposed) -> None:
    """All of them, with their labels."""
    found: dict[str, set[str]] = {}
    for name, labels in exposed.families.items():
        found.setdefault(ENDINGS.sub("", name), set()).update(labels - {"le"})
    shown = {name.strip("`"): set(filter(None, labels.split(", "))) for name, labels, _ in rows("metric")}
    assert shown == found


def test_the_keys_of_a_push_are_those_that_there_are() -> None:
    """With their defaults."""
    shown = {key: default for keys, _, default in rows("key of `push`") for key in re.findall(r"`(\w+)`", keys)}
    assert shown.keys() == PushSettings.model_fields.keys()
    made = PushSettings(url="https://h")
    assert (shown["job"], shown["timeout"], shown["plaintext"]) == (f"`{made.job}`", f"`{made.timeout:g}s`", "`false`")


def test_the_spans_are_those_of_the_code() -> None:
    """By their names."""
    lines = [
        line for name in ("traced", "traces") for line in (ROOT / "rotator" / f"{name}.py").read_text().split("\n")
    ]
    code = "\n".join(line for line in lines if "_log." not in line)
    made = set(re.findall(r'(?:step\(|start_span\(|name = |else )"([a-z ]+)"', code))
    shown = {name for names, *_ in rows("span") for name in re.findall(r"`([a-z ]+)`", names)}
    assert shown == made


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL))
def test_its_configuration_is_taken(block: str) -> None:
    """Each block, in a configuration that is right."""

    def change(content: dict[str, Any]) -> None:
        content.update(yaml.safe_load(block))

    assert load(change)
