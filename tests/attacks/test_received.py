"""Token sets that arrived and are lost, and old tokens that are sent while their successor waits."""

from __future__ import annotations

import contextlib
import json
from typing import Any, cast

import pytest

from rotator.errors import StoreCorrupt
from rotator.received import REPLY_KEPT, sealed_reply
from rotator.record_bodies import to_body
from rotator.records import SealedEntry, StateRecord
from rotator.redact import Secret
from rotator.seal import AesSeal
from rotator.state.dynamodb import DynamoDbStateStore
from rotator.testing.memory import EPOCH, MemoryEscrow
from tests.rotation.faults import Crash, Faults
from tests.rotation.world import World


@pytest.mark.parametrize("second", ["private", "shared"])
def test_nobody_sends_while_the_successor_may_lie_in_a_private_escrow(second: str) -> None:
    """Promise 2: a fleet changes from `escrow: file` to `escrow: state`, and one replica still has the old one."""
    world = World()
    world.clock.advance(3600 - 350)
    token = world.document["refresh_token"]
    old = MemoryEscrow("file:one", shared=False)
    faults = Faults(at=0, only=frozenset({"store.compare_and_swap"}))
    with pytest.raises(Crash):
        world.replica(escrow=old, store=faults.wrap("store", world.store)).run()
    assert len(old.all_waiting()) == 1
    world.later(seconds=100)

    world.replica(escrow=MemoryEscrow("two", shared=second == "shared")).run(horizon_s=900.0)
    assert world.provider.presented[token] == 1
    world.replica(escrow=old).run()
    assert world.provider.is_live(world.document["refresh_token"])


def _edited_while_under_way(seeded: dict[str, object]) -> World:
    world = World()
    world.provider.rotates = False
    login = world.provider.login()
    world.store.raw_put(
        world.credential.secret,
        json.dumps({"access_token": login["access_token"], "refresh_token": login["refresh_token"], **seeded}),
    )
    world.clock.advance(3600 - 100)

    def answer(request: Any) -> Any:
        real = world.provider._process(request)
        world.later(seconds=1)
        world.store.raw_put(world.credential.secret, json.dumps({**world.document, "note": "edited"}))
        return real

    world.provider.script.append(answer)
    return world


def test_an_edit_while_the_answer_is_under_way_does_not_lose_the_new_access_token() -> None:
    """Promise 2: a person's note makes a new version, whose creation time passes for a newer token set's."""
    world = _edited_while_under_way({"expires_in": 3600})
    world.replica().run()

    assert world.document["note"] == "edited"
    assert world.document["access_token"] == "at-3"


def test_the_old_access_token_does_not_expire_in_the_store_after_such_an_edit() -> None:
    """Promise 9: after the edit rotator believes in another whole lifetime of a token that ends in two minutes."""
    world = _edited_while_under_way({"expires_in": 3600})
    replica = world.replica()
    ends = world.clock.now().timestamp() + 100
    for _ in range(10):
        replica.run()
        world.later(seconds=60)
        if world.clock.now().timestamp() > ends:
            assert world.document["access_token"] != "at-2", "it has expired, and nobody refreshes it"


def test_an_unreadable_reply_of_the_greatest_kept_length_fits_into_dynamodb() -> None:
    """Promise 2: what is kept of an unreadable reply fits beside the record, whatever bytes it is made of."""
    seal = AesSeal(lambda: bytes(32))
    entry = SealedEntry("arn:x", "d" * 32, "reply", "r", "payroll", EPOCH, "")
    sealed = sealed_reply(Secret("é" * REPLY_KEPT), entry, seal)
    store = DynamoDbStateStore(cast("Any", _Accepting()), "t")

    assert store.compare_and_swap("secret/arn:x", to_body(StateRecord("arn:x", escrow=(sealed,))), expected=0) > 0


class _Accepting:
    def put_item(self, **_: object) -> None:
        """Take what passed the size check before it."""


def test_a_record_with_more_in_it_than_this_version_knows_is_not_rewritten_without_it() -> None:
    """Promise 1: during an upgrade an older replica reads what a newer one wrote; what it does not know, it drops."""
    world = World()
    key = f"secret/{world.identity}"
    world.until_due()
    claim = {"digest": "0" * 32, "rotation_id": "r", "claimed_at": "2026-01-01T00:00:00Z", "barred": True}
    world.state.raw_put(
        key, json.dumps({"format": 1, "identity": world.identity, "presented": [claim], "barred_until": "2027"})
    )
    with contextlib.suppress(StoreCorrupt):  # to stop is right
        world.replica().run()
    body, _ = world.state.read(key)

    assert body is not None
    assert "barred_until" in body
    assert "barred" in body["presented"][0]
