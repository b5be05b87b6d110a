"""What a try that was given back does not entitle to, and what does not survive a change of the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotator import outcomes, policy
from rotator.model import RateLimited, Replay
from rotator.record_changes import on_claim
from tests.rotation.world import World, credential, provider

if TYPE_CHECKING:
    from rotator.records import StateRecord


def in_the_window(on_doubt: str) -> World:
    world = World(credential(provider=provider(replay=Replay("window", 300.0), on_doubt=on_doubt)))
    world.provider.grace_s = 300.0
    world.until_due()
    world.provider.script.extend(["after", RateLimited(30.0, "too_many_requests")])
    return world


def test_a_second_try_that_was_not_processed_is_no_permission_outside_the_window() -> None:
    """After the window the token is sent only by the rules of doubt, whether or not a second try was given back."""
    world = in_the_window("operator")
    replica = world.replica()
    assert isinstance(replica.run(), outcomes.Deferred)  # the reply is lost
    assert isinstance(replica.run(), outcomes.Deferred)  # 429 inside the window
    world.later(seconds=1001)
    assert isinstance(replica.decide(), policy.InDoubt)
    assert isinstance(replica.run(force=True), outcomes.Failed)
    assert sum(world.provider.presented.values()) == 1
    assert world.provider.reuse_detections == 0


def test_inside_the_window_a_second_try_that_was_given_back_is_made_again() -> None:
    """A 429 takes the second try away for the time of the cooldown only."""
    world = in_the_window("operator")
    replica = world.replica()
    replica.run()
    replica.run()
    world.later(seconds=61)
    assert isinstance(replica.run(), outcomes.Rotated)


def test_a_first_claim_on_a_record_that_changed_is_refused() -> None:
    """What another replica noted since, a pause for example, is looked at before anything is sent."""
    world = World()
    world.until_due()
    slow, quick = world.replica(), world.replica()
    observed = slow.observer.observe(world.credential)
    world.provider.script.append(RateLimited(3600.0, "too_many_requests"))
    assert isinstance(quick.run(), outcomes.Deferred)
    outcome = slow.rotation.run(observed)
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "held"
    assert not world.provider.presented


def test_a_private_escrow_elsewhere_is_still_waited_for_after_a_try_that_was_given_back() -> None:
    """The first holder's escrow keeps being the one that may hold the successor."""
    world = World()
    world.escrow.shared = False
    world.until_due()
    world.provider.script.append("after")
    world.replica().run()
    elsewhere = world.record.presented[0].place

    def from_elsewhere(record: StateRecord) -> StateRecord:
        return on_claim(record, world.digest, place="file:elsewhere")

    observed = world.replica().observer.observe(world.credential)
    observed.ledger.change(from_elsewhere)
    assert elsewhere == "state"
    decision = world.replica().decide()
    assert isinstance(decision, policy.InDoubt)
    assert decision.until is not None
    assert (decision.until.timestamp()) == world.document["expires_at"]
