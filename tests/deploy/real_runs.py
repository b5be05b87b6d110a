"""What real runs expose to Prometheus: a daemon that is scraped, and the file that a pass leaves."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rotator.cli.context import Exit
from tests.app.daemons import expiring, running
from tests.app.stage import Stage, poll
from tests.app.test_listener import ask


@dataclass(frozen=True)
class Exposed:
    """Both, as text."""

    scraped: str
    left: str

    @property
    def families(self) -> dict[str, set[str]]:
        """The labels of each sample's name."""
        return families(self.scraped) | families(self.left)


def families(text: str) -> dict[str, set[str]]:
    """Return the labels of each sample's name in an exposition; `_created` tells nothing that is shown."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture
def exposed(real_stage: Stage) -> Exposed:
    """A credential is rotated whose grant has an end, and another one has to wait for its provider."""
    stage = real_stage
    stage.config["http"] = {"listen": "127.0.0.1:0"}
    stage.provider("acme", refresh_token_absolute="30d")
    stage.provider("slow", face="dailypay")
    stage.ready()
    stage.credential("beta", provider="slow")
    stage.seed("beta", face="dailypay")
    expiring(stage)
    expiring(stage, "beta")
    stage.face("dailypay").fault("rate_limited", wait_s=90)
    with running(stage) as daemon:
        poll(lambda: daemon.rotated("alpha") and daemon.of("beta"), "a rotation, and a pause")
        scraped = poll(lambda: _whole(ask(daemon, "/metrics")[1]), "all of it counted")
    path = stage.folder / "rotator.prom"
    stage.config["metrics"] = {"textfile": str(path)}
    expiring(stage)
    assert stage.ended(stage.spawn("once")).code == Exit.TEMPORARY  # the pause is kept to
    return Exposed(scraped, path.read_text())


def _whole(text: str) -> str:
    wanted = ("rotator_refresh_token", "rotator_provider_cooldown", 'rotator_rotations_total{outcome="succeeded"')
    return text if all(f"\n{name}" in text for name in wanted) else ""
