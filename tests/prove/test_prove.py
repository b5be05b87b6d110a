"""The table of the proof tells what its steps counted."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from tests.prove.steps import steps
from tests.prove.table import PROMISES, duels, markdown, rows, violations

if TYPE_CHECKING:
    from pathlib import Path

WORLDS = {
    "worlds": 1200,
    "attempts": {"1": 3000, "9": 1200},
    "faults": {"pause": 40},
    "events": {"edits": 2},
    "violations": {"7": [1, "promise 1: sent twice"]},
    "seconds": 120.0,
}
DUEL = {
    "logins": 100,
    "logins_lost": 3,
    "tokens_lost_unexplained": 0,
    "reuse_detections": 0,
    "replies_lost_after_processing": {"reply cut": {"strict: waits for a person": 3}},
    "violations": [],
    "naive": {"logins_lost": 49, "reuse_detections": 49, "replies_lost_after_processing": 5},
}


def test_every_promise_has_a_row(tmp_path: Path) -> None:
    """With its attempts and the violations of this very promise; faults and time are told once."""
    (tmp_path / "worlds.json").write_text(json.dumps(WORLDS))
    found = list(rows(tmp_path))
    assert [row.promise for row in found] == [f"{number} {promise}" for number, promise in PROMISES.items()]
    assert found[0].cells() == ("1 spent once", "1,200 simulated worlds", "3,000", "42", "1", "2 min")
    assert found[8].cells() == ("9 a stale token is no surprise", "1,200 simulated worlds", "1,200", "", "0", "")
    assert violations(tmp_path) == 1


def test_the_naive_refresher_stands_beside_rotator(tmp_path: Path) -> None:
    """A scenario's row has what each lost, and that rotator's losses have a cause from outside."""
    (tmp_path / "duel-two-replicas.json").write_text(json.dumps(DUEL))
    assert list(duels(tmp_path)) == [("two-replicas", "100", "3 (0 unexplained)", "49", "0 / 49", "3 / 5")]
    assert "| two-replicas | 100 |" in markdown(tmp_path)
    assert violations(tmp_path) == 0


def test_the_steps_are_commands_that_leave_their_counts(tmp_path: Path) -> None:
    """Each step that counts is told where; no two share a file."""
    options = argparse.Namespace(worlds=10, first=5, states=7, chaos=1.0, examples=3)
    files = [step.command[-1] for step in steps(options, tmp_path) if step.counts]
    assert len(files) == len(set(files)) == 11
    assert all(file.endswith(".json") for file in files)
