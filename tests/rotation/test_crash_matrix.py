"""A crash at every port call of the procedure, before and after its effect; then another replica goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.model import Replay
from tests.rotation.faults import Crash, Faults, When
from tests.rotation.world import World, credential, provider

if TYPE_CHECKING:
    from collections.abc import Callable

PATHS: dict[str, Callable[[World], None]] = {
    "rotating provider": lambda world: None,
    "provider that does not rotate": lambda world: setattr(world.provider, "rotates", False),
}
SHARED = {"shared escrow": True, "private escrow": False}


def replica_with(world: World, faults: Faults) -> Any:
    return world.replica(
        store=faults.wrap("store", world.store),
        state=faults.wrap("state", world.state),
        escrow=faults.wrap("escrow", world.escrow),
        audit=faults.wrap("audit", world.audit),
        endpoint=faults.wrap("provider", world.provider),
    )


def calls_of_a_rotation(world: World) -> list[str]:
    faults = Faults()
    world.until_due()
    replica_with(world, faults).run()
    return faults.calls


def worlds(*, shared: bool, replay: Replay = Replay("never")) -> World:
    world = World(credential(provider=provider(replay=replay)))
    world.escrow.shared = shared
    return world


def test_a_rotation_makes_few_calls() -> None:
    """The good case costs two store calls, four state calls, three escrow calls, two events and one request."""
    calls = calls_of_a_rotation(worlds(shared=True))
    assert calls == [
        "store.read",
        "state.read",
        "state.read",
        "escrow.waiting",
        "state.compare_and_swap",
        "audit.record",
        "provider.refresh",
        "escrow.keep",
        "store.compare_and_swap",
        "escrow.without",
        "state.compare_and_swap",
        "escrow.clear",
        "audit.record",
    ]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("escrow", SHARED)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_anywhere_spends_no_token_twice_and_loses_none_that_arrived(path: str, escrow: str, when: When) -> None:
    """Promises 1 and 2: whatever call the crash hits, the next replica sends nothing that was sent, and what arrived
    and was kept ends in the store.
    """
    count = len(calls_of_a_rotation(worlds(shared=SHARED[escrow])))
    for at in range(count):
        world = worlds(shared=SHARED[escrow])
        PATHS[path](world)
        faults = Faults(at=at, when=when)
        world.until_due()
        with pytest.raises(Crash):
            replica_with(world, faults).run()
        kept = bool(world.escrow.all_waiting())
        world.later(seconds=200)  # past the lease; the access token has ended
        sent = sum(world.provider.presented.values())
        again = world.replica()
        outcome = again.run()
        lost = faults.hit == "provider.refresh" or (faults.hit == "escrow.keep" and when == "before")
        where = f"{when} {faults.hit} (call {at})"
        rotates = path == "rotating provider"
        if lost and sent and rotates:
            # The reply is gone: the one deliberate replay of `wait_then_replay` finds the grant dead.
            assert isinstance(outcome, outcomes.Failed), where
        elif kept:
            assert sum(world.provider.presented.values()) == sent, where
            assert isinstance(outcome, outcomes.Rotated), where
        else:
            assert isinstance(outcome, outcomes.Rotated | outcomes.Fresh), where
        if not lost:
            assert world.provider.reuse_detections == 0, where
            assert not rotates or max(world.provider.presented.values()) == 1, where
            assert world.provider.is_live(world.document["refresh_token"]), where


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_during_recovery_is_recovered_from(when: When) -> None:
    """Promise 2: a second crash at any call of the recovery loses nothing and sends nothing."""
    at = 0
    while True:
        world = worlds(shared=True)
        world.until_due()
        first = Faults(at=0, only=frozenset({"store.compare_and_swap"}))
        with pytest.raises(Crash):
            replica_with(world, first).run()
        world.later(seconds=200)
        second = Faults(at=at, when=when)
        try:
            outcome = replica_with(world, second).run()
        except Crash:
            world.later(seconds=200)
            outcome = world.replica().run()
        assert isinstance(outcome, outcomes.Rotated | outcomes.Fresh)
        assert sum(world.provider.presented.values()) == 1
        assert world.provider.is_live(world.document["refresh_token"])
        assert world.escrow.all_waiting() == ()
        if second.hit is None:
            assert at > 5
            return
        at += 1


def test_an_open_claim_is_never_sent_by_another_replica_while_the_lease_lasts() -> None:
    """A holder at work is left alone, and named."""
    world = worlds(shared=True)
    world.until_due()
    with pytest.raises(Crash):
        replica_with(world, Faults(at=0, only=frozenset({"provider.refresh"}))).run()
    outcome = world.replica().run()
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "held"
    assert not world.provider.presented
