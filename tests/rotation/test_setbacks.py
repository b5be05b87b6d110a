"""Answers without tokens, when something else fails as well; and escrow entries that do not open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rotator import outcomes
from rotator.ledger import provider_key, read_provider
from rotator.model import InDoubt, Misconfigured, RateLimited, Rejected, Unavailable
from rotator.records import SealedEntry
from rotator.retrying import Retrier
from rotator.testing.memory import SeededRandomness
from tests.rotation.test_failures import Broken, down, due, full, sent
from tests.rotation.world import ENDPOINT, World


def cooldown_left_s(world: World) -> float | None:
    key = provider_key(ENDPOINT, "client")
    record, _ = read_provider(world.state, key, Retrier(world.clock, SeededRandomness()))
    return (record.cooldown_until - world.clock.now()).total_seconds() if record.cooldown_until else None


@pytest.mark.parametrize(
    "answer",
    [
        RateLimited(300.0, "too_many_requests"),
        Unavailable(0.0, "HTTP 503", cooldown_s=300.0),
        InDoubt("HTTP 500", cooldown_s=300.0),
        Rejected("invalid_grant", cooldown_s=300.0),
        Misconfigured("invalid_client", "mend it", 0.0, cooldown_s=300.0),
    ],
)
def test_every_answer_that_asks_to_stay_away_is_obeyed_by_all(answer: Any) -> None:
    """Promise 5: whatever else an answer means, its Retry-After is known to every replica of that client."""
    world = due()
    world.provider.script.append(answer)
    world.replica().run()
    assert cooldown_left_s(world) == 300
    world.seed()  # another grant of the same client
    assert isinstance(world.replica().run(force=True), outcomes.Deferred)
    assert sent(world) == 0
    world.later(seconds=300)
    assert isinstance(world.replica().run(force=True), outcomes.Rotated)


@pytest.mark.parametrize("answer", [Unavailable(9.0, "HTTP 503"), Rejected("invalid_grant"), InDoubt("lost")])
def test_an_answer_that_asks_for_nothing_cools_nobody_down(answer: Any) -> None:
    """A pause of one credential's own is not the provider's word to all."""
    world = due()
    world.provider.script.append(answer)
    world.replica().run()
    assert cooldown_left_s(world) is None


def test_a_cooldown_that_cannot_be_shared_binds_at_least_this_process() -> None:
    """Promise 5: while the state does not take the cooldown, the process that was told keeps to it."""
    world = due()
    world.provider.script.append(RateLimited(300.0, "too_many_requests"))
    state = Broken(world.state, "compare_and_swap", down, skip=1)
    replica = world.replica(state=state)  # type: ignore[arg-type]
    outcome = replica.run()
    assert isinstance(outcome, outcomes.Deferred)
    assert [claim.outcome for claim in world.record.presented] == ["open"]
    world.seed()
    assert isinstance(replica.run(force=True), outcomes.Deferred)
    assert cooldown_left_s(world) is None
    state.mend()
    world.later(seconds=60)
    assert isinstance(replica.run(force=True), outcomes.Deferred)
    left_s = cooldown_left_s(world)
    assert left_s
    assert 200 < left_s <= 240  # the tries to write took their time
    assert sent(world) == 0


def test_a_connection_that_was_closed_early_is_tried_again_at_once_and_once() -> None:
    """RFC 9110 section 15.5.9: one immediate retry; the second such answer in a row pauses like any other."""
    world = World()
    world.later(seconds=3300)
    world.provider.script.extend([Unavailable(0.0, "HTTP 408", at_once=True)] * 2)
    replica = world.replica()
    first = replica.run()
    assert isinstance(first, outcomes.Deferred)
    assert first.retry_at == world.clock.now()
    second = replica.run()
    assert isinstance(second, outcomes.Deferred)
    assert second.retry_at
    assert (second.retry_at - world.clock.now()).total_seconds() == 120
    assert not world.provider.script


def test_a_doubt_that_cannot_be_noted_is_told_by_the_open_claim() -> None:
    """With the state down after a lost reply, the doubt stands by the claim and is reported as it is."""
    world = due()
    world.provider.script.append("after")
    outcome = world.replica(state=Broken(world.state, "compare_and_swap", down, skip=1)).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "in_doubt"
    assert "the doubt could not be noted" in outcome.error
    assert [(claim.outcome, claim.reported) for claim in world.record.presented] == [("open", False)]


def test_a_rejection_latches_even_when_the_store_cannot_be_read_again() -> None:
    """The latch is keyed to this token alone: a newer one is not held back by it."""
    world = due()
    world.provider.script.append(Rejected("invalid_grant", "token revoked"))
    outcome = world.replica(store=Broken(world.store, "read", down, skip=1)).run()
    assert isinstance(outcome, outcomes.Failed)
    assert outcome.reason == "latched"
    assert "invalid_grant: token revoked" in outcome.error
    assert [claim.outcome for claim in world.record.presented] == ["rejected"]


def test_a_rejection_is_told_even_when_the_escrow_cannot_be_read() -> None:
    """An escrow that fails does not hide a dead grant."""
    world = due()
    world.provider.script.append(Rejected("invalid_grant"))
    escrow = Broken(world.escrow, "waiting", full, skip=1)
    outcome = world.replica(escrow=escrow).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Failed)
    assert "credential.reauthorization_required" in world.events


def entry(world: World, parent: str) -> SealedEntry:
    return SealedEntry(world.identity, parent, "tokens", "r", "payroll", world.clock.now(), "*")


def test_a_damaged_successor_stops_the_credential() -> None:
    """Promise 2: while the successor may be in an entry that does not open, the old token is not sent."""
    world = due()
    world.escrow.keep(entry(world, world.digest), None)  # type: ignore[arg-type]
    from rotator.errors import EscrowCorrupt

    with pytest.raises(EscrowCorrupt):
        world.replica().run()
    assert sent(world) == 0


def test_a_damaged_entry_of_another_token_is_no_obstacle() -> None:
    """An entry that does not open matters only to the token that it succeeds; a broken document has none."""
    world = due()
    world.escrow.keep(entry(world, "another"), None)  # type: ignore[arg-type]
    good = world.store.raw_get("payroll")
    for content in ("oops", '{"refresh_token": 1}'):
        world.store.raw_put("payroll", content)
        outcome = world.replica().run()
        assert isinstance(outcome, outcomes.Failed)
        assert outcome.reason == "unusable"
    world.store.raw_put("payroll", good)
    assert isinstance(world.replica().run(), outcomes.Rotated)


def test_the_client_id_of_the_document_stands_in_for_the_configurations() -> None:
    """The shared record of provider and client is found by the client id that is really used."""
    world = World(replace(World().credential, client_id=None))
    for in_document, key in (("c-9", "c-9"), (None, None), (7, None)):
        world.seed(client_id=in_document)
        observed = world.replica().observer.observe(world.credential)
        assert observed.provider_key == provider_key(ENDPOINT, key)
    world.store.raw_put("payroll", "oops")
    assert world.replica().observer.observe(world.credential).provider_key == provider_key(ENDPOINT, None)
