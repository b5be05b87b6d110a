"""The checks can fail: each planted bug breaks a promise within so many worlds."""

from __future__ import annotations

import pytest

from rotator.testing.sim.presented import Violation
from tests.sim.sought import PLANTED, Bug


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that no world shows would be a hole in the checks."""
    bug(monkeypatch)
    sought = PLANTED[bug]
    for seed in range(sought.worlds):
        try:
            sought.world(seed).run()
        except Violation:
            return
    pytest.fail(f"{bug.__doc__} Not found in {sought.worlds} worlds.")


def test_without_a_bug_the_chosen_worlds_break_nothing() -> None:
    """The worlds in which some bugs are sought find the bug, and not something that is always there."""
    for sought in PLANTED.values():
        for seed in range(40 if sought.scenario else 0):
            sought.world(seed).run()
