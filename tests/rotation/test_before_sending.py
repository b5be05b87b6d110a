"""Between the decision and the request: whatever happens there, nothing leaves, and no try is used up."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.errors import AuditUnavailable
from rotator.model import Rejected, Replay
from rotator.received import Received, sealed_tokens
from rotator.record_changes import give_back, on_claim
from rotator.testing.memory import MemoryEscrow
from tests.rotation.doubts import LAST_QUARTER_S, left, sent, world_of
from tests.rotation.faults import Crash, Faults
from tests.rotation.test_failures import Broken, SlowAudit, down, due, full

if TYPE_CHECKING:
    from tests.rotation.world import World


def before_the_last_try() -> World:
    """Return a world in which a request was lost, and the last quarter of the margin has begun."""
    world = world_of()
    world.provider.script.append("before")
    world.replica().run()
    left(world, LAST_QUARTER_S)
    return world


def test_an_escrow_that_cannot_be_read_after_the_claim_uses_up_no_try() -> None:
    """A last try that was claimed and provably never left is given back."""
    world = before_the_last_try()
    escrow = Broken(world.escrow, "waiting", full, skip=1, times=5)
    assert isinstance(world.replica(escrow=escrow).run(), outcomes.Deferred)  # type: ignore[arg-type]
    assert sent(world) == 0
    standing = world.record.claim_on(world.digest)
    assert standing
    assert standing.tries == 1
    assert world.record.lease is None


def test_a_state_that_fails_at_the_second_look_at_the_cooldown_leaves_no_doubt() -> None:
    """After a slow audit the provider's pauses are read again; should that fail, the claim is given back."""
    world = due()
    state = Broken(world.state, "read", down, skip=2, times=5)
    outcome = world.replica(state=state, audit=SlowAudit(world, 3)).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Deferred)
    assert sent(world) == 0
    assert world.record.presented == ()
    assert world.record.lease is None


def test_a_pause_that_another_replica_was_told_meanwhile_is_kept() -> None:
    """Promise 5: an audit that takes its time does not send into a cooldown that began in between."""
    world = due()
    other = world.replica()
    observed = other.observer.observe(world.credential)
    until = world.clock.now() + timedelta(seconds=300)

    def told() -> None:
        other.observer.cooldowns.note(observed.provider_key, until, "too_many_requests")

    outcome = world.replica(audit=SlowAudit(world, 3, told)).run()
    assert isinstance(outcome, outcomes.Deferred)
    assert "the provider asks to wait until" in outcome.error
    assert sent(world) == 0
    assert world.record.presented == ()


@pytest.mark.parametrize("slow_s", [0, 3])
def test_a_request_that_misses_its_slot_does_not_leave(slow_s: float) -> None:
    """Promise 5: before the claim or after it, a slot that is over is not used, and another is asked for at once."""
    world = due()
    replica = world.replica(audit=SlowAudit(world, slow_s))
    observed = replica.observer.observe(world.credential)
    leave_by = world.clock.now() + timedelta(seconds=2 if slow_s else -1)
    outcome = replica.rotation.run(observed, leave_by=leave_by)
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "slot_missed"
    assert outcome.retry_at == world.clock.now()
    assert sent(world) == 0
    assert world.record.presented == ()
    assert isinstance(world.replica().run(), outcomes.Rotated)


def test_a_successor_that_appears_before_the_last_try_is_used_instead() -> None:
    """Promise 2: what a slow holder kept between the decision and the claim is found, and nothing is sent."""
    world = world_of(Replay("until_successor_used"))
    world.provider.script.append("before")
    world.replica().run()
    replica = world.replica()
    observed = replica.observer.observe(world.credential)
    tokens = world.provider._process(_request(observed)).tokens  # type: ignore[union-attr]
    received = Received(tokens, world.clock.now(), world.digest, "slow")
    world.escrow.keep(sealed_tokens(received, world.seal, world.identity, "payroll"), None)  # type: ignore[arg-type]
    assert isinstance(replica.rotation.run(observed), outcomes.Deferred)
    assert sent(world) == 1
    standing = world.record.claim_on(world.digest)
    assert standing
    assert standing.tries == 1
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert sent(world) == 1
    assert world.provider.is_live(world.document["refresh_token"])


def _request(observed: Any) -> Any:
    from rotator.documents import stored_tokens
    from rotator.model import RefreshRequest

    credential = observed.situation.credential
    tokens: Any = stored_tokens(observed.situation.stored, credential.provider)
    return RefreshRequest(credential.provider, tokens.refresh_token, "client")


def test_a_record_that_changed_under_the_last_try_is_looked_at_again() -> None:
    """Whoever wrote the record since may have written the successor back: the try waits for another look."""
    world = before_the_last_try()
    replica, other = world.replica(), world.replica()
    observed = replica.observer.observe(world.credential)
    ledger = other.observer.observe(world.credential).ledger
    ledger.change(lambda record: on_claim(record, world.digest, reported=False))
    outcome = replica.rotation.run(observed)
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "held"
    assert sent(world) == 0
    assert isinstance(world.replica().run(), outcomes.Rotated)


def test_a_claim_that_was_given_back_meanwhile_is_decided_on_anew() -> None:
    """A doubt that dissolved before the last try is no doubt any more."""
    world = before_the_last_try()
    replica = world.replica()
    observed = replica.observer.observe(world.credential)
    claim = world.record.presented[0]
    ledger = world.replica().observer.observe(world.credential).ledger
    ledger.change(lambda record: give_back(record, claim.digest, claim.rotation_id))
    assert isinstance(replica.rotation.run(observed), outcomes.Deferred)
    assert sent(world) == 0
    assert isinstance(world.replica().run(), outcomes.Rotated)


# ------------------------------------------------------------------------------------------------- after a crash


def test_tokens_that_waited_too_long_are_written_back_and_refreshed_at_once() -> None:
    """What is recovered after its access token has ended is settled, and the next look refreshes it."""
    world = due()
    world.replica(store=Broken(world.store, "compare_and_swap", down)).run()
    world.later(hours=3)
    recovered = world.replica().run()
    assert isinstance(recovered, outcomes.Deferred)
    assert (recovered.reason, recovered.retry_at) == ("recovered", world.clock.now())
    assert world.escrow.all_waiting() == ()
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert max(world.provider.presented.values()) == 1


def test_a_dead_grant_whose_finder_could_not_report_it_is_reported_by_a_later_pass_and_once() -> None:
    """Promise 6: between latch and audit a holder may die, or the audit fail; the report is made up for."""
    for broken in (Faults(at=1), Faults(at=2, error=lambda: AuditUnavailable("disk full"))):
        world = due()
        world.provider.script.append(Rejected("invalid_grant"))
        replica = world.replica(audit=broken.wrap("audit", world.audit))
        try:
            outcome = replica.run()
        except Crash:
            world.later(seconds=70)
        else:
            assert isinstance(outcome, outcomes.Failed)
        assert "credential.reauthorization_required" not in world.events
        for _ in range(3):
            latched = world.replica().run()
            assert isinstance(latched, outcomes.Failed)
            assert latched.reason == "latched"
        assert world.events.count("credential.reauthorization_required") == 1


def test_a_rejection_over_a_destroyed_document_is_a_dead_grant() -> None:
    """What cannot be read shows no newer token."""
    world = due()

    def destroyed(_: object) -> Rejected:
        world.store.raw_put("payroll", "oops")
        return Rejected("invalid_grant")

    world.provider.script.append(destroyed)
    outcome = world.replica().run()
    assert isinstance(outcome, outcomes.Failed)
    assert outcome.reason == "latched"


def test_a_private_escrow_of_ones_own_is_not_waited_for() -> None:
    """The host whose own escrow is named in the claim sees that no successor waits there, and makes the last try."""
    world = before_the_last_try()
    world.escrow = MemoryEscrow("state")
    assert isinstance(world.replica().run(), outcomes.Rotated)
