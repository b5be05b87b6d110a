"""A failing world is told by the shortest case that was found, which can be run again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rotator.testing.sim.presented import Violation
from rotator.testing.sim.scenario import Case, Scenario
from rotator.testing.sim.shrink import failing, shortest
from rotator.testing.sim.world import world
from tests.sim import planted_bugs


def first_failing(**changes: object) -> Case:
    for seed in range(2000):
        try:
            world(seed, **changes).run()
        except Violation:
            return Case(Scenario.drawn(seed)).replace(**changes)
    pytest.fail("no world fails")


def test_a_failing_case_gets_smaller_and_still_fails_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults, processes and events that are not needed go; the promise that breaks stays."""
    planted_bugs.third_try(monkeypatch)
    case = first_failing(faults=8, rate=0.15, hosts=((0, "daemon"), (1, "daemon"), (2, "once")))
    whole = failing(case)
    assert whole
    found = shortest(case)
    assert found.violation.promise == whole.violation.promise == 1
    assert len(found.trace) < len(whole.trace)
    assert len(found.case.faults or {}) < len(whole.case.faults or {})
    assert len(found.case.scenario.hosts) < 3


def test_a_case_is_the_same_once_it_was_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the failing test prints leads to the very trace that it shows."""
    planted_bugs.send_without_audit(monkeypatch)
    found = shortest(first_failing())
    again = failing(Case.read(found.case.text()))
    assert again
    assert again.trace == found.trace


def test_a_case_that_does_not_fail_cannot_get_smaller() -> None:
    """There is nothing to look for."""
    with pytest.raises(ValueError, match="breaks no promise"):
        shortest(Case(Scenario(1)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[]", "JSON object"), ('{"rate": 1}', "with a seed"), ('{"seed": 1, "speed": 2}', "nothing of speed")],
)
def test_what_is_no_case_is_refused(text: str, problem: str) -> None:
    """The message says what is wrong with it."""
    with pytest.raises(ValueError, match=problem):
        Case.read(text)


def test_the_command_replays_a_seed_and_a_case() -> None:
    """It prints the case, and that no promise is broken."""
    for what in ("17", '{"seed": 17, "faults": 0}'):
        ran = subprocess.run(
            [sys.executable, "-m", "rotator.testing.sim", "--replay", what], capture_output=True, text=True, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.splitlines()[-1] == "no promise is broken"
