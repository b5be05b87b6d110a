"""`rotator plan`: the forecast of refreshes against every budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.app.stage import Stage

NAMES = [f"c{number}" for number in range(6)]


@pytest.fixture
def fleet(stage: Stage) -> Stage:
    stage.ready(*NAMES)
    return stage


def crowded(stage: Stage) -> None:
    """Let all tokens end within a minute, behind a provider that takes one request a minute."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "60s"})
    for name in NAMES:
        stage.write(
            name,
            issued_at=int(stage.clock.now().timestamp()) - 3540,
            expires_at=int(stage.clock.now().timestamp()) + 60,
        )


def test_a_fleet_within_its_limits_is_feasible(fleet: Stage) -> None:
    """Exit code 0, and for each provider and client how many refreshes are to come."""
    fleet.provider("acme", rate_limit={"requests": 10, "per": "1s"})
    ended = fleet.cli("plan", "--json")
    assert ended.code == 0
    assert ended.json["feasible"] is True
    [provider] = ended.json["providers"]
    assert (provider["provider"], provider["feasible"], provider["late"]) == ("acme", True, [])
    assert provider["client_id"]
    assert provider["refreshes"] >= 24 * len(NAMES)


def test_what_cannot_be_kept_fresh_is_named(fleet: Stage) -> None:
    """Exit code 1; those that end first are late, and what would have to change is said."""
    crowded(fleet)
    ended = fleet.cli("plan", "--json")
    assert ended.code == 1
    assert ended.json["feasible"] is False
    [provider] = ended.json["providers"]
    assert provider["feasible"] is False
    assert provider["late"]
    assert set(provider["late"]) < set(NAMES)
    shown = fleet.cli("plan")
    assert shown.code == 1
    assert "rate_limit" in shown.out
    assert provider["late"][0] in shown.out


def test_the_table_has_a_chart(fleet: Stage) -> None:
    """Plain characters where the output is no terminal."""
    ended = fleet.cli("plan", "--hours", "3")
    assert ended.code == 0
    assert "acme" in ended.out
    assert "#" in ended.out
    assert ended.out.isascii() or "▁" not in ended.out


def test_a_plan_sends_and_writes_nothing(fleet: Stage) -> None:
    """Reading is all that it does."""
    before = fleet.records(), [fleet.document(name) for name in NAMES]
    fleet.cli("plan")
    assert (fleet.records(), [fleet.document(name) for name in NAMES]) == before
    assert fleet.face().report.requests == 0


def test_a_shard_plans_its_own(fleet: Stage) -> None:
    """As the other commands do."""
    counts = [
        sum(one["refreshes"] for one in fleet.cli("plan", "--json", "--shard", f"{number}/2").json["providers"])
        for number in range(2)
    ]
    assert all(counts)
    assert sum(counts) == sum(one["refreshes"] for one in fleet.cli("plan", "--json").json["providers"])


def test_check_live_warns_of_what_the_plan_finds(fleet: Stage) -> None:
    """Before it happens, and with the way out."""
    assert "rate_limit" not in fleet.cli("check", "--live").out
    crowded(fleet)
    ended = fleet.cli("check", "--live")
    assert "warning: plan" in ended.out
    assert "rate_limit" in ended.out


def test_check_warns_of_rates_that_are_impossible_on_their_face(fleet: Stage) -> None:
    """Without reading a secret: the configuration says how long tokens live and how many requests there may be."""
    assert "warning" not in fleet.cli("check").out
    fleet.provider("acme", default_lifetime="10m", rate_limit={"requests": 1, "per": "1h"})
    ended = fleet.cli("check")
    assert ended.code == 0
    assert "warning" in ended.out


def test_bad_hours_are_bad_usage(fleet: Stage) -> None:
    """Nothing, less than nothing, and no number."""
    for hours in ("0", "-1", "x"):
        assert fleet.cli("plan", "--hours", hours).code == 2
