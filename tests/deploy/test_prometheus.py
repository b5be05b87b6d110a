"""The alerts: checked and tried one by one by Prometheus' own tool, fed by real runs, and none without a runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.app.stage import real_stage
from tests.deploy.real_runs import exposed

if TYPE_CHECKING:
    from tests.deploy.real_runs import Exposed

__all__ = ["exposed", "real_stage"]

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "deploy" / "helm" / "rotator" / "alerts"
RULES = ROOT / "deploy" / "prometheus" / "rotator.rules.yaml"
TESTS = Path(__file__).parent / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks.md"
KINDS = ("deployment", "cronjob")
FIVE = ["Means", "How bad", "Look", "Mend", "Over when"]


def alerts(kind: str) -> list[dict[str, Any]]:
    """Return a chart's alerts, as it renders them for a release of the name rotator."""
    text = (ALERTS / f"{kind}.yaml").read_text().replace("NAME", "rotator").replace("RUNBOOKS", "docs/runbooks.md")
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not here: apt-get install prometheus")
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    for kind in KINDS:
        group = {"groups": [{"name": kind, "rules": alerts(kind)}]}
        (tmp_path / f"{kind}.rules.yaml").write_text(yaml.safe_dump(group))
    shutil.copy(TESTS, tmp_path)
    return tmp_path


def test_the_rules_for_a_plain_prometheus_are_those_of_the_chart() -> None:
    """Word for word."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    assert group["rules"] == alerts("deployment")


def test_prometheus_takes_them(rules: Path) -> None:
    """Its own check of syntax and expressions."""
    promtool("check", "rules", RULES, rules / "deployment.rules.yaml", rules / "cronjob.rules.yaml")


def test_each_fires_when_it_should_and_not_before(rules: Path) -> None:
    """With a test of its own for each."""
    promtool("test", "rules", rules / TESTS.name)
    tried = {one["alertname"] for test in yaml.safe_load(TESTS.read_text())["tests"] for one in test["alert_rule_test"]}
    assert tried == {rule["alert"] for kind in KINDS for rule in alerts(kind)}


def test_real_runs_expose_what_the_alerts_ask_for(exposed: Exposed) -> None:
    """A daemon that is scraped, or the file that a pass leaves; but for what Kubernetes itself tells."""
    asked = {name for kind in KINDS for rule in alerts(kind) for name in re.findall(r"rotator_\w+", rule["expr"])}
    assert asked - exposed.families.keys() == set()


def test_prometheus_takes_what_real_runs_expose(exposed: Exposed) -> None:
    """By its own rules for names and types."""
    promtool("check", "metrics", text=exposed.scraped)
    promtool("check", "metrics", text=exposed.left)


# ----------------------------------------------------------------------------------------------------- runbooks


def sections() -> dict[str, str]:
    """Return the runbooks' sections by the anchor that a heading gets."""
    parts = re.split(r"^## (.+)$", RUNBOOKS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading.lower(): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_every_alert_leads_to_its_runbook_and_every_runbook_is_led_to() -> None:
    """By the anchor of its heading: no alert without a runbook."""
    rules = [rule for kind in KINDS for rule in alerts(kind)]
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules}
    assert links == {alert: f"docs/runbooks.md#{alert.lower()}" for alert in links}
    assert sections().keys() == {alert.lower() for alert in links}


def test_every_runbook_says_the_five_things() -> None:
    """What it means, how bad it is, where to look, how to mend it, and how to know that it is over."""
    for alert, text in sections().items():
        assert re.findall(r"^- \*\*(.+?):\*\*", text, re.MULTILINE) == FIVE, alert


def test_the_panels_and_runbooks_exist_that_the_runbooks_name() -> None:
    """Their commands are held to the command line with those of all pages (tests/docs)."""
    page = RUNBOOKS.read_text(encoding="utf-8")
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "rotator.json").read_text(encoding="utf-8"))
    assert set(re.findall(r'panel\s"(.+?)"', page)) <= {panel["title"] for panel in dashboard["panels"]}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= sections().keys()
