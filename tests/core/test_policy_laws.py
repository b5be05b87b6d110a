"""How a decision may change when time passes or when one fact is added: laws between two situations."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from rotator.model import Document, Replay, StoredTokens
from rotator.policy import (
    CoolingDown,
    Due,
    Fresh,
    Held,
    InDoubt,
    Latched,
    Recover,
    Situation,
    Stale,
    Unusable,
    Waiting,
    asks_for_action,
    decide,
)
from rotator.record_changes import claim
from rotator.records import Claim, Lease, ProviderRecord, SealedEntry, digest_of
from rotator.redact import Secret
from tests.core.parts import token_set
from tests.core.test_policy_properties import claims, instants, situations
from tests.effort import tried

law = tried(150)
LATER = timedelta(seconds=120)


def digest_in(situation: Situation) -> str | None:
    """Return the digest of the refresh token that the document shows."""
    content = situation.stored.content
    token = content.fields.get("refresh_token") if isinstance(content, Document) else None
    return digest_of(Secret(token)) if isinstance(token, str) and token else None


def usable(situation: Situation) -> str:
    """Return the digest, dropping situations whose document shows no token."""
    digest = digest_in(situation)
    assume(digest is not None)
    assert digest is not None
    return digest


def at_time(situation: Situation, seconds: float) -> Situation:
    return replace(situation, now=situation.now + timedelta(seconds=seconds))


def with_claim(situation: Situation, one: Claim) -> Situation:
    others = tuple(other for other in situation.record.presented if other.digest != one.digest)
    return replace(situation, record=replace(situation.record, presented=(*others, one)))


passing = st.floats(0, 20_000)


# -------------------------------------------------------------------------------------------------------- time


@law
@given(situations, passing)
def test_what_is_due_does_not_become_fresh_by_waiting(situation: Situation, passed_s: float) -> None:
    """Time alone never puts a refresh off: due stays due, but for a replay window that closes."""
    now, later = decide(situation), decide(at_time(situation, passed_s))
    if not isinstance(now, Due):
        return
    window = situation.credential.provider.replay.kind == "window"
    assert isinstance(later, Due) or (now.again and window and isinstance(later, InDoubt))


@law
@given(situations, passing)
def test_fresh_ends_when_it_says(situation: Situation, passed_s: float) -> None:
    """Until then every look says the same; from then on none says fresh."""
    now = decide(situation)
    if isinstance(now, Fresh):
        assert now.until > situation.now
        later = at_time(situation, passed_s)
        assert (decide(later) == now) == (later.now < now.until)
        assert not isinstance(decide(replace(situation, now=now.until)), Fresh)


@law
@given(situations)
def test_what_waits_for_an_instant_waits_for_one_to_come(situation: Situation) -> None:
    """A pause, another's lease and a doubt end after now, and what they name is over at their end."""
    now = decide(situation)
    if isinstance(now, CoolingDown | Held) or (isinstance(now, InDoubt) and now.until):
        assert now.until is not None
        assert now.until > situation.now
        assert decide(replace(situation, now=now.until)) != now


# ---------------------------------------------------------------------------------------------- one fact more


@law
@given(situations, claims)
def test_a_claim_on_another_token_changes_nothing(situation: Situation, one: Claim) -> None:
    """What was sent of another token says nothing about this one, least of all that it may be sent."""
    foreign = with_claim(situation, replace(one, digest="another token's"))
    assert decide(foreign) == decide(situation)


@law
@given(situations, claims, st.sampled_from(["settled", "rejected"]), st.booleans())
def test_a_settled_or_rejected_token_is_never_sent(
    situation: Situation, one: Claim, ended: Any, permitted: bool
) -> None:
    """Promises 1 and 6: neither force, nor permission, nor a provider that forgives replays sends it again."""
    digest = usable(situation)
    there = with_claim(situation, replace(one, digest=digest, outcome=ended, permitted=permitted))
    for forced in (False, True):
        for kind in ("never", "safe", "until_successor_used", "window"):
            provider = replace(there.credential.provider, replay=Replay(kind, 1e6))  # type: ignore[arg-type]
            decision = decide(replace(there, force=forced, credential=replace(there.credential, provider=provider)))
            assert isinstance(decision, Stale | Latched | Unusable | Recover | Held)
            assert ended == "settled" or not isinstance(decision, Stale)


@law
@given(situations, claims)
def test_an_open_claim_never_makes_a_first_presentation(situation: Situation, one: Claim) -> None:
    """Promise 1: once claimed, a token is due at most as one more try, the third only where replays are safe."""
    there = with_claim(situation, replace(one, digest=usable(situation), outcome="open"))
    decision = decide(there)
    if isinstance(decision, Due):
        assert decision.again
        assert one.tries < 2 or there.credential.provider.replay.kind == "safe"
    assert not isinstance(decision, Fresh)


@law
@given(situations, st.floats(0.001, 1e4))
def test_anothers_lease_never_makes_due(situation: Situation, left_s: float) -> None:
    """A lease turns what would be done into waiting, and nothing else into anything."""
    lease = Lease("another", 99, situation.now + timedelta(seconds=left_s))
    held = decide(replace(situation, record=replace(situation.record, lease=lease)))
    free = decide(replace(situation, record=replace(situation.record, lease=None)))
    assert held == free or (isinstance(held, Held) and held.until == lease.expires_at)
    assert not isinstance(held, Due | Recover)


@law
@given(situations, st.floats(0.001, 1e4))
def test_a_cooldown_never_makes_due(situation: Situation, left_s: float) -> None:
    """Promise 5: while the provider paces, nothing is sent; force does not help."""
    until = situation.now + timedelta(seconds=left_s)
    paced = replace(situation, provider=ProviderRecord("p", until, "rate_limited"))
    for forced in (False, True):
        assert not isinstance(decide(replace(paced, force=forced)), Due)


@law
@given(situations, instants, st.none() | st.sampled_from(["rt-2", "rt-new"]))
def test_a_successor_in_escrow_goes_before_everything(situation: Situation, sent_at: Any, refresh: str | None) -> None:
    """Promise 2: while a successor of the document's token waits, the token is not sent, whatever else is known."""
    digest = usable(situation)
    entry = SealedEntry("i", digest, "tokens", "r", "c", sent_at, "sealed")
    tokens = token_set(refresh_token=Secret(refresh) if refresh else None)
    decision = decide(replace(situation, waiting=(Waiting(entry, tokens, sent_at), *situation.waiting)))
    assert isinstance(decision, Recover | Held)


@law
@given(situations)
def test_force_only_ends_waiting_of_its_own_kind(situation: Situation) -> None:
    """Force makes due what is fresh or holds after a failure; every other decision stays what it is."""
    hold = situation.record.hold
    assume(hold is None or hold.floor <= hold.until)  # as every hold is made
    calm, forced = decide(replace(situation, force=False)), decide(replace(situation, force=True))
    if isinstance(calm, Due):
        assert isinstance(forced, Due)
    elif not isinstance(calm, Fresh | CoolingDown):
        assert forced == calm


@law
@given(situations)
def test_a_grant_that_is_shared_is_never_sent(situation: Situation) -> None:
    """Two credentials with one grant spend each other's token: neither is sent, forced or not."""
    assert not isinstance(decide(replace(situation, shared_with="other", force=True)), Due)


# ------------------------------------------------------------------------------------------- with the claim


@law
@given(situations, st.sampled_from(["me", "other", "third"]), st.booleans())
def test_whoever_is_due_can_claim_and_then_nobody_else_is(situation: Situation, another: str, force: bool) -> None:
    """Promise 1: the claim that a decision asks for is granted, and makes everybody else wait for its lease."""
    decision = decide(situation)
    assert asks_for_action(decision) or not isinstance(decision, Due | Recover)
    if not isinstance(decision, Due):
        return
    assert isinstance(decision.tokens, StoredTokens)
    digest = digest_of(decision.tokens.refresh_token)
    assert digest == digest_in(situation)
    new = Claim(digest, "r-new", situation.now, situation.holder, situation.place)
    any_tries = situation.credential.provider.replay.kind == "safe"
    record = claim(situation.record, new, again=decision.again, any_tries=any_tries, lease=situation.now + LATER)
    taken = record.claim_on(digest)
    assert taken is not None
    assert taken.tries == (2 if decision.again else 1) or any_tries
    if another != situation.holder:
        assert isinstance(decide(replace(situation, record=record, holder=another, force=force)), Held)


@law
@given(situations)
def test_deciding_changes_nothing_that_it_was_given(situation: Situation) -> None:
    """The situation is the same value after the decision as before, its document included."""
    before = repr(situation)
    content = situation.stored.content
    fields = dict(content.fields) if isinstance(content, Document) else None
    decide(situation)
    assert repr(situation) == before
    assert fields is None or (isinstance(content, Document) and dict(content.fields) == fields)
