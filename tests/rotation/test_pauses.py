"""Promise 5: a pause that a provider asks for holds for every replica and every later run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.errors import StoreUnavailable
from rotator.model import RateLimited, Refreshed
from rotator.passes import Passes
from rotator.retrying import ATTEMPTS
from tests.rotation.faults import Faults
from tests.rotation.world import ENDPOINT, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rotator.errors import StoreError
    from rotator.model import Credential, RefreshRequest, TokenAnswer
    from rotator.outcomes import Outcome
    from rotator.ports import StateStore, Stored
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

    @property
    def batch(self) -> int:
        return self.inner.batch

    def read_many(self, keys: Sequence[str]) -> Mapping[str, Stored | StoreError]:
        self._answer()
        return self.inner.read_many(keys)

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


def asks_to_wait(world: World, before: list[bool] | None = None) -> None:
    """Let the next answer bring tokens and ask for an hour; `before` says how many calls find the state away then."""

    def answer(request: RefreshRequest) -> TokenAnswer:
        real = world.provider._process(request)
        assert isinstance(real, Refreshed)
        if before is not None:
            before.extend([True] * 5)
        return replace(real, cooldown_s=3600.0)

    world.provider.script.append(answer)


def test_a_success_that_asks_to_wait_is_heard_by_every_replica() -> None:
    """Tokens that come with the last request of a window are settled; the next credential of that client waits."""
    world = World()
    other = another(world, "second")
    world.until_due()
    asks_to_wait(world)

    [first] = one_shot(world, world.replica(), world.credential)
    replica = world.replica()
    [second] = one_shot(world, replica, other)

    assert isinstance(first, outcomes.Rotated)
    assert isinstance(second, outcomes.Deferred)
    assert second.retry_at
    assert (second.retry_at - world.clock.now()).total_seconds() >= 3500
    assert world.provider.presented.total() == 1


def test_tokens_are_in_escrow_before_a_pause_that_came_with_them_is_written() -> None:
    """Promise 2: nothing that may be slow or fail stands between received tokens and the escrow."""
    world = World()
    world.until_due()
    asks_to_wait(world)
    calls: list[str] = []

    class Told:
        """The state, telling what is written of providers."""

        shared = True

        def __getattr__(self, name: str) -> Any:
            return getattr(world.state, name)

        def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
            faults.calls.append(f"write {key.partition('/')[0]}")
            return world.state.compare_and_swap(key, body, expected=expected)

    faults = Faults(calls=calls)
    world.replica(
        state=Told(), escrow=faults.wrap("escrow", world.escrow), store=faults.wrap("store", world.store)
    ).run()

    assert calls.index("escrow.keep") < calls.index("write provider")


def test_a_pause_that_cannot_be_written_loses_no_token() -> None:
    """The state is away after the answer: what arrived is settled all the same, and the pause is written later."""
    world = World()
    world.until_due()
    state = Away(world.state)
    asks_to_wait(world, state.left)
    replica = world.replica(state=state)

    [outcome] = one_shot(world, replica, world.credential)

    assert isinstance(outcome, outcomes.Rotated)
    assert world.provider.is_live(world.document["refresh_token"])
    assert world.replica().observer.cooldowns.record(f"provider/{ENDPOINT}|client").cooldown_until is not None
