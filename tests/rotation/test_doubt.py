"""A reply that was lost: every rule of doubt, end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.errors import AuditUnavailable, Refused
from rotator.model import RateLimited, RefreshRequest, Replay
from rotator.testing.memory import MemoryEscrow
from tests.rotation.doubts import LAST_QUARTER_S, crash, is_doubt, left, operator, sent, world_of
from tests.rotation.faults import Faults

if TYPE_CHECKING:
    from rotator.outcomes import Outcome
    from tests.rotation.world import Replica, World


# ------------------------------------------------------------------------------------------------- replay: never


def test_a_lost_request_is_sent_again_only_near_the_end_of_the_access_token() -> None:
    """`wait_then_replay`: nothing is sent until the last quarter of the margin, forced or not; then the grant lives."""
    world = world_of()
    world.provider.script.append("before")
    first = world.replica().run()
    assert is_doubt(first)
    assert isinstance(first, outcomes.Deferred)
    assert first.retry_at
    assert world.document["expires_at"] - first.retry_at.timestamp() == LAST_QUARTER_S
    for seconds in (239, 200, 91):
        left(world, seconds)
        assert is_doubt(world.replica().run(force=True))
    assert sent(world) == 0
    left(world, 90)
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.provider.reuse_detections == 0
    assert world.provider.is_live(world.document["refresh_token"])


def test_a_lost_reply_is_paid_for_as_late_as_possible_and_once() -> None:
    """Had the request been processed, the one last try finds the grant dead, and nothing is ever sent again."""
    world = world_of()
    before = world.document
    world.provider.script.append("after")
    assert is_doubt(world.replica().run())
    left(world, LAST_QUARTER_S)
    last = world.replica().run()
    assert isinstance(last, outcomes.Failed)
    assert last.reason == "latched"
    for _ in range(3):
        world.later(hours=1)
        assert isinstance(world.replica().run(force=True), outcomes.Failed)
    assert world.provider.presented == {before["refresh_token"]: 2}
    assert world.document == before
    assert world.events.count("credential.reauthorization_required") == 1


def test_a_one_shot_run_does_not_leave_the_last_try_to_a_pass_that_comes_too_late() -> None:
    """With a horizon beyond the last quarter the last try happens in this pass."""
    world = world_of()
    world.provider.script.append("before")
    world.replica().run(horizon_s=900)
    assert sent(world) == 0
    assert is_doubt(world.replica().run(horizon_s=60))
    world.later(seconds=61)
    assert isinstance(world.replica().run(horizon_s=900), outcomes.Rotated)


def test_under_operator_nothing_is_sent_without_a_word() -> None:
    """`operator`: the doubt asks for a person at once, and time changes nothing."""
    world = world_of(on_doubt="operator")
    world.provider.script.append("before")
    first = world.replica().run()
    assert is_doubt(first, person=True)
    assert isinstance(first, outcomes.Failed)
    assert "rotator resolve payroll --replay" in first.action
    for seconds in (200, 60, -1, -86_400):
        left(world, seconds)
        assert is_doubt(world.replica().run(force=True), person=True)
    assert sent(world) == 0


def test_an_operators_word_allows_one_try() -> None:
    """`resolve --replay` sends once more, at once; after a second loss the word is refused."""
    world = world_of(on_doubt="operator")
    world.provider.script.extend(["before", "before"])
    world.replica().run()
    with pytest.raises(Refused):
        operator(world).resolve(world.credential, "clear")
    operator(world).resolve(world.credential, "replay")
    second = world.replica().run()
    assert is_doubt(second, person=True)
    assert not world.provider.script
    with pytest.raises(Refused) as refused:
        operator(world).resolve(world.credential, "replay")
    assert "already tried twice" in refused.value.message
    left(world, 10)
    assert is_doubt(world.replica().run(force=True), person=True)
    assert sent(world) == 0


def test_an_operators_word_saves_a_grant_whose_request_was_lost() -> None:
    """The one more try that a person allows brings new tokens when nothing had been processed."""
    world = world_of(on_doubt="operator")
    world.provider.script.append("before")
    world.replica().run()
    operator(world).resolve(world.credential, "replay")
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert max(world.provider.presented.values()) == 1


def test_a_last_try_that_was_not_processed_leaves_one_more() -> None:
    """A rate limit on the last try gives that try back, keeps the first one's doubt, and is obeyed."""
    world = world_of()
    world.provider.script.extend(["before", RateLimited(30.0, "too_many_requests")])
    world.replica().run()
    left(world, LAST_QUARTER_S)
    assert isinstance(world.replica().run(), outcomes.Deferred)
    standing = world.record.claim_on(world.digest)
    assert standing
    assert (standing.tries, standing.permitted, standing.outcome) == (1, False, "open")
    world.later(seconds=29)
    assert isinstance(world.replica().run(force=True), outcomes.Deferred)
    assert sent(world) == 0
    world.later(seconds=91)  # the second failure in a row pauses for two minutes
    assert isinstance(world.replica().run(), outcomes.Rotated)


# ------------------------------------------------------------------------------------------ replay that is allowed


@pytest.mark.parametrize("loss", ["before", "after"])
@pytest.mark.parametrize("replay", [Replay("window", 60.0), Replay("until_successor_used")])
def test_an_allowed_replay_happens_at_once(replay: Replay, loss: Any) -> None:
    """Inside the window, or while the successor is unused, the next run tries again without waiting or asking."""
    world = world_of(replay, on_doubt="operator", grace_s=60.0)
    world.provider.script.append(loss)
    first = world.replica().run()
    assert isinstance(first, outcomes.Deferred)
    assert first.retry_at == world.clock.now()
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.provider.reuse_detections == 0
    assert world.provider.is_live(world.document["refresh_token"])


def test_outside_the_window_a_lost_reply_is_as_with_never() -> None:
    """A window that is over, timeout and clock skew counted, waits for the last quarter."""
    world = world_of(Replay("window", 60.0), grace_s=60.0)
    world.provider.script.append("before")
    world.replica().run()
    world.later(seconds=45)  # 60 s, less the timeout of 10 s and 5 s of skew
    assert is_doubt(world.replica().run(force=True))
    assert sent(world) == 0
    left(world, LAST_QUARTER_S)
    assert isinstance(world.replica().run(), outcomes.Rotated)


def test_a_safe_replay_has_no_bound_but_its_pauses() -> None:
    """`safe`: every loss is followed by another try, never sooner than the pause after a failure."""
    world = world_of(Replay("safe"))
    world.provider.rotates = False
    world.provider.script.extend(["after"] * 4)
    replica = world.replica()
    for number in range(4):
        outcome = replica.run()
        assert isinstance(outcome, outcomes.Deferred)
        assert outcome.reason == "reply_lost"
        assert isinstance(outcome, outcomes.Deferred)
        assert outcome.retry_at
        assert isinstance(replica.run(), outcomes.Deferred)
        assert sent(world) == number + 1
        world.clock.advance((outcome.retry_at - world.clock.now()).total_seconds())
    assert isinstance(replica.run(), outcomes.Rotated)
    assert sent(world) == 5
    assert world.record.presented == ()


@pytest.mark.parametrize("replay", [Replay("window", 3600.0), Replay("until_successor_used")])
def test_the_second_loss_is_the_last(replay: Replay) -> None:
    """Promise 1: after two losses the token is never sent again, whatever `replay` says and whoever forces it."""
    world = world_of(replay, grace_s=3600.0)
    world.provider.script.extend(["after", "after"])
    assert is_doubt(world.replica().run())
    assert is_doubt(world.replica().run(), person=True)
    for seconds in (250, 80, 0, -86_400):
        left(world, seconds)
        assert is_doubt(world.replica().run(force=True), person=True)
    assert sent(world) == 2
    assert world.events.count("rotation.in_doubt") == 2
    world.seed()
    world.until_due()
    assert isinstance(world.replica().run(), outcomes.Rotated)


# -------------------------------------------------------------------------------------------------- two replicas


def both_look(world: World) -> tuple[Replica, Any, Replica, Any]:
    one, other = world.replica(), world.replica()
    return one, one.observer.observe(one.credential), other, other.observer.observe(other.credential)


def test_two_replicas_that_decide_on_the_last_try_at_once_send_it_once() -> None:
    """Promise 1: both see the same doubt and decide to try; the claim lets one of them."""
    world = world_of()
    world.provider.script.extend(["before", "before"])
    world.replica().run()
    left(world, LAST_QUARTER_S)
    one, seen_by_one, other, seen_by_other = both_look(world)
    assert is_doubt(one.rotation.run(seen_by_one), person=True)
    late = other.rotation.run(seen_by_other)
    assert isinstance(late, outcomes.Deferred)
    assert late.reason == "held"
    assert not world.provider.script
    assert sent(world) == 0


@pytest.mark.parametrize("passed_s", [0, 300])
def test_a_last_try_in_flight_is_not_repeated_by_another_replica(passed_s: float) -> None:
    """While the answer is on its way, even for longer than the lease, the other replica's claim is refused."""
    world = world_of()
    world.provider.script.append("before")
    world.replica().run()
    left(world, LAST_QUARTER_S)
    one, seen_by_one, other, seen_by_other = both_look(world)
    meanwhile: list[Outcome] = []

    def slow(request: RefreshRequest) -> Any:
        world.later(seconds=passed_s)
        meanwhile.append(other.rotation.run(seen_by_other))
        return world.provider.refresh(request, deadline_s=1)

    world.provider.script.append(slow)
    assert isinstance(one.rotation.run(seen_by_one), outcomes.Rotated)
    assert [found.reason for found in meanwhile if isinstance(found, outcomes.Deferred)] == ["held"]
    assert sent(world) == 1


def test_a_crash_is_reported_once_among_all_replicas_and_passes() -> None:
    """A doubt that a dead holder left is audited by the first who finds it, and by nobody after."""
    world = world_of()
    crash(world, "provider.refresh")
    assert world.events == ["rotation.started"]
    world.later(seconds=200)
    for _ in range(3):
        replica = world.replica()
        assert is_doubt(replica.run())
        assert is_doubt(replica.run())
    assert world.events == ["rotation.started", "rotation.in_doubt"]
    started, reported = world.audit.events
    assert reported.rotation_id == started.rotation_id
    assert reported.details["refresh_token_digest"] == started.details["refresh_token_digest"]
    assert reported.details["retry_at"].timestamp() == world.document["expires_at"] - LAST_QUARTER_S


def test_a_doubt_that_its_holder_reported_is_not_reported_again() -> None:
    """The holder that lost the reply tells of it; the others only wait."""
    world = world_of()
    world.provider.script.append("after")
    world.replica().run()
    world.later(seconds=200)
    for _ in range(3):
        world.replica().run()
    assert world.events.count("rotation.in_doubt") == 1


def test_a_doubt_that_could_not_be_reported_is_reported_by_the_next_pass() -> None:
    """An audit trail that fails hides no doubt for good."""
    world = world_of()
    crash(world, "provider.refresh")
    world.later(seconds=200)
    faults = Faults(at=0, error=lambda: AuditUnavailable("disk full"))
    assert is_doubt(world.replica(audit=faults.wrap("audit", world.audit)).run())
    assert world.events == ["rotation.started"]
    world.replica().run()
    world.replica().run()
    assert world.events == ["rotation.started", "rotation.in_doubt"]


# ------------------------------------------------------------------------------------------------ private escrow


def test_another_host_waits_for_the_holder_whose_escrow_may_hold_the_successor() -> None:
    """Promise 2: with a private escrow nobody else sends while the access token lasts; then the last try is made."""
    world = world_of(Replay("window", 36_000.0), grace_s=36_000.0)
    world.escrow = MemoryEscrow("file:a")
    crash(world, "escrow.keep")
    other = world.replica(escrow=MemoryEscrow("file:b"))
    for seconds in (220, 80, 1):
        left(world, seconds)
        waits = other.run(force=True)
        assert is_doubt(waits)
        assert isinstance(waits, outcomes.Deferred)
        assert "may lie in the escrow of host/1/instance-1" in waits.error
    assert sent(world) == 1
    left(world, 0)
    assert isinstance(other.run(), outcomes.Rotated)


def test_the_holder_whose_escrow_holds_the_successor_recovers_it() -> None:
    """Promise 2: the host that received the tokens writes them back when it runs again, and nobody sends."""
    world = world_of()
    world.escrow = MemoryEscrow("file:a")
    crash(world, "escrow.keep", "after")
    world.later(seconds=200)
    assert is_doubt(world.replica(escrow=MemoryEscrow("file:b")).run())
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.replica(escrow=MemoryEscrow("file:b")).run().name == "payroll"
    assert sent(world) == 1
    assert world.provider.is_live(world.document["refresh_token"])


def test_a_report_leaves_the_lease_of_a_holder_that_never_let_go() -> None:
    """Promise 1: by a clock that is behind, that holder may be alive; who reports does not hide it."""
    world = world_of()
    crash(world, "provider.refresh", "before")
    before = world.record.lease
    world.later(seconds=61)
    world.replica().run()
    assert "rotation.in_doubt" in world.events
    assert before is not None
    assert world.record.lease == before
