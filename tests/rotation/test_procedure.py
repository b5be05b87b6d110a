"""The procedure on ports without faults, and the answers that bring no tokens."""

from __future__ import annotations

import json

from rotator import outcomes
from rotator.model import Misconfigured, RateLimited, Rejected, Unavailable
from tests.rotation.world import World


def test_a_due_credential_gets_new_tokens_and_keeps_unknown_fields() -> None:
    """A rotation writes the new pair with its lifetime, counted from the sending, beside what was there."""
    world = World()
    before = world.document
    world.until_due()
    outcome = world.replica().run()
    after = world.document
    assert isinstance(outcome, outcomes.Rotated)
    assert after["refresh_token"] != before["refresh_token"]
    assert world.provider.is_live(after["refresh_token"])
    assert after["note"] == "keep me"
    assert after["expires_at"] == int(world.clock.now().timestamp()) + 3600
    assert world.events == ["rotation.started", "rotation.succeeded"]


def test_the_expiry_counts_from_the_sending() -> None:
    """S10: a provider that takes its time does not make the stored expiry later than the real one."""
    world = World()
    world.until_due()
    real = world.provider
    sent_at = int(world.clock.now().timestamp())

    def slowly(request: object) -> object:
        answer = real._process(request)  # type: ignore[arg-type]
        world.later(seconds=20)
        return answer

    world.provider.script.append(slowly)  # type: ignore[arg-type]
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.document["expires_at"] == sent_at + 3600


def test_nothing_happens_before_it_is_due() -> None:
    """A fresh credential is left alone: no request, no write, no event."""
    world = World()
    outcome = world.replica().run()
    assert isinstance(outcome, outcomes.Fresh)
    assert not world.provider.presented
    assert world.events == []


def test_settling_leaves_no_lease_and_no_escrow_but_remembers_the_claim() -> None:
    """After a rotation the record holds the settled claim, the history and a free lease; escrow is empty."""
    world = World()
    spent = world.digest
    world.until_due()
    world.replica().run()
    record = world.record
    assert [(claim.digest, claim.outcome) for claim in record.presented] == [(spent, "settled")]
    assert record.lease is None
    assert record.fence == 1
    assert record.last is not None
    assert record.last.version_after == "2"
    assert world.escrow.all_waiting() == ()


def test_many_rotations_present_each_token_once() -> None:
    """Over a week of hourly tokens no refresh token is presented twice and none is lost."""
    world = World()
    replica = world.replica()
    for _ in range(168):
        world.until_due()
        assert isinstance(replica.run(), outcomes.Rotated)
    assert set(world.provider.presented.values()) == {1}
    assert len(world.record.presented) == 64
    assert world.provider.is_live(world.document["refresh_token"])


def test_a_reply_without_refresh_token_keeps_the_old_one_usable() -> None:
    """S2: a provider that does not rotate is refreshed again and again with the same token."""
    world = World()
    world.provider.rotates = False
    replica = world.replica()
    old = world.document["refresh_token"]
    for _ in range(3):
        world.until_due()
        assert isinstance(replica.run(), outcomes.Rotated)
    assert world.document["refresh_token"] == old
    assert world.record.presented == ()
    assert world.provider.presented[old] == 3


def test_a_rate_limit_gives_the_claim_back_and_cools_every_replica_down() -> None:
    """Promise 5: after Retry-After no replica sends to that provider and client before the time is up."""
    world = World()
    world.until_due()
    world.provider.script.append(RateLimited(120.0, "too_many_requests"))
    outcome = world.replica().run()
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "rate_limited"
    assert world.record.presented == ()
    other = world.replica()
    world.later(seconds=119)
    assert isinstance(other.run(), outcomes.Deferred)
    assert isinstance(other.run(force=True), outcomes.Deferred)
    assert not world.provider.presented
    world.later(seconds=2)
    assert isinstance(other.run(), outcomes.Rotated)


def test_a_provider_that_did_not_process_is_asked_again_after_a_pause() -> None:
    """A 503 gives the claim back; the next try waits, even when forced, for the floor of a minute."""
    world = World()
    world.until_due()
    world.provider.script.append(Unavailable(0.0, "HTTP 503"))
    replica = world.replica()
    assert isinstance(replica.run(), outcomes.Deferred)
    assert isinstance(replica.run(force=True), outcomes.Deferred)
    assert not world.provider.presented
    world.later(seconds=61)
    assert isinstance(replica.run(), outcomes.Rotated)


def test_pauses_grow_with_failures_in_a_row() -> None:
    """Failures in a row double the pause, up to a quarter of an hour."""
    world = World()
    world.until_due()
    pauses = []
    replica = world.replica()
    for _ in range(6):
        world.provider.script.append(Unavailable(0.0, "HTTP 503"))
        outcome = replica.run()
        assert isinstance(outcome, outcomes.Deferred)
        assert outcome.retry_at is not None
        pauses.append(round((outcome.retry_at - world.clock.now()).total_seconds()))
        world.later(seconds=pauses[-1])
    assert pauses == [60, 120, 240, 480, 900, 900]


def test_a_dead_grant_is_reported_once_and_left_alone() -> None:
    """Promise 6: after a rejection nothing is sent again, forced or not, until a new token is put."""
    world = World()
    world.until_due()
    world.provider.script.append(Rejected("invalid_grant"))
    replica = world.replica()
    outcome = replica.run()
    assert isinstance(outcome, outcomes.Failed)
    assert outcome.reason == "latched"
    assert "rotator put payroll" in outcome.action
    for _ in range(3):
        world.later(hours=2)
        assert isinstance(replica.run(force=True), outcomes.Failed)
    assert not world.provider.presented
    assert world.events.count("credential.reauthorization_required") == 1
    world.seed()
    world.until_due()
    assert isinstance(replica.run(), outcomes.Rotated)


def test_a_rejection_after_a_person_put_a_new_token_is_no_dead_grant() -> None:
    """E3: the store is read again before the grant is called dead; a newer token there wins."""
    world = World()
    world.until_due()

    def reseeded(_: object) -> Rejected:
        world.seed()
        return Rejected("invalid_grant")

    world.provider.script.append(reseeded)
    outcome = world.replica().run()
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "superseded"
    assert "credential.reauthorization_required" not in world.events


def test_a_wrong_client_leaves_the_token_intact_and_waits_for_an_operator() -> None:
    """E4: invalid_client gives the claim back, asks for a person, and is retried slowly; --force may try sooner."""
    world = World()
    world.later(seconds=3300)
    world.provider.script.append(Misconfigured("invalid_client", "check the client secret", 900.0))
    replica = world.replica()
    outcome = replica.run()
    assert isinstance(outcome, outcomes.Failed)
    assert outcome.action == "check the client secret"
    assert world.record.presented == ()
    world.later(seconds=61)
    assert isinstance(replica.run(), outcomes.Failed)
    assert isinstance(replica.run(force=True), outcomes.Rotated)


def test_a_failed_refresh_changes_nothing_in_the_store() -> None:
    """Promise 4: whatever is answered, the stored document stays as it is."""
    for answer in (
        RateLimited(1.0, "e"),
        Unavailable(1.0, "e"),
        Rejected("invalid_grant"),
        Misconfigured("e", "h", 1.0),
        "before",
    ):
        world = World()
        world.until_due()
        before = world.store.raw_get("payroll")
        world.provider.script.append(answer)
        world.replica().run()
        assert world.store.raw_get("payroll") == before


def test_an_unusable_document_names_what_is_wrong_and_what_to_do() -> None:
    """A secret that is no document, or has no refresh token, is told apart and nothing is sent."""
    cases = {
        "": "it is empty",
        "not json": "it is not JSON",
        "[1]": "it is not a JSON object",
        json.dumps({"access_token": "a"}): "it has no refresh_token",
        '{"refresh_token": "a", "refresh_token": "b"}': "a name stands in it twice",
    }
    for content, problem in cases.items():
        world = World()
        world.store.raw_put("payroll", content)
        outcome = world.replica().run(force=True)
        assert isinstance(outcome, outcomes.Failed)
        assert problem in outcome.error
        assert outcome.action == "rotator put payroll"
        assert not world.provider.presented


def test_a_person_who_re_seeds_during_the_exchange_is_not_overwritten() -> None:
    """Promise 3: a refresh token that a person put meanwhile wins over the one that arrived."""
    world = World()
    world.until_due()
    real = world.provider

    def while_away(request: object) -> object:
        world.seed(note="a person was here")
        return real._process(request)  # type: ignore[arg-type]

    world.provider.script.append(while_away)  # type: ignore[arg-type]
    outcome = world.replica().run()
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "superseded"
    assert world.document["note"] == "a person was here"
    assert world.document["refresh_token"] == "rt-1-1"
    assert world.record.lease is None


def test_a_person_who_edits_another_field_during_the_exchange_keeps_the_edit() -> None:
    """Promise 3: after a conflict only rotator's own fields are merged into the newer document."""
    world = World()
    world.until_due()
    real = world.provider

    def while_away(request: object) -> object:
        world.store.raw_put("payroll", json.dumps({**world.document, "note": "edited", "more": 1}))
        return real._process(request)  # type: ignore[arg-type]

    world.provider.script.append(while_away)  # type: ignore[arg-type]
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.document["note"] == "edited"
    assert world.document["more"] == 1
    assert world.document["refresh_token"] == "rt-0-2"
