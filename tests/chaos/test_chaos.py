"""Whole fleets of real processes, killed, paused and cut off at random: no login is lost but for a cause from outside.

The short version, for continuous integration; `python -m tests.chaos` runs the long one. ROTATOR_CHAOS_SECONDS makes
this one longer, ROTATOR_CHAOS_SEED changes it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.chaos.__main__ import main
from tests.chaos.rounds import Size, naive_round, rotator_round
from tests.chaos.scenarios import SCENARIOS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos import backends

SECONDS = float(os.environ.get("ROTATOR_CHAOS_SECONDS", "10"))
SEED = int(os.environ.get("ROTATOR_CHAOS_SEED", "1"))
SHORT = Size(credentials=21, chaos_s=SECONDS, lifetime_s=20, settle_s=80.0, peace_s=11.0, patient=False)
"""Nobody waits for the leases of the dead or for the minute after a failure. The time to settle is for a machine that
is busy with other things; usually the fleet is at rest after a few seconds."""

PAIR = Size(credentials=60, chaos_s=12.0, lifetime_s=10, settle_s=4.0, peace_s=0.0, patient=False)

pytestmark = [
    pytest.mark.xdist_group("chaos"),  # one fleet at a time: two would starve each other of processor time
    pytest.mark.timeout(SECONDS + 240),
]


@pytest.mark.parametrize("kind", ["local", "aws", "vault"])
def test_a_fleet_survives_chaos(tmp_path: Path, kind: backends.Kind) -> None:
    """Three daemons and a loop of `once` lose no login and spend no token twice, whatever is killed, stopped or cut."""
    result = rotator_round(kind, SCENARIOS["mixed"], SEED, SHORT, tmp_path / "fleet")
    print(f"\n{kind}, seed {SEED}, {SECONDS:g} s of chaos\n{result.verdict}")  # noqa: T201 - when it fails, or with -s
    assert result.verdict.violations == []
    assert result.verdict.rotations > SHORT.credentials
    assert result.faults["sigkill"]
    assert result.faults["pause"]


def test_the_provider_sees_what_a_naive_refresher_loses(tmp_path: Path) -> None:
    """The harness can lose logins: two replicas of the naive refresher spend tokens twice, with no fault injected."""
    losses = naive_round("local", SCENARIOS["two-replicas"], SEED, PAIR, tmp_path / "naive")
    assert losses.lost > 0
    assert losses.reuse_detections > 0
    assert losses.families_revoked > 0


def test_the_judge_sees_a_rotator_that_claims_nothing(tmp_path: Path) -> None:
    """The judge can fail rotator: without claims two replicas spend tokens twice, and the verdict says so."""
    result = rotator_round(
        "local", SCENARIOS["two-replicas"], SEED, PAIR, tmp_path / "planted", module="tests.chaos.planted"
    )
    assert result.verdict.reuse_unexplained > 0
    assert result.verdict.families_revoked > 0
    assert any("reuse was detected" in text for text in result.verdict.violations)


def test_the_driver_writes_its_verdict(tmp_path: Path) -> None:
    """`python -m tests.chaos` cuts a run into rounds with a seed each, and its JSON has both columns."""
    file = tmp_path / "verdict.json"
    size = {"credentials": 6, "lifetime": 10, "settle": 30, "peace": 0, "seconds": 4, "round": 2, "seed": 7}
    options = [text for name, value in size.items() for text in (f"--{name}", str(value))]
    code = main(["--scenario", "two-replicas", *options, "--json", str(file), "--keep", str(tmp_path / "kept")])
    verdict = json.loads(file.read_text())
    assert code == 0
    assert verdict["violations"] == []
    assert verdict["seeds"] == [7, 8]
    assert verdict["logins"] == verdict["naive"]["logins"] == 12
    assert verdict["rotations"] > 0
