"""Every decision, and the order in which they are taken; doubt has a file of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rotator.model import Credential, Document, Malformed, Versioned
from rotator.policy import (
    CoolingDown,
    Decision,
    Due,
    Fresh,
    Held,
    InDoubt,
    Latched,
    Recover,
    Stale,
    Unusable,
    asks_for_action,
    decide,
)
from rotator.records import DISCARDED, Hold, ProviderRecord, digest_of
from rotator.redact import Secret
from tests.core.parts import DIGEST, NOW, RT, at, claim_of, fields, stored
from tests.core.situations import DONE, DUE_AT, OTHERS_LEASE, situation, waiting
from tests.rotation.world import credential

# ----------------------------------------------------------------------------------------- what cannot be used


def test_what_is_no_document_asks_for_a_person() -> None:
    """A secret without a usable document is named with its problem and the command that mends it."""
    content = Versioned("i", "1", None, Malformed("it is empty"))
    found = decide(situation(stored=content, shared_with="other", waiting=(waiting(),), force=True))
    assert found == Unusable("the secret cannot be used: it is empty", "rotator put payroll")
    assert found.reason == found.problem


def test_a_shared_grant_is_left_alone_whatever_was_presented() -> None:
    """Two documents with one refresh token are told apart before claims and force are looked at."""
    found = decide(situation(shared_with="billing", presented=(claim_of(),), force=True))
    assert isinstance(found, Unusable)
    assert found.problem.startswith("it shares one grant with billing")


def test_a_successor_in_escrow_is_written_back_even_where_the_grant_is_shared() -> None:
    """Promise 2: writing back spends nothing, so that what arrived does not wait for a person."""
    assert isinstance(decide(situation(shared_with="billing", waiting=(waiting(),))), Recover)


# ------------------------------------------------------------------------------------------ what waits in escrow


def test_a_successor_in_escrow_goes_before_every_claim() -> None:
    """Promise 2: while the successor waits, an open, settled or rejected claim changes nothing."""
    for outcome in ("open", "settled", "rejected"):
        found = decide(situation(waiting=(waiting(),), presented=(claim_of(outcome=outcome),), force=True))
        assert isinstance(found, Recover)
        assert not found.written
    assert isinstance(decide(situation(0, waiting=(waiting(),))), Recover)


def test_a_recovery_is_left_to_the_holder_at_work() -> None:
    """While somebody else's lease lasts the recovery waits for it."""
    assert decide(situation(waiting=(waiting(),), lease=OTHERS_LEASE)) == Held(
        "other", at(4000), "other is at work on it"
    )
    assert isinstance(decide(situation(4000, waiting=(waiting(),), lease=OTHERS_LEASE)), Recover)
    assert isinstance(decide(situation(waiting=(waiting(),), lease=replace(OTHERS_LEASE, holder="me"))), Recover)


def test_a_successor_that_the_document_shows_is_only_settled() -> None:
    """The refresh token that waits in escrow and stands in the document is written already."""
    found = decide(situation(0, waiting=(waiting("parent-of-it", refresh_token=Secret(RT)),)))
    assert isinstance(found, Recover)
    assert found.written


def test_an_entry_that_was_not_rotated_is_written_when_the_document_shows_it_or_newer() -> None:
    """Where the refresh token stays, the access token and the time of sending tell whether it was written."""
    same = waiting(refresh_token=None, access_token=Secret("at-old"), sent_at=at(0))
    older = waiting(refresh_token=None, sent_at=at(-1))
    newer = waiting(refresh_token=None, sent_at=at(1))
    undated = stored(fields(issued_at=None))
    assert [
        found.written
        for found in (
            decide(situation(waiting=(same,))),
            decide(situation(waiting=(older,))),
            decide(situation(waiting=(newer,))),
            decide(situation(waiting=(older,), stored=undated)),
        )
        if isinstance(found, Recover)
    ] == [True, True, False, False]


def test_an_answer_that_repeats_the_refresh_token_is_written_back() -> None:
    """A server may answer with the very token that was presented: the new access token still has to be written."""
    found = decide(situation(waiting=(waiting(refresh_token=Secret(RT), sent_at=at(DUE_AT - 10)),)))
    assert isinstance(found, Recover)
    assert not found.written


def test_an_unreadable_reply_or_anothers_successor_recovers_nothing() -> None:
    """What cannot be read, or succeeds another token, leaves the decision as it is."""
    strange = (waiting(kind="reply"), waiting("another"))
    assert isinstance(decide(situation(waiting=strange)), Due)


# ------------------------------------------------------------------------------------------- what was presented


def test_a_settled_token_is_a_stale_read_for_a_quarter_of_an_hour() -> None:
    """A document that shows a spent token is read again; after 15 minutes somebody put it back."""
    settled = {"presented": (claim_of(outcome="settled"),), "force": True}
    for late_s, kind in ((0, Stale), (900, Stale), (901, Unusable)):
        found = decide(situation(history=(replace(DONE, at=at(DUE_AT - late_s)),), **settled))
        assert isinstance(found, kind)
    assert isinstance(found, Unusable)
    assert "an old version was put back" in found.problem
    assert isinstance(decide(situation(**settled)), Stale)


def test_a_rejected_token_is_latched_and_force_does_not_help() -> None:
    """Promise 6: a dead grant stays dead, however old the rejection and whoever asks."""
    rejected = claim_of(outcome="rejected", error="invalid_grant")
    for now_s in (0, DUE_AT, 1e6):
        found = decide(situation(now_s, presented=(rejected,), force=True, lease=OTHERS_LEASE))
        assert isinstance(found, Latched)
        assert found.claim == rejected
        assert "invalid_grant" in found.reason
        assert found.action.endswith("rotator put payroll")


def test_a_doubt_that_was_given_up_is_latched_as_an_operators_word() -> None:
    """After `resolve --discard` the token is left alone, and the reason says that a person decided it."""
    found = decide(situation(presented=(claim_of(outcome="rejected", error=DISCARDED),), force=True))
    assert isinstance(found, Latched)
    assert found.reason == "an operator gave a rotation in doubt up"


@pytest.mark.parametrize(
    ("decision", "asks"),
    [
        (Recover(waiting(), written=True, reason="x"), True),
        (InDoubt(claim_of(), None, "x", "y"), True),
        (InDoubt(claim_of(reported=True), None, "x", "y"), False),
        (Latched(claim_of(), "x", "y"), True),
        (Latched(claim_of(reported=True), "x", "y"), False),
        (Fresh(NOW, "x"), False),
        (Stale("x"), False),
    ],
)
def test_what_is_reported_already_asks_for_nothing(decision: Decision, asks: bool) -> None:
    """A doubt or a dead grant is looked at once more only while nobody has reported it."""
    assert asks_for_action(decision) is asks


def test_a_new_token_clears_latch_hold_and_doubt() -> None:
    """Claims and holds are keyed to the token: those of another token do not hold this one back."""
    others = tuple(claim_of(str(outcome), outcome=outcome) for outcome in ("open", "settled", "rejected"))
    hold = Hold("another", at(9000), at(9000), "misconfigured")
    assert isinstance(decide(situation(presented=others, hold=hold)), Due)


def test_an_open_claim_is_left_to_the_holder_at_work() -> None:
    """While the lease lasts an open claim is somebody's work, not a doubt."""
    assert isinstance(decide(situation(presented=(claim_of(),), lease=OTHERS_LEASE)), Held)


# ----------------------------------------------------------------------------------------------- fresh and due


def test_what_is_not_due_is_fresh_until_then() -> None:
    """Before the due time nothing happens, whatever pauses stand."""
    hold = Hold(DIGEST, at(9000), at(9000), "misconfigured", person=True)
    found = decide(situation(0, hold=hold, provider=ProviderRecord("p", at(9000)), lease=OTHERS_LEASE))
    assert isinstance(found, Fresh)
    assert at(3200) < found.until < at(3240)
    assert decide(situation((found.until - NOW).total_seconds() - 1)) == found
    assert isinstance(decide(situation((found.until - NOW).total_seconds())), Due)


def test_a_horizon_makes_due_early() -> None:
    """A one-shot run takes what falls due before the next one."""
    assert isinstance(decide(situation(2700)), Fresh)
    assert isinstance(decide(situation(2700, horizon_s=900)), Due)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "its access token expires in less than 360 s"),
        ({"force": True, "now_s": 0}, "an operator forces it"),
        ({"stored": stored(fields(expires_at=None)), "now_s": 0}, "its expiry is unknown"),
        ({"stored": stored(fields(access_token=None)), "now_s": 0}, "its expiry is unknown"),
        (
            {"rules": {"refresh_token_idle_s": 30.0}, "now_s": 10},
            "its refresh token must be used before its idle life ends",
        ),
    ],
)
def test_a_due_credential_says_why(changes: dict[str, Any], why: str) -> None:
    """Every cause of a refresh has its own reason; none of them is a replay."""
    found = decide(situation(**changes))
    assert isinstance(found, Due)
    assert found.reason == why
    assert not found.again
    assert found.tokens.refresh_token == Secret(RT)


# ---------------------------------------------------------------------------------- what stands in a refresh's way


def test_a_hold_ends_at_its_time_or_for_an_operator_at_its_floor() -> None:
    """A pause after a failure binds until its end, `--force` until its floor, and neither beyond."""
    hold = Hold(DIGEST, at(DUE_AT + 900), at(DUE_AT + 60), "misconfigured", "invalid_client", "mend it", person=True)
    floor = at(DUE_AT + 60).isoformat(timespec="seconds").replace("+00:00", "Z")
    later = at(DUE_AT + 900).isoformat(timespec="seconds").replace("+00:00", "Z")
    again = f"mend it; asked again at {later}, or from {floor} on by rotator once --force --name payroll"
    assert decide(situation(hold=hold)) == CoolingDown(
        at(DUE_AT + 900), "misconfigured", "invalid_client", again, person=True
    )
    now = f"mend it; nothing was asked now, this is the answer of before: --force asks from {floor} on"
    assert decide(situation(hold=hold, force=True)) == CoolingDown(
        at(DUE_AT + 60), "misconfigured", "invalid_client", now, person=True
    )
    assert isinstance(decide(situation(DUE_AT + 60, hold=hold)), CoolingDown)
    assert isinstance(decide(situation(DUE_AT + 60, hold=hold, force=True)), Due)
    assert isinstance(decide(situation(DUE_AT + 900, hold=hold)), Due)


def test_the_providers_cooldown_is_law() -> None:
    """Promise 5: not even `--force` sends before the provider's time is up."""
    cooling = ProviderRecord("p", cooldown_until=at(DUE_AT + 10), reason="too_many_requests")
    for force in (False, True):
        found = decide(situation(provider=cooling, force=force))
        assert found == CoolingDown(at(DUE_AT + 10), "rate_limited", "too_many_requests")
        assert isinstance(decide(situation(DUE_AT + 10, provider=cooling, force=force)), Due)


def test_the_version_before_the_last_rotation_is_a_stale_read() -> None:
    """A provider that keeps its refresh token leaves no claim: the replaced version tells that the read is old.

    After a quarter of an hour it is no stale read any more.
    """
    old = replace(DONE, version_before="7", version_after="8", at=at(DUE_AT - 900))
    assert isinstance(decide(situation(history=(old,))), Due)
    assert isinstance(decide(situation(history=(replace(DONE, version_before="7", version_after="8"),))), Stale)
    assert isinstance(decide(situation(history=(DONE,))), Due)
    unchanged = replace(DONE, version_before="7", version_after="7")
    assert isinstance(decide(situation(history=(unchanged,))), Due)


def test_a_refresh_is_left_to_the_holder_at_work() -> None:
    """A lease that lasts holds a refresh back; one's own, or one that has ended, does not."""
    assert isinstance(decide(situation(lease=OTHERS_LEASE)), Held)
    assert isinstance(decide(situation(4000, lease=OTHERS_LEASE)), Due)
    assert isinstance(decide(situation(lease=replace(OTHERS_LEASE, holder="me"))), Due)


def test_obstacles_are_told_in_order() -> None:
    """One's own pause before the provider's, that before a stale read, that before another holder."""
    hold = Hold(DIGEST, at(9000), at(9000), "unavailable")
    cooling = ProviderRecord("p", cooldown_until=at(9000))
    stale = (replace(DONE, version_before="7", version_after="8"),)
    everything: dict[str, Any] = {"hold": hold, "provider": cooling, "history": stale, "lease": OTHERS_LEASE}
    found = []
    for leave in ("hold", "provider", "history", "lease"):
        found.append(decide(situation(**everything)))
        del everything[leave]
    assert [type(one) for one in found] == [CoolingDown, CoolingDown, Stale, Held]
    assert [getattr(one, "reason", "") for one in found[:2]] == ["unavailable", "rate_limited"]


def test_a_margin_as_long_as_the_calendar_is_no_error() -> None:
    """An expiry in antiquity and the longest margin that can be configured still make a decision."""
    ancient = Versioned("i", "1", None, Document({**fields(issued_at=None), "expires_at": "0050-01-01T00:00:00Z"}))
    century = timedelta(days=36_500).total_seconds()
    one: Credential = replace(credential(), refresh_before_expiry_s=century)
    assert isinstance(decide(situation(stored=ancient, credential=one)), Due)
    assert digest_of(Secret(RT)) == DIGEST
