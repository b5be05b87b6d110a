"""The state record: transitions that may be applied twice, and a codec that reads only what it wrote."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.errors import LeaseHeld, StoreCorrupt
from rotator.record_bodies import provider_record, state_record, to_body
from rotator.record_changes import (
    ClaimRefused,
    claim,
    give_back,
    latch,
    mark,
    on_claim,
    release,
    spent_before,
    take_lease,
    take_out,
    with_done,
)
from rotator.records import Claim, Done, Grant, Hold, Lease, ProviderRecord, SealedEntry, StateRecord, digest_of
from rotator.redact import Secret
from tests.core.parts import NOW, at
from tests.effort import tried

Step = Callable[[StateRecord], StateRecord]
EMPTY = StateRecord("i")
much = tried(200)


def new_claim(rotation_id: str = "r1", *, at_s: float = 0, digest: str = "d", holder: str = "a") -> Claim:
    return Claim(digest, rotation_id, at(at_s), holder, f"place of {holder}")


def claimed(record: StateRecord = EMPTY, *, again: bool = False, any_tries: bool = False, **new: Any) -> StateRecord:
    one = new_claim(**new)
    return claim(record, one, again=again, any_tries=any_tries, lease=one.claimed_at + timedelta(seconds=60))


OPEN = claimed()
IN_DOUBT = claimed(release(OPEN, 1), again=True, rotation_id="r2", holder="b", at_s=100)


# ------------------------------------------------------------------------------------------------------ claims


def test_a_claim_appends_the_digest_and_takes_the_lease_in_one_step() -> None:
    """The write that entitles to send is the write that takes the lease."""
    assert OPEN.presented == (new_claim(),)
    assert OPEN.lease == Lease("a", 1, at(60))
    assert OPEN.fence == 1


@pytest.mark.parametrize("outcome", ["open", "settled", "rejected"])
def test_a_claimed_token_is_not_claimed_again(outcome: Any) -> None:
    """Promise 1: whatever became of a claim, nobody claims that token as if it were new."""
    record = mark(release(OPEN, 1), "d", outcome)
    with pytest.raises(ClaimRefused):
        claimed(record, rotation_id="r2", holder="b")
    if outcome != "open":
        with pytest.raises(ClaimRefused):
            claimed(record, rotation_id="r2", holder="b", again=True, any_tries=True)


def test_one_more_try_needs_a_claim_that_stands() -> None:
    """A doubt that is gone (settled and forgotten, or given back) is decided on anew."""
    with pytest.raises(ClaimRefused):
        claimed(EMPTY, again=True)


def test_the_second_try_is_a_claim_and_the_last() -> None:
    """Tries go from 1 to 2, the time of the first presentation stays, and there is no third, but for `safe`."""
    second = IN_DOUBT.claim_on("d")
    assert second
    assert (second.tries, second.claimed_at, second.tried_at) == (2, NOW, at(100))
    assert (second.rotation_id, second.holder, second.permitted) == ("r2", "b", False)
    free = release(IN_DOUBT, 2)
    with pytest.raises(ClaimRefused):
        claimed(free, again=True, rotation_id="r3", holder="a", at_s=200)
    third = claimed(free, again=True, any_tries=True, rotation_id="r3", holder="a", at_s=200).claim_on("d")
    assert third
    assert third.tries == 3


def test_a_lease_that_lasts_refuses_a_claim() -> None:
    """While somebody else holds the lease nobody claims, the refused one is told whom to wait for."""
    with pytest.raises(LeaseHeld) as refused:
        claimed(OPEN, rotation_id="r2", holder="b", digest="other", at_s=59)
    assert (refused.value.holder, refused.value.expires_at) == ("a", at(60))
    assert claimed(OPEN, rotation_id="r2", holder="b", digest="other", at_s=60).lease == Lease("b", 2, at(120))


def test_presented_keeps_the_newest_sixty_four() -> None:
    """The list of claims is bounded; the oldest goes first."""
    record = EMPTY
    for number in range(70):
        record = claimed(record, digest=f"d{number}", rotation_id=f"r{number}")
        record = release(mark(record, f"d{number}", "settled"), record.fence)
    assert record.digests == [f"d{number}" for number in range(6, 70)]


def rotated_often(times: int, *, stuck: int = -1) -> StateRecord:
    """Return the record of a credential that was rotated so often; the claim of that number stays open."""
    record = EMPTY
    for number in range(times):
        digest = f"{number:032x}"
        record = claimed(record, digest=digest, rotation_id=f"r{number}")
        record = release(record if number == stuck else mark(record, digest, "settled"), record.fence)
    return record


def test_of_old_settled_claims_the_digest_is_kept() -> None:
    """A record of 64 claims stays below 4 KiB; the newest keep their story, and so does one that is open."""
    record = rotated_often(64, stuck=2)
    assert [isinstance(one, Claim) for one in record.presented] == [False] * 2 + [True] + [False] * 58 + [True] * 3
    assert len(json.dumps(to_body(record))) < 4096
    assert state_record(record.identity, to_body(record)) == record


def test_an_old_settled_claim_still_stops_its_token() -> None:
    """It is known as settled, and neither claimed, given back, settled once more nor changed any more."""
    record, old = rotated_often(64), f"{0:032x}"
    standing = record.claim_on(old)
    assert standing
    assert (standing.digest, standing.outcome) == (old, "settled")
    for again in (False, True):
        with pytest.raises(ClaimRefused):
            claimed(record, digest=old, rotation_id="late", again=again)
    assert give_back(record, old, "r0") is record
    assert mark(record, old, "settled") is record
    assert mark(record, old, "rejected", error="invalid_grant") is record
    assert on_claim(record, old, reported=True) is record
    assert old in spent_before(record, f"{1:032x}")
    assert old not in spent_before(record, old)


def test_an_old_settled_claim_can_be_taken_out_and_latched() -> None:
    """An operator's word counts for any claim, and so does the provider's that a token is dead."""
    record, old = rotated_often(64), f"{0:032x}"
    assert take_out(record, old).claim_on(old) is None
    latched = latch(record, old, rotation_id="late", now=NOW, error="invalid_grant")
    assert latched.digests == record.digests
    standing = latched.claim_on(old)
    assert standing
    assert (standing.outcome, standing.error) == ("rejected", "invalid_grant")


def test_giving_back_the_first_try_takes_the_claim_out() -> None:
    """What provably never left may be claimed as new."""
    assert give_back(OPEN, "d", "r1").presented == ()
    assert give_back(OPEN, "d", "another rotation") is OPEN
    assert give_back(OPEN, "another", "r1") is OPEN


def test_giving_back_the_second_try_leaves_the_first_ones_doubt() -> None:
    """A second try that never left allows one more, and the doubt about the first stands."""
    standing = give_back(IN_DOUBT, "d", "r2").claim_on("d")
    assert standing
    assert (standing.tries, standing.outcome, standing.permitted, standing.claimed_at) == (1, "open", False, NOW)
    with pytest.raises(ClaimRefused):
        claimed(release(give_back(IN_DOUBT, "d", "r2"), 2), rotation_id="r3", at_s=200)


def test_marking_touches_no_other_token() -> None:
    """Settling one token leaves the other claims, the lease and the order alone."""
    record = claimed(OPEN, digest="e", rotation_id="r2")
    settled = mark(record, "d", "settled")
    assert settled.presented[1] == record.presented[1]
    assert settled.presented[0].outcome == "settled"
    assert (settled.lease, settled.fence) == (record.lease, record.fence)
    assert mark(record, "nobody's", "settled") is record
    rejected = mark(record, "d", "rejected", error="invalid_grant").claim_on("d")
    assert rejected
    assert (rejected.error, rejected.holder) == ("invalid_grant", "a")


def test_a_settled_claim_keeps_its_digest_and_little_else() -> None:
    """Sixty-four settled claims stay small: who held them and where is forgotten."""
    one = mark(on_claim(OPEN, "d", reported=True, permitted=True), "d", "settled").claim_on("d")
    assert one == Claim("d", "r1", NOW, outcome="settled")


def test_a_claim_is_taken_out_or_changed_only_by_its_digest() -> None:
    """Changes of one claim leave a record without it as it is."""
    assert take_out(OPEN, "d").presented == ()
    assert take_out(OPEN, "e") == OPEN
    assert on_claim(OPEN, "e", reported=True) is OPEN


# ------------------------------------------------------------------------------------------------------- lease


def test_the_lease_is_held_by_others_until_its_end() -> None:
    """One's own lease, and one that has ended, hold nobody back."""
    assert OPEN.held_by_other("b", at(59.9)) == OPEN.lease
    assert OPEN.held_by_other("b", at(60)) is None
    assert OPEN.held_by_other("a", NOW) is None
    assert EMPTY.held_by_other("b", NOW) is None


def test_only_the_own_lease_is_released() -> None:
    """A release with an old fencing number changes nothing: somebody else has taken over."""
    taken_over = take_lease(OPEN, holder="b", now=at(60), expires_at=at(120))
    assert release(taken_over, 1) is taken_over
    released = release(taken_over, 2)
    assert (released.lease, released.fence) == (None, 2)


@much
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 200), st.booleans()), max_size=30))
def test_the_fence_never_goes_back(steps: list[tuple[str, int, bool]]) -> None:
    """Over any sequence of takings and releases every lease has a greater fencing number than all before."""
    record, now_s, seen = EMPTY, 0, [0]
    for holder, passed_s, free in steps:
        now_s += passed_s
        try:
            record = take_lease(record, holder=holder, now=at(now_s), expires_at=at(now_s + 60))
        except LeaseHeld:
            assert record.fence == seen[-1]
        else:
            assert record.lease == Lease(holder, record.fence, at(now_s + 60))
            assert record.fence > seen[-1]
            seen.append(record.fence)
        if free:
            record = release(record, record.fence)
            assert record.fence == seen[-1]


def test_the_last_rotation_is_the_newest_of_five() -> None:
    """History is bounded, and its last entry is the newest."""
    record = EMPTY
    assert record.last is None
    for number in range(7):
        record = with_done(record, Done(f"r{number}", at(number), "1", "2"))
    assert [done.rotation_id for done in record.history] == ["r2", "r3", "r4", "r5", "r6"]
    assert record.last == record.history[-1]


# ------------------------------------------------------------------------------------------------------- twice

STEPS: dict[str, tuple[StateRecord, Step]] = {
    "a first claim": (EMPTY, claimed),
    "a second claim": (release(OPEN, 1), lambda record: claimed(record, again=True, rotation_id="r2", holder="b")),
    "a third claim under safe": (
        release(IN_DOUBT, 2),
        lambda record: claimed(record, again=True, any_tries=True, rotation_id="r3", holder="a"),
    ),
    "giving back the first try": (OPEN, lambda record: give_back(record, "d", "r1")),
    "giving back the second try": (IN_DOUBT, lambda record: give_back(record, "d", "r2")),
    "giving back the third try": (
        claimed(release(IN_DOUBT, 2), again=True, any_tries=True, rotation_id="r3"),
        lambda record: give_back(record, "d", "r3"),
    ),
    "marking settled": (OPEN, lambda record: mark(record, "d", "settled")),
    "marking rejected": (OPEN, lambda record: mark(record, "d", "rejected", error="invalid_grant")),
    "releasing": (OPEN, lambda record: release(record, 1)),
    "history": (OPEN, lambda record: with_done(record, Done("r1", NOW, "1", "2"))),
    "taking out": (OPEN, lambda record: take_out(record, "d")),
    "reporting": (OPEN, lambda record: on_claim(record, "d", reported=True)),
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_change_applied_twice_is_the_same_as_once(step: str) -> None:
    """The answer to a write may be lost: each change finds its own effect and leaves it."""
    record, change = STEPS[step]
    once = change(record)
    assert once != record
    assert change(once) == once


def test_a_lease_taken_twice_is_held_once() -> None:
    """Taking the lease again is no error for its holder; only the fencing number moves on."""
    twice = take_lease(OPEN, holder="a", now=NOW, expires_at=at(60))
    assert twice.lease == Lease("a", 2, at(60))
    assert twice.presented == OPEN.presented


def test_ones_own_claim_is_found_after_others_changed_the_record() -> None:
    """A claim whose answer was lost is recognised by rotation and holder, not counted as another try."""
    meanwhile = with_done(OPEN, Done("r0", NOW, "1", "2"))
    assert claimed(meanwhile) == meanwhile
    with pytest.raises(ClaimRefused):
        claimed(release(OPEN, 1), holder="b")


# ------------------------------------------------------------------------------------------------------- codec

texts = st.text(max_size=8)
moments = st.datetimes(
    min_value=(NOW - timedelta(days=9000)).replace(tzinfo=None),
    max_value=(NOW + timedelta(days=9000)).replace(tzinfo=None),
    timezones=st.just(NOW.tzinfo),  # type: ignore[arg-type]
)
maybe = st.none() | moments
entries = st.builds(SealedEntry, texts, texts, st.sampled_from(["tokens", "reply"]), texts, texts, moments, texts)
outcome = st.sampled_from(["open", "settled", "rejected"])
flags, counts = st.booleans(), st.integers(0, 9)
digests, tries = st.text("0123456789abcdef", min_size=32, max_size=32), st.integers(1, 9)
claims = st.builds(Claim, digests, texts, moments, texts, texts, tries, outcome, flags, flags, st.none() | texts, maybe)
leases, grants = st.builds(Lease, texts, counts, moments), st.builds(Grant, texts, moments, maybe, maybe)
holds = st.builds(Hold, texts, moments, moments, texts, texts, texts, counts, flags)
dones = st.builds(Done, texts, moments, texts, texts, maybe)


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(strategy, max_size=3).map(tuple)


unalike = st.lists(claims, max_size=3, unique_by=lambda claim: claim.digest).map(tuple)
records = st.builds(
    StateRecord, texts, unalike, st.none() | leases, counts, st.none() | holds, st.none() | grants, some(dones),
    some(entries),
)  # fmt: skip


@much
@given(records)
def test_a_record_comes_back_as_it_was_written(record: StateRecord) -> None:
    """Body and record are inverse, through JSON and back."""
    assert state_record(record.identity, json.loads(json.dumps(to_body(record)))) == record


@much
@given(st.builds(ProviderRecord, texts, maybe, texts, maybe))
def test_a_providers_record_comes_back_as_it_was_written(record: ProviderRecord) -> None:
    """The same for the record that a provider and client share."""
    assert provider_record(record.identity, json.loads(json.dumps(to_body(record)))) == record


def test_an_idle_record_is_small_and_a_missing_one_is_empty() -> None:
    """Defaults are not written; no body is an empty record."""
    assert to_body(EMPTY) == {"format": 1, "identity": "i"}
    assert state_record("i", None) == EMPTY
    assert provider_record("p", None) == ProviderRecord("p")


VALID = to_body(claimed(digest="d" * 32))
FAR_AWAY = {**VALID["presented"][0], "claimed_at": "9999-12-31T23:59:59-12:00"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"format": 2, "identity": "i"},
        {"format": "1", "identity": "i"},
        {"format": 1},
        {"format": 1, "identity": "another"},
        {"format": 1, "identity": None},
        {**VALID, "presented": {}},
        {**VALID, "presented": [{}]},
        {**VALID, "presented": [{**VALID["presented"][0], "outcome": "unheard of"}]},
        {**VALID, "presented": [{**VALID["presented"][0], "claimed_at": "2026-01-01T00:00:00"}]},
        {**VALID, "presented": [FAR_AWAY]},
        {**VALID, "lease": "a"},
        {**VALID, "fence": "many"},
    ],
)
def test_a_body_of_another_making_is_corrupt(body: dict[str, Any]) -> None:
    """A newer format, another record's body, missing or impossible values stop the reader."""
    with pytest.raises(StoreCorrupt) as error:
        state_record("i", body)
    assert "the state record of i cannot be read" in error.value.message
    assert error.value.__cause__ is None  # a validation error quotes what it read


places = st.sampled_from(["presented", "lease", "fence", "hold", "grant", "history", "escrow", "identity", "format"])
wild = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | moments.map(str),
    lambda deep: st.lists(deep, max_size=2) | st.dictionaries(texts | places, deep, max_size=2),
)


@much
@given(records, st.dictionaries(places, wild, min_size=1, max_size=2))
def test_a_damaged_body_raises_nothing_but_corrupt(record: StateRecord, damage: dict[str, Any]) -> None:
    """Whatever stands in a body, it is read or called corrupt."""
    with contextlib.suppress(StoreCorrupt):
        assert isinstance(state_record(record.identity, {**to_body(record), **damage}), StateRecord)


def test_the_digest_of_a_token_is_pinned() -> None:
    """Claims outlive releases: a digest that changed would let a spent token be claimed again."""
    assert digest_of(Secret("rt-old")) == "512252d22dc3516f851841e9de7bb3da"
    assert digest_of(Secret("rt-new")) != digest_of(Secret("rt-old"))
