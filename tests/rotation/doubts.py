"""Parts of the tests of doubt: a world five minutes before the end, an operator, a crash."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.audit.trail import AuditTrail
from rotator.model import Actor, Replay
from rotator.operations import Operations
from rotator.retrying import Retrier
from rotator.testing.memory import SeededRandomness, SequentialIds
from tests.rotation.faults import Crash, Faults
from tests.rotation.world import World, credential, provider

if TYPE_CHECKING:
    from rotator.outcomes import Outcome

LAST_QUARTER_S = 90
"""Before the end of an hour's access token: a quarter of its margin of 360 s."""


NEVER = Replay("never")


def world_of(replay: Replay = NEVER, *, on_doubt: str = "wait_then_replay", grace_s: float = 0.0) -> World:
    """Return a world five minutes before the end of the access token: due, and before the last quarter."""
    world = World(credential(provider=provider(replay=replay, on_doubt=on_doubt, timeout_s=10.0)))
    world.provider.grace_s = grace_s
    left(world, 300)
    return world


def left(world: World, seconds: float) -> None:
    """Let time pass until the stored access token has `seconds` left."""
    world.clock.advance(world.document["expires_at"] - world.clock.now().timestamp() - seconds)


def operator(world: World) -> Operations:
    """Return the operator's commands on this world."""
    trail = AuditTrail([world.audit], world.clock, SequentialIds(77), Actor("host", 77, "operator", "instance-77"))
    app: Any = SimpleNamespace(
        stores={"main": world.store}, state=world.state, escrow=world.escrow, seal=world.seal, trail=trail,
        retrier=Retrier(world.clock, SeededRandomness(77)), surroundings=SimpleNamespace(clock=world.clock),
    )  # fmt: skip
    return Operations(app)


def sent(world: World) -> int:
    return sum(world.provider.presented.values())


def is_doubt(outcome: Outcome, *, person: bool = False) -> bool:
    return isinstance(outcome, outcomes.Failed if person else outcomes.Deferred) and outcome.reason == "in_doubt"


def crash(world: World, call: str, when: Any = "before", **ports: Any) -> None:
    """Let a replica die at a call."""
    faults = Faults(at=0, when=when, only=frozenset({call}))
    real = {"endpoint": world.provider, "escrow": world.escrow, **ports}
    names = {"endpoint": "provider"}
    with pytest.raises(Crash):
        world.replica(**{port: faults.wrap(names.get(port, port), value) for port, value in real.items()}).run()
