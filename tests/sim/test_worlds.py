"""The promises, attacked in simulated worlds: replicas of the real procedure over faulty ports."""

from __future__ import annotations

import os

import pytest

from rotator.testing.sim.__main__ import told
from rotator.testing.sim.batch import Tally, run_chunk
from rotator.testing.sim.faults import APPLICABLE
from rotator.testing.sim.scenario import Case, Scenario
from rotator.testing.sim.world import World, world

WORLDS = int(os.environ.get("ROTATOR_SIM_WORLDS", "20000"))
FIRST = int(os.environ.get("ROTATOR_SIM_FIRST", "0"))
CHUNK = 500


@pytest.mark.timeout(300)
@pytest.mark.parametrize("begin", range(FIRST, FIRST + WORLDS, CHUNK))
def test_no_world_breaks_a_promise(begin: int) -> None:
    """Whatever fails, crashes, lags, pauses, is edited or lost, no promise is broken, but for replies that were lost.

    A failing seed is told with the shortest trace that was found and the command that replays it.
    """
    violations = run_chunk(range(begin, begin + CHUNK)).violations
    if violations:
        pytest.fail(f"{len(violations)} of {CHUNK} worlds break a promise{told(min(violations))}")


def test_the_same_seed_gives_the_same_trace() -> None:
    """All chance in a world follows from its seed."""
    for seed in (3, 17, 10_569):
        first, second = world(seed, traced=True), world(seed, traced=True)
        first.run()
        second.run()
        assert first.trace
        assert first.trace == second.trace


def test_the_same_faults_given_one_by_one_give_the_same_trace() -> None:
    """A world whose faults were drawn is the world to which they are given, so that single ones can be left out."""
    eventful = 0
    for seed in range(20):
        drawn = world(seed, traced=True)
        drawn.run()
        given = World(Case(drawn.scenario, dict(drawn.faults.injected)), traced=True)
        given.run()
        assert given.trace == drawn.trace
        eventful += len(drawn.faults.injected) > 1
    assert eventful > 2


def test_worlds_differ_and_are_eventful() -> None:
    """Some hundred worlds hold every kind of fault at every kind of call, all that happens from outside, every rule."""
    tally = Tally()
    tally.add(run_chunk(range(1500)))
    scenarios = [Scenario.drawn(seed) for seed in range(1500)]
    kinds = {kind for kinds in APPLICABLE.values() for kind in kinds}
    assert set(tally.faults) == kinds
    assert set(tally.events) == {
        "outages",
        "edits",
        "logins",
        "operator's words",
        "revocations",
        "lost disks",
        "lost state records",
        "restored backups",
        "set clocks",
    }
    assert tally.presentations > 2 * tally.worlds
    assert tally.explained > 50
    assert {one.escrow for one in scenarios} == {"state", "shared", "private"}
    assert {one.replay for one in scenarios} == {"never", "window", "until_successor_used", "safe"}
    assert {one.grace_s for one in scenarios} >= {0.0, 30.0, 60.0, 600.0, 1e9}
    assert {mode for one in scenarios for _, mode in one.hosts} == {"daemon", "once"}


def test_a_world_without_faults_keeps_every_token_fresh() -> None:
    """Where nothing goes wrong, no token expires and none is lost, whatever the mix of processes."""
    nothing = {"faults": 0, "outages": (), "reseeds": 0, "revocations": 0, "losses": 0, "backups": 0, "jumps": ()}
    for seed in range(60):
        one: World = world(seed, **nothing)
        one.run()
        assert one.watch.explained == 0
        assert one.provider.reuse_detections == 0
