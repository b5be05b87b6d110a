"""Interleavings that the explicit-state model (`tests/model`) found to break promises: each on the real code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rotator.escrow.record import RecordEscrow
from rotator.model import Replay
from tests.rotation.doubts import world_of
from tests.rotation.faults import Crash, Faults, When

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.model import TokenAnswer, Versioned
    from tests.rotation.world import World


class Slow:
    """A port of which one call takes long; meanwhile something happens."""

    def __init__(self, port: Any, call: str, meanwhile: Callable[[], None]) -> None:
        self._port, self._call, self._meanwhile = port, call, [meanwhile]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if name != self._call:
            return value

        def slow(*args: Any, **kwargs: Any) -> Any:
            if self._meanwhile:
                self._meanwhile.pop()()
            return value(*args, **kwargs)

        return slow


def shared_world(replay: Replay, **changes: Any) -> World:
    world = world_of(replay, **changes)
    world.escrow = RecordEscrow(world.state)  # type: ignore[assignment]
    return world


def die(world: World, call: str, when: When = "before", **look: Any) -> None:
    """Let a replica run until it crashes at a call."""
    faults = Faults(at=0, when=when, only=frozenset({call}))
    replica = world.replica(
        endpoint=faults.wrap("provider", world.provider),
        escrow=faults.wrap("escrow", world.escrow),
        store=faults.wrap("store", world.store),
    )
    with pytest.raises(Crash):
        replica.run(**look)


def test_a_keep_that_outlasts_the_lease_does_not_replace_a_later_answer() -> None:
    """The answer to the later presentation counts; the slow holder finds its claim another's at the very write."""
    world = shared_world(Replay("until_successor_used"), grace_s=3600)

    def meanwhile() -> None:
        world.later(seconds=200)
        die(world, "escrow.keep", "after")

    world.replica(escrow=Slow(world.escrow, "keep", meanwhile)).run()  # type: ignore[arg-type]
    world.later(seconds=200)
    world.replica().run()
    assert world.provider.is_live(world.document["refresh_token"])


@pytest.mark.parametrize("call", ["keep", "compare_and_swap"])
def test_a_new_login_that_is_being_refreshed_is_not_overwritten(call: str) -> None:
    """A token that was claimed after ours is a new login, not an old copy: it stays."""
    world = shared_world(Replay("never"))
    logins = []

    def meanwhile() -> None:
        world.seed()
        logins.append(world.document["refresh_token"])
        world.later(seconds=200)
        die(world, "provider.refresh", "before", force=True)

    if call == "keep":
        world.replica(escrow=Slow(world.escrow, call, meanwhile)).run()  # type: ignore[arg-type]
    else:
        world.replica(store=Slow(world.store, call, meanwhile)).run()  # type: ignore[arg-type]
    assert world.document["refresh_token"] == logins[0]


def test_a_recovery_on_an_old_observation_is_refused() -> None:
    """An entry that somebody else has recovered meanwhile is not written over what came after it."""
    world = shared_world(Replay("never"))
    die(world, "store.compare_and_swap")
    world.later(seconds=200)
    late = world.replica()
    observed = late.observer.observe(world.credential)
    world.replica().run()
    world.replica().run(force=True)
    die(world, "provider.refresh", "before", force=True)
    live = world.document["refresh_token"]
    world.later(seconds=200)
    late.rotation.run(observed)
    assert world.document["refresh_token"] == live


def test_settling_does_not_drop_the_successor_of_a_new_login() -> None:
    """A late holder that leaves a person's document standing leaves what waits for it standing, too."""
    world = shared_world(Replay("never"))
    before = world.store.read("payroll")

    def answer(request: Any) -> TokenAnswer:
        real = world.provider._process(request)
        world.seed()
        world.later(seconds=200)
        die(world, "escrow.keep", "after", force=True)
        return real

    class Stale:
        """Shows the document from before the login, once."""

        def __init__(self) -> None:
            self._first = True

        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        def read(self, secret: str) -> Versioned:
            if self._first:
                self._first = False
                return before
            return world.store.read(secret)

    world.provider.script.append(answer)
    world.replica().run()
    world.later(seconds=200)
    world.replica(store=Stale()).run()  # type: ignore[arg-type]
    world.later(seconds=200)
    world.replica().run()
    assert world.document["refresh_token"].startswith("rt-1")
    assert world.provider.is_live(world.document["refresh_token"])


def test_no_replay_leaves_after_its_window() -> None:
    """What was decided inside the window, and held up, is not sent outside."""
    world = shared_world(Replay("window", 60.0), on_doubt="operator", grace_s=60)
    die(world, "escrow.keep")
    world.later(seconds=44)
    audit = Slow(world.audit, "record", lambda: world.later(seconds=20))
    world.replica(audit=audit).run()  # type: ignore[arg-type]
    assert world.provider.reuse_detections == 0
