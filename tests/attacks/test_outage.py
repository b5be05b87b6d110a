"""An outage of store and state together, while a living process holds the answer in its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rotator.errors import StoreUnavailable
from rotator.escrow.record import RecordEscrow
from tests.attacks.parts import Watched, WrongClock, replica_with
from tests.rotation.world import World

if TYPE_CHECKING:
    from rotator.model import Document, Versioned


class _Store:
    """The secret store, in the same Vault as the state."""

    name = "main"

    def __init__(self, world: World, away: Any) -> None:
        self._world, self._away = world, away

    def read(self, secret: str) -> Versioned:
        self._check()
        return self._world.store.read(secret)

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        self._check()
        return self._world.store.compare_and_swap(secret, document, expected=expected, write_id=write_id)

    def _check(self) -> None:
        if self._away(""):
            raise StoreUnavailable("store: no answer")


@pytest.mark.parametrize("outage_s", [20.0, 100.0], ids=["within the lease", "beyond the lease"])
def test_a_one_shot_run_after_an_outage_leaves_the_answer_in_another_memory_alone(outage_s: float) -> None:
    """Promise 1: nothing crashed and no reply was lost: Vault, with state and secrets, is away for 100 s after it."""
    world = World()
    world.clock.advance(3600 - 350)
    token = world.document["refresh_token"]
    away_until = [0.0]

    def away(_: str) -> bool:
        return world.clock.monotonic_s() < away_until[0]

    def answer(request: Any) -> Any:
        real = world.provider._process(request)
        away_until[0] = world.clock.monotonic_s() + outage_s
        return real

    world.provider.script.append(answer)
    state = Watched(world.state, down=away)
    clock = WrongClock(world.clock)
    holder = replica_with(world, clock, state=state, store=_Store(world, away), escrow=RecordEscrow(state))
    other = world.replica(state=state, store=_Store(world, away), escrow=RecordEscrow(state))

    def cron() -> None:
        if away_until[0] and not away(""):
            clock.during_sleep = None
            other.run(horizon_s=900.0)

    clock.during_sleep = cron
    holder.run()

    assert world.provider.presented[token] == 1
    assert world.provider.is_live(world.document["refresh_token"])
