"""The alerts, by Prometheus' own tool: checked, tried one by one, and compared with what a daemon really exposes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.app.stage import poll, real_stage
from tests.app.test_daemon import expiring, running
from tests.app.test_listener import ask

if TYPE_CHECKING:
    from tests.app.stage import Stage

__all__ = ["real_stage"]

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "deploy" / "helm" / "rotator" / "alerts"
RULES = ROOT / "deploy" / "prometheus" / "rotator.rules.yaml"
TESTS = Path(__file__).parent / "alerts.yaml"


def alerts(kind: str) -> list[dict[str, Any]]:
    """Return a chart's alerts, as it renders them for a release of the name rotator."""
    found: list[dict[str, Any]] = yaml.safe_load((ALERTS / f"{kind}.yaml").read_text().replace("NAME", "rotator"))
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
    for kind in ("deployment", "cronjob"):
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
    assert tried == {rule["alert"] for kind in ("deployment", "cronjob") for rule in alerts(kind)}


def test_a_daemon_exposes_what_the_alerts_ask_for(real_stage: Stage) -> None:
    """Scraped from a real one, and held against Prometheus' rules for names; all but a pause, which it did not have."""
    stage = real_stage
    stage.config["http"] = {"listen": "127.0.0.1:0"}
    stage.provider("acme", refresh_token_absolute="30d")
    stage.ready()
    expiring(stage)
    with running(stage) as daemon:
        poll(lambda: daemon.rotated("alpha"), "a rotation")
        text = poll(lambda: _with(ask(daemon, "/metrics")[1], "rotator_refresh_token"), "the end of the grant")
    promtool("check", "metrics", text=text)
    exposed = set(re.findall(r"^(rotator_\w+)", text, re.MULTILINE))
    asked = {name for rule in alerts("deployment") for name in re.findall(r"rotator_\w+", rule["expr"])}
    assert asked - exposed == {"rotator_provider_cooldown_until_timestamp_seconds"}


def _with(text: str, name: str) -> str:
    return text if f"\n{name}" in text else ""
