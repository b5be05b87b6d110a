"""A dead grant that is reported twice, or sent again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.attacks.parts import Watched
from tests.rotation.faults import Crash
from tests.rotation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

DEATH = "credential.reauthorization_required"


def _dead() -> World:
    world = World()
    world.until_due()
    world.provider.families[-1].revoked = True
    return world


def test_two_replicas_do_not_both_report_a_dead_grant() -> None:
    """Promise 6, without any fault: another replica looks between the latch and the note that it was reported."""
    world = _dead()
    other = world.replica()
    state = Watched(world.state)

    def latched(key: str, body: Any) -> None:
        if any(claim.get("outcome") == "rejected" and not claim.get("reported") for claim in body.get("presented", ())):
            other.run()

    state.after_write = latched
    world.replica(state=state).run()

    assert world.events.count(DEATH) == 1


def test_a_rejection_that_the_state_did_not_take_is_not_sent_again() -> None:
    """Promise 6: the state is away for ten seconds after the answer; the same process still knows that it was no."""
    world = _dead()
    token = world.document["refresh_token"]
    away_until = [0.0]
    state = Watched(world.state, down=lambda _: world.clock.monotonic_s() < away_until[0])

    def answer(request: Any) -> Any:
        rejected = world.provider._process(request)
        away_until[0] = world.clock.monotonic_s() + 10.0
        return rejected

    world.provider.script.append(answer)
    replica = world.replica(state=state)
    replica.run()
    for _ in range(10):
        world.later(seconds=30)
        replica.run()

    assert (world.provider.presented[token], world.events.count(DEATH)) == (1, 1)


class _CrashAfter:
    def __init__(self, record: Callable[[Any], None]) -> None:
        self._record = record

    def record(self, event: Any) -> None:
        self._record(event)
        if event.event == DEATH:
            raise Crash

    def prove_writable(self) -> None:
        """As memory."""


def test_a_latch_outlives_64_rotations_of_another_login() -> None:
    """Promise 6: the latch is keyed to the token's digest; a document from yesterday's backup does not end it."""
    world = _dead()
    replica = world.replica()
    old = world.store.raw_get(world.credential.secret)
    token = world.document["refresh_token"]
    replica.run()
    world.seed()
    for _ in range(64):
        world.until_due()
        replica.run()
    world.store.raw_put(world.credential.secret, json.dumps({**json.loads(old), "note": "restored"}))
    world.later(hours=1)
    replica.run()

    assert (world.provider.presented[token], world.events.count(DEATH)) == (1, 1)
