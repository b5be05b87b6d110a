"""Token sets that arrive and are not as they should be; refresh tokens that come to their end."""

from __future__ import annotations

from typing import Any

import pytest

from rotator import outcomes
from rotator.redact import Secret
from rotator.testing.memory import MemoryEscrow
from tests.rotation.faults import Crash, Faults
from tests.rotation.test_failures import DAY_S, answering, due, sent
from tests.rotation.world import World, credential, provider


def test_an_access_token_that_must_not_be_published_stays_out_of_the_store() -> None:
    """The refresh token is written, for the old one is spent; the old access token stays, and a person is asked."""
    world = due()
    before = world.document
    answering(world, extra_problem="wrong subject")
    replica = world.replica()
    outcome = replica.run()
    assert isinstance(outcome, outcomes.Failed)
    assert outcome.reason == "unpublished"
    assert "wrong subject" in outcome.error
    after = world.document
    assert world.provider.is_live(after["refresh_token"])
    assert after == {**before, "refresh_token": after["refresh_token"]}
    world.later(seconds=59)
    assert isinstance(replica.run(force=True), outcomes.Failed)
    world.later(minutes=58)
    again = replica.run()
    assert isinstance(again, outcomes.Failed)
    assert again.reason == "unpublished"
    assert sent(world) == 1
    world.later(minutes=2)
    assert isinstance(replica.run(), outcomes.Rotated)


def test_a_lifetime_that_nobody_knows_is_refreshed_at_a_fixed_interval() -> None:
    """Unknown counts as due, but not in a loop: the next refresh is a quarter of an hour later, unless forced."""
    world = due()
    answering(world, expires_in_s=None)
    replica = world.replica()
    outcome = replica.run()
    assert isinstance(outcome, outcomes.Rotated)
    assert outcome.expires_at is None
    assert outcome.next_at
    assert (outcome.next_at - world.clock.now()).total_seconds() == 900
    assert "expires_at" not in world.document
    world.later(seconds=899)
    waits = replica.run()
    assert isinstance(waits, outcomes.Deferred)
    assert waits.reason == "lifetime_unknown"
    answering(world, expires_in_s=None)
    assert isinstance(replica.run(force=True), outcomes.Rotated)
    world.later(seconds=900)
    assert isinstance(replica.run(), outcomes.Rotated)
    assert set(world.provider.presented.values()) == {1}


def test_a_token_that_is_due_at_once_is_not_refreshed_in_a_loop() -> None:
    """A lifetime of nothing pauses for a minute, which not even `--force` cuts short."""
    world = due()
    answering(world, expires_in_s=0.0)
    replica = world.replica()
    outcome = replica.run()
    assert isinstance(outcome, outcomes.Rotated)
    assert outcome.next_at
    assert (outcome.next_at - world.clock.now()).total_seconds() == 60
    world.later(seconds=59)
    for force in (False, True):
        waits = replica.run(force=force)
        assert isinstance(waits, outcomes.Deferred)
        assert waits.reason == "short_lifetime"
    assert sent(world) == 1
    world.later(seconds=1)
    assert isinstance(replica.run(), outcomes.Rotated)


@pytest.mark.parametrize("token", ["rt\x0bnew", "rt-new\n"])
def test_a_refresh_token_of_strange_characters_is_used_as_it_came(token: str) -> None:
    """Promise 2: a successor outside RFC 6749 appendix A.17 is written, and the next refresh presents it."""
    world = due()
    answering(world, refresh_token=Secret(token))
    assert isinstance(world.replica().run(), outcomes.Rotated)
    world.until_due()
    world.provider.families[0].live = token
    assert isinstance(world.replica().run(), outcomes.Rotated)


@pytest.mark.parametrize("shared", [False, True])
def test_an_answer_that_repeats_the_refresh_token_survives_a_crash(shared: bool) -> None:
    """Promise 2: a server may return the very token that was presented; what came with it is written back."""
    world = due()
    world.provider.rotates = False
    world.escrow = MemoryEscrow("state", shared=shared)
    answering(world, refresh_token=Secret(world.document["refresh_token"]))
    faults = Faults(at=0, only=frozenset({"store.compare_and_swap"}))
    with pytest.raises(Crash):
        world.replica(store=faults.wrap("store", world.store)).run()
    world.later(seconds=70)
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.document["access_token"] == "at-2"
    assert sent(world) == 1
    assert world.escrow.all_waiting() == ()


# ---------------------------------------------------------------------------------------------------- their end


def rotate_hourly(world: World, days: float) -> list[Any]:
    """Rotate as a daemon does for so long; return the announcements of the refresh token's end."""
    replica = world.replica()
    end_s = world.clock.monotonic_s() + days * DAY_S
    while world.clock.monotonic_s() < end_s:
        world.until_due()
        assert isinstance(replica.run(), outcomes.Rotated)
    return [event for event in world.audit.events if event.event == "refresh_token.expiring"]


def test_a_refresh_token_that_comes_to_its_end_is_announced_once_a_day() -> None:
    """In the last quarter of a grant's absolute life each day has one announcement, with the end in it."""
    world = World(credential(provider=provider(refresh_token_absolute_s=10 * DAY_S)))
    start = world.clock.now()
    announced = rotate_hourly(world, 9.9)
    days = [(event.ts - start).total_seconds() / DAY_S for event in announced]
    assert [int(day * 2) / 2 for day in days] == [7.5, 8.5, 9.5]
    assert {(event.details["expires_at"] - start).total_seconds() for event in announced} == {10 * DAY_S}
    grant = world.record.grant
    assert grant
    assert grant.since == start


def test_a_long_grant_is_announced_in_its_last_week() -> None:
    """A quarter of a long life would be too early: a week is enough."""
    world = World(credential(provider=provider(refresh_token_absolute_s=60 * DAY_S)), lifetime_s=DAY_S / 2)
    announced = rotate_hourly(world, 55)
    start = announced[0].ts - world.clock.now()
    assert start.total_seconds() < 0
    first_s = (announced[0].details["expires_at"] - announced[0].ts).total_seconds()
    assert 6.5 * DAY_S <= first_s <= 7 * DAY_S


def test_what_the_provider_says_of_the_refresh_tokens_end_counts() -> None:
    """A lifetime in the answer goes before the profile's, and a refresh token that slides is not announced."""
    world = World(credential(provider=provider(refresh_token_absolute_s=DAY_S)))
    world.until_due()
    answering(world, refresh_expires_in_s=2.0 * DAY_S)
    world.replica().run()
    grant = world.record.grant
    assert grant
    assert grant.expires_at
    assert (grant.expires_at - world.clock.now()).total_seconds() == 2 * DAY_S
    assert "refresh_token.expiring" not in world.events


def test_a_life_that_each_rotation_renews_is_not_announced() -> None:
    """Two hours that each hourly answer states anew come to no end, however old the grant is."""
    world = World(credential())
    replica = world.replica()
    for _ in range(24 * 10):
        world.until_due()
        answering(world, refresh_expires_in_s=7200.0)
        assert isinstance(replica.run(), outcomes.Rotated)
    assert "refresh_token.expiring" not in world.events


def test_an_end_that_stays_is_announced_though_each_answer_states_it() -> None:
    """What is left of ten days, in whole seconds, is one end: announced in its last quarter, a day apart."""
    world = World(credential())
    replica = world.replica()
    start = world.clock.now()
    while (left_s := 10 * DAY_S - (world.clock.now() - start).total_seconds()) > DAY_S / 10:
        world.until_due()
        answering(world, refresh_expires_in_s=float(int(left_s - 3600)))
        assert isinstance(replica.run(), outcomes.Rotated)
    days = [(one.ts - start).total_seconds() / DAY_S for one in world.audit.events if one.event.endswith("expiring")]
    assert [int(day * 2) / 2 for day in days] == [7.5, 8.5, 9.5]


def test_a_new_login_is_a_new_grant() -> None:
    """A person's new token set starts the absolute life anew."""
    world = World(credential(provider=provider(refresh_token_absolute_s=10 * DAY_S)))
    rotate_hourly(world, 8)
    world.seed()
    login = world.clock.now()
    assert (
        rotate_hourly(world, 1)
        == [event for event in world.audit.events if event.event == "refresh_token.expiring"][:1]
    )
    grant = world.record.grant
    assert grant
    assert grant.since == login.replace(microsecond=0)
