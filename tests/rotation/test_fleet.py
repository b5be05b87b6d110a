"""Promise 9 under a budget: passes start early enough that no token expires."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rotator import outcomes
from rotator.limits import RateLimit
from rotator.passes import Passes
from tests.rotation.world import World, credential, provider

if TYPE_CHECKING:
    from rotator.model import Credential


def fleet(world: World, count: int) -> list[Credential]:
    """Seed credentials whose tokens all end in the same second."""
    credentials = [replace(world.credential, name=f"c{number:02}", secret=f"c{number:02}") for number in range(count)]
    for one in credentials:
        world.store.raw_put(one.secret, json.dumps(world.provider.login()))
    return credentials


def expired(world: World, credentials: list[Credential]) -> list[str]:
    now = world.clock.now()
    ends = {one.name: json.loads(world.store.raw_get(one.secret))["expires_at"] for one in credentials}
    return [name for name, end in ends.items() if datetime.fromtimestamp(end, UTC) <= now]


def test_passes_start_early_enough_for_a_tight_budget() -> None:
    """Thirty tokens that end together, one request a minute, a pass every quarter of an hour: none expires."""
    world = World(credential(provider=provider(rate_limit=RateLimit(1, 60.0))))
    credentials = fleet(world, 30)
    replica = world.replica()
    passes = Passes(replica.observer, replica.rotation, replica.budget, world.clock, workers=4)
    rotations = 0
    for number in range(1, 13):
        results = passes.run(credentials, horizon_s=900.0, until=passes.until_in(900.0))
        rotations += sum(isinstance(outcome, outcomes.Rotated) for outcome in results)
        assert expired(world, credentials) == []
        ends_at_s = number * 900.0
        if world.clock.monotonic_s() < ends_at_s:
            world.clock.advance(ends_at_s - world.clock.monotonic_s())
        assert expired(world, credentials) == []
    assert rotations > 60
    assert max(world.provider.presented.values()) == 1


def test_without_the_walk_back_the_same_fleet_would_expire() -> None:
    """The check above can fail: a budget that no schedule can keep lets tokens expire."""
    world = World(credential(provider=provider(rate_limit=RateLimit(1, 600.0))))
    credentials = fleet(world, 30)
    replica = world.replica()
    passes = Passes(replica.observer, replica.rotation, replica.budget, world.clock, workers=4)
    for number in range(1, 6):
        passes.run(credentials, horizon_s=900.0, until=passes.until_in(900.0))
        if world.clock.monotonic_s() < number * 900.0:
            world.clock.advance(number * 900.0 - world.clock.monotonic_s())
    assert expired(world, credentials) != []
