"""Promise 5: a pause that a provider asks for holds for every replica and every later run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.errors import StoreUnavailable
from rotator.model import RateLimited
from rotator.passes import Passes
from rotator.retrying import ATTEMPTS
from tests.rotation.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.model import Credential
    from rotator.outcomes import Outcome
    from rotator.ports import StateStore
    from tests.rotation.world import Replica


@dataclass
class Away:
    """A state that does not answer as many calls as are left."""

    inner: StateStore
    left: list[bool] = field(default_factory=list)
    shared: bool = True

    def read(self, key: str) -> tuple[Mapping[str, Any] | None, int]:
        self._answer()
        return self.inner.read(key)

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        self._answer()
        return self.inner.compare_and_swap(key, body, expected=expected)

    def keys(self, prefix: str) -> list[str]:
        return list(self.inner.keys(prefix))

    def prove_writable(self) -> None:
        self.inner.prove_writable()

    def _answer(self) -> None:
        if self.left:
            self.left.pop()
            raise StoreUnavailable("state: no answer")


def another(world: World, name: str) -> Credential:
    """Seed another credential of the same provider and client."""
    world.store.raw_put(name, json.dumps(world.provider.login()))
    return replace(world.credential, name=name, secret=name)


def one_shot(world: World, replica: Replica, *credentials: Credential) -> list[Outcome]:
    passes = Passes(replica.observer, replica.rotation, replica.budget, world.clock, workers=1)
    return passes.run(credentials, horizon_s=0.0)


def test_a_pause_that_the_state_did_not_take_is_written_before_a_pass_ends() -> None:
    """The state is away for some seconds after a 429; the next run must not send another credential's token."""
    world = World()
    other = another(world, "second")
    world.until_due()
    state = Away(world.state)

    def answer(_: object) -> RateLimited:
        state.left = [True] * ATTEMPTS  # as many as one call is tried
        return RateLimited(3600.0, "429")

    world.provider.script.append(answer)
    one_shot(world, world.replica(state=state), world.credential)
    world.later(seconds=20)
    [outcome] = one_shot(world, world.replica(), other)

    assert isinstance(outcome, outcomes.Deferred)
    assert world.provider.presented.total() == 0


def test_a_state_that_stays_away_does_not_hold_up_the_end_of_a_pass() -> None:
    """What cannot be written is given up after one round of tries; the pass ends and tells what it did."""
    world = World()
    world.until_due()
    replica = world.replica(state=Away(world.state, [True] * 1000))
    for number in range(50):
        replica.observer.cooldowns.note(f"provider/{number}|", world.clock.now(), "429")
    before_s = world.clock.monotonic_s()

    [outcome] = one_shot(world, replica, world.credential)

    assert isinstance(outcome, outcomes.Deferred)
    assert world.clock.monotonic_s() - before_s < 30.0


def test_a_pause_whose_record_is_damaged_does_not_keep_the_others_from_being_written() -> None:
    """One provider's record that cannot be read is that provider's trouble."""
    world = World()
    state = Away(world.state, [True] * ATTEMPTS * 2)
    replica = world.replica(state=state)
    until = world.clock.now()
    for key in ("provider/damaged|", "provider/good|"):
        replica.observer.cooldowns.note(key, until, "429")
    world.state.raw_put("provider/damaged|", '{"format": 7}')

    one_shot(world, replica)

    assert world.replica().observer.cooldowns.record("provider/good|").cooldown_until == until
