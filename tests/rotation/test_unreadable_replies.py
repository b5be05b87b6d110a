"""A reply that could not be read, and the grace windows of the provider that these tests ask."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.errors import EscrowUnavailable
from rotator.escrow.record import RecordEscrow
from rotator.model import InDoubt, Refreshed, RefreshRequest, Rejected
from rotator.redact import Secret
from rotator.testing.memory import VirtualClock
from rotator.testing.provider import MemoryProvider
from tests.rotation.doubts import LAST_QUARTER_S, is_doubt, left, operator, world_of
from tests.rotation.world import provider

if TYPE_CHECKING:
    from tests.rotation.world import World

# ----------------------------------------------------------------------------------------------- unreadable reply

HALF = '{"refresh_token": "rt-0-2", "acc'


def unreadable(world: World, *, in_record: bool) -> None:
    if in_record:
        world.escrow = RecordEscrow(world.state)  # type: ignore[assignment]
    world.provider.script.append(InDoubt("the reply ends in the middle", Secret(HALF)))
    assert is_doubt(world.replica().run())


@pytest.mark.parametrize("in_record", [False, True])
def test_an_unreadable_reply_is_kept_sealed_and_dropped_by_discard(in_record: bool) -> None:
    """What arrived is kept for an operator, shown nowhere, and gone when the doubt is given up."""
    world = world_of()
    unreadable(world, in_record=in_record)
    (entry,) = world.escrow.all_waiting()
    assert (entry.kind, entry.parent) == ("reply", world.digest)
    assert HALF.encode() in world.seal.open(entry.sealed, f"escrow|{world.identity}|{world.digest}").replace(
        b'\\"', b'"'
    )
    assert "rt-0-2" not in repr(world.record) + repr(world.audit.events)
    operator(world).resolve(world.credential, "discard")
    assert world.escrow.all_waiting() == ()
    latched = world.replica().run(force=True)
    assert isinstance(latched, outcomes.Failed)
    assert latched.reason == "latched"
    assert world.events[-1] == "credential.resolved"


@pytest.mark.parametrize("in_record", [False, True])
def test_an_unreadable_reply_is_dropped_when_the_last_try_succeeds(in_record: bool) -> None:
    """The reply of the first try is of no use once the second one brought tokens."""
    world = world_of()
    unreadable(world, in_record=in_record)
    left(world, LAST_QUARTER_S)
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.escrow.all_waiting() == ()


def test_a_reply_that_can_be_kept_nowhere_is_still_a_doubt() -> None:
    """An escrow that fails changes nothing about the doubt; the outcome tells."""
    world = world_of()
    world.provider.script.append(InDoubt("the reply ends in the middle", Secret(HALF)))
    broken = SimpleNamespace(
        keep=_raises(EscrowUnavailable("disk full")), place="state", shared=True, waiting=lambda _: ()
    )
    outcome = world.replica(escrow=broken).run()  # type: ignore[arg-type]
    assert is_doubt(outcome)
    assert isinstance(outcome, outcomes.Deferred)
    assert "the reply could not be kept: disk full" in outcome.error
    assert world.record.lease is None


def _raises(error: Exception) -> Any:
    def keep(*_: object) -> None:
        raise error

    return keep


# --------------------------------------------------------------------------------------- the provider of these tests


def test_the_memory_provider_repeats_within_its_grace_and_revokes_after() -> None:
    """Within the grace the newest spent token brings another successor; later, or an older one, it kills the grant."""
    for passed_s, older, alive in ((60, False, True), (61, False, False), (1, True, False)):
        clock = VirtualClock()
        server = MemoryProvider(clock, grace_s=60.0)
        first = str(server.login()["refresh_token"])
        second = refresh(server, first)
        assert isinstance(second, Refreshed)
        assert second.tokens.refresh_token
        if older:
            refresh(server, second.tokens.refresh_token.reveal())
        clock.advance(passed_s)
        again = refresh(server, first)
        assert isinstance(again, Refreshed if alive else Rejected)
        assert server.reuse_detections == (0 if alive else 1)
        assert [family.revoked for family in server.families] == [not alive]
        if isinstance(again, Refreshed):
            assert again.tokens.refresh_token
            assert server.is_live(again.tokens.refresh_token.reveal())


def refresh(server: MemoryProvider, token: str) -> Any:
    return server.refresh(RefreshRequest(provider(), Secret(token), "client"), deadline_s=1)
