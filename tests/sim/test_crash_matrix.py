"""A crash at every port call of every path of the procedure, before and after its effect; then the others go on.

`tests/rotation/test_crash_matrix.py` says of the usual paths what exactly follows each crash; here the promises are
checked on all of them.
"""

from __future__ import annotations

import pytest

from rotator.testing.sim.shrink import failing
from rotator.testing.sim.world import World
from tests.sim.paths import PATHS, crashes


def run(path: str) -> World:
    world = World(PATHS[path])
    world.run()
    return world


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_taken(path: str) -> None:
    """What makes the path what it is happens in its world, and something is rotated or given up there."""
    world = run(path)
    asked = {call.partition(" ")[2] for call in PATHS[path].faults or {}}
    injected = {call.partition(" ")[2] for call in world.faults.injected}
    assert asked == injected
    assert world.watch.presentations


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", PATHS)
def test_a_crash_at_any_call_breaks_no_promise(path: str) -> None:
    """No call is left out: what the path called without a crash is crashed at, one call after the other."""
    calls = run(path).faults.calls
    tried = 0
    for case in crashes(PATHS[path], calls):
        found = failing(case)
        if found:
            pytest.fail("\n".join([*found.trace, str(found.violation), f"--replay '{found.case.text()}'"]))
        tried += 1
    assert tried > 30
