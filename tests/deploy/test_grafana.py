"""The dashboard: Prometheus' own tool takes its expressions, and its metrics are those of real runs, all of them."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from tests.app.stage import real_stage
from tests.deploy.real_runs import exposed
from tests.deploy.test_prometheus import ROOT, promtool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.real_runs import Exposed

__all__ = ["exposed", "real_stage"]

DASHBOARD = ROOT / "deploy" / "grafana" / "rotator.json"
OF_PROMETHEUS = {"instance", "job", "namespace"}
"""Labels that a scrape adds."""

STANDS_FOR = {"$__rate_interval": "5m", "$provider": ".*", "$store": ".*", "$credential": ".*"}
ENDINGS = re.compile("_(?:bucket|count|sum)$")


@cache
def dashboard() -> Any:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Return every PromQL expression, the variables replaced by what Grafana could put there."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    for name, value in STANDS_FOR.items():
        found = [one.replace(name, value) for one in found]
    return found


def asked(expression: str) -> set[str]:
    return set(re.findall(r"\brotator_\w+", expression))


def test_every_panel_says_what_it_shows() -> None:
    """In words, from the data source that is chosen, in a place of its own."""
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    for panel in panels():
        assert len(panel["description"]) > 20
        assert {one["datasource"]["uid"] for one in (panel, *panel["targets"])} == {"${datasource}"}


def test_it_is_filtered_by_provider_store_and_credential() -> None:
    """By variables that are all used, and a link leads to the status page."""
    names = {one["name"] for one in dashboard()["templating"]["list"]}
    assert names == {"datasource", "provider", "store", "credential", "status_page"}
    text = DASHBOARD.read_text(encoding="utf-8")
    for name in ("provider", "store", "credential"):
        assert f'{name}=~\\"${name}\\"' in text
    assert [one["url"] for one in dashboard()["links"]] == ["${status_page}"]


def test_prometheus_takes_every_expression(tmp_path: Path) -> None:
    """As recording rules, which its own tool checks."""
    rules = [{"record": f"dashboard:{number}", "expr": one} for number, one in enumerate(expressions())]
    file = tmp_path / "dashboard.rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def test_every_metric_it_asks_for_is_one_of_a_real_run(exposed: Exposed) -> None:
    """With the labels that it filters by."""
    known = exposed.families
    for expression in expressions():
        assert asked(expression) <= known.keys()
        for name, filters in re.findall(r"(rotator_\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)\s*[=!]~?", filters)) <= known[name] | OF_PROMETHEUS, expression


def test_every_metric_of_a_real_run_is_shown(exposed: Exposed) -> None:
    """Somewhere on it."""
    shown = {ENDINGS.sub("", name) for expression in expressions() for name in asked(expression)}
    assert {ENDINGS.sub("", name) for name in exposed.families} - shown == set()
