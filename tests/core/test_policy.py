"""Every decision, and the order in which they are taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from rotator.model import Credential, Document, Malformed, Replay, Versioned
from rotator.policy import (
    CoolingDown,
    Decision,
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
    decide,
)
from rotator.records import Done, Hold, Lease, ProviderRecord, SealedEntry, StateRecord, digest_of
from rotator.redact import Secret
from tests.core.parts import DIGEST, NOW, RT, at, claim_of, fields, stored, token_set
from tests.rotation.world import credential, provider

DUE_AT = 3600 - 60
"""A minute before the end: due, and in the last quarter of the margin of 360 s."""
EARLY = 3600 - 300
"""Five minutes before the end: due, and before the last quarter."""


def situation(now_s: float = DUE_AT, *, rules: dict[str, Any] | None = None, **changes: Any) -> Situation:
    """Return a situation `now_s` after `NOW`; `rules` change the provider, the record's fields go by name."""
    record = StateRecord("memory:main#payroll")
    of_record = {name: changes.pop(name) for name in ("presented", "lease", "hold", "history") if name in changes}
    given: dict[str, Any] = {
        "credential": credential(provider=provider(**(rules or {}))),
        "stored": stored(),
        "record": replace(record, **of_record),
        "provider": ProviderRecord("provider/p"),
        "waiting": (),
        "now": at(now_s),
        "holder": "me",
        "place": "state",
        "escrow_shared": True,
        **changes,
    }
    return Situation(**given)


def waiting(parent: str = DIGEST, *, kind: str = "tokens", sent_at: datetime = NOW, **tokens: Any) -> Waiting:
    entry = SealedEntry("memory:main#payroll", parent, kind, "r-0", "payroll", sent_at, "sealed")  # type: ignore[arg-type]
    return Waiting(entry, token_set(**tokens) if kind == "tokens" else None, sent_at)


OTHERS_LEASE = Lease("other", 3, at(4000))
DONE = Done("r-9", at(DUE_AT - 60), "6", "7")


# ----------------------------------------------------------------------------------------- what cannot be used


def test_what_is_no_document_asks_for_a_person() -> None:
    """A secret without a usable document is named with its problem and the command that mends it."""
    content = Versioned("i", "1", None, Malformed("it is empty"))
    found = decide(situation(stored=content, shared_with="other", waiting=(waiting(),), force=True))
    assert found == Unusable("the secret cannot be used: it is empty", "rotator put payroll")
    assert found.reason == found.problem


def test_a_shared_grant_is_left_alone_whatever_waits() -> None:
    """Two documents with one refresh token are told apart before escrow, claims and force are looked at."""
    found = decide(situation(shared_with="billing", waiting=(waiting(),), presented=(claim_of(),), force=True))
    assert isinstance(found, Unusable)
    assert found.problem.startswith("it shares one grant with billing")


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
        assert (found.error, found.since) == ("invalid_grant", NOW)
        assert found.action.endswith("rotator put payroll")


def test_a_new_token_clears_latch_hold_and_doubt() -> None:
    """Claims and holds are keyed to the token: those of another token do not hold this one back."""
    others = tuple(claim_of(str(outcome), outcome=outcome) for outcome in ("open", "settled", "rejected"))
    hold = Hold("another", at(9000), at(9000), "misconfigured")
    assert isinstance(decide(situation(presented=others, hold=hold)), Due)


def test_an_open_claim_is_left_to_the_holder_at_work() -> None:
    """While the lease lasts an open claim is somebody's work, not a doubt."""
    assert isinstance(decide(situation(presented=(claim_of(),), lease=OTHERS_LEASE)), Held)


# ------------------------------------------------------------------------------------------------------- doubt


def doubt(now_s: float, replay: Replay, **changes: Any) -> Decision:
    rules = {"replay": replay, "on_doubt": changes.pop("on_doubt", "wait_then_replay"), "timeout_s": 30.0}
    claim = claim_of(**{name: changes.pop(name) for name in ("tries", "permitted", "place") if name in changes})
    return decide(situation(now_s, rules=rules, presented=(claim,), **changes))


NEVER, SAFE, UNUSED = Replay("never"), Replay("safe"), Replay("until_successor_used")


@pytest.mark.parametrize("force", [False, True])
def test_never_waits_for_the_last_quarter_of_the_margin(force: bool) -> None:
    """`wait_then_replay`: the old access token serves on until a quarter of the margin is left, forced or not."""
    found = doubt(EARLY, NEVER, force=force)
    assert isinstance(found, InDoubt)
    assert found.until == at(3600 - 90)
    assert found.reason == "the reply to a refresh was lost at 2026-01-01T00:00:00Z"
    assert isinstance(doubt(3600 - 90 - 0.001, NEVER, force=force), InDoubt)
    last = doubt(3600 - 90, NEVER, force=force)
    assert isinstance(last, Due)
    assert last.again
    assert last.deadline == at(3600)


def test_a_one_shot_run_takes_the_last_quarter_that_falls_before_the_next_pass() -> None:
    """With a horizon the last try happens now when the next pass would come too late."""
    assert isinstance(doubt(EARLY, NEVER, horizon_s=209), InDoubt)
    assert isinstance(doubt(EARLY, NEVER, horizon_s=210), Due)


def test_an_unknown_expiry_has_nothing_to_wait_for() -> None:
    """Without a known end the last try is now."""
    assert isinstance(doubt(0, NEVER, stored=stored(fields(expires_at=None))), Due)


def test_an_operator_decides_where_the_configuration_says_so() -> None:
    """`operator`: never by itself, at no time; an operator's word allows one try at once."""
    for now_s in (0, EARLY, DUE_AT, 1e6):
        found = doubt(now_s, NEVER, on_doubt="operator")
        assert isinstance(found, InDoubt)
        assert found.until is None
        assert found.action == "rotator resolve payroll --replay (one more try) or --discard"
    allowed = doubt(0, NEVER, on_doubt="operator", permitted=True)
    assert isinstance(allowed, Due)
    assert allowed.again


@pytest.mark.parametrize("on_doubt", ["wait_then_replay", "operator"])
@pytest.mark.parametrize("replay", [SAFE, UNUSED])
def test_a_harmless_replay_happens_at_once(replay: Replay, on_doubt: str) -> None:
    """`safe` and `until_successor_used` ask nobody and wait for nothing."""
    found = doubt(1, replay, on_doubt=on_doubt)
    assert isinstance(found, Due)
    assert found.again


def test_a_window_counts_from_the_first_presentation_and_leaves_room_for_the_request() -> None:
    """Inside the window, less the timeout and 5 s of clock skew, the replay happens at once; outside it is `never`."""
    window = Replay("window", 60.0)
    assert isinstance(doubt(24.9, window, on_doubt="operator"), Due)
    outside = doubt(25, window, on_doubt="operator")
    assert isinstance(outside, InDoubt)
    assert outside.until is None
    waits = doubt(25, window)
    assert isinstance(waits, InDoubt)
    assert waits.until == at(3600 - 90)
    assert isinstance(doubt(DUE_AT, window), Due)


def test_the_second_loss_is_the_last() -> None:
    """A token that was tried twice is not sent again by itself nor by a word, but for `safe`."""
    for replay in (NEVER, UNUSED, Replay("window", 1e6)):
        for permitted in (False, True):
            found = doubt(DUE_AT, replay, tries=2, permitted=permitted)
            assert isinstance(found, InDoubt)
            assert found.until is None
            assert found.action == "log in again: rotator put payroll"
    assert isinstance(doubt(1, SAFE, tries=7), Due)


@pytest.mark.parametrize("replay", [NEVER, SAFE, UNUSED, Replay("window", 1e6)])
def test_a_successor_that_may_lie_in_anothers_escrow_is_waited_for(replay: Replay) -> None:
    """Promise 2: with a private escrow another replica waits as long as the access token lasts."""
    away = {"place": "file:a", "escrow_shared": False}
    found = doubt(DUE_AT, replay, **away)
    assert isinstance(found, InDoubt)
    assert found.until == at(3600)
    assert found.reason.endswith("and its successor may lie in the escrow of dead")
    assert isinstance(doubt(3600, replay, **away), Due)
    assert isinstance(doubt(DUE_AT, replay, place="state", escrow_shared=False), Due)
    assert isinstance(doubt(DUE_AT, replay, place="file:a", escrow_shared=True), Due)


def test_the_reason_names_the_latest_try() -> None:
    """A claim that was tried again tells when that was."""
    one = claim_of(tries=2, tried_at=at(50))
    found = decide(situation(presented=(one,)))
    assert isinstance(found, InDoubt)
    assert found.reason == "the reply to a refresh was lost at 2026-01-01T00:00:50Z, for the second time"


def test_a_replay_obeys_hold_and_cooldown() -> None:
    """Promise 5: one more try is a request like any other."""
    cooling = ProviderRecord("p", cooldown_until=at(9000))
    assert isinstance(doubt(1, SAFE, provider=cooling), CoolingDown)
    held = Hold(DIGEST, at(100), at(50), "in_doubt", "lost")
    assert doubt(1, SAFE, hold=held) == CoolingDown(at(100), "in_doubt", "lost")
    assert isinstance(doubt(100, SAFE, hold=held), Due)


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
    assert decide(situation(hold=hold)) == CoolingDown(
        at(DUE_AT + 900), "misconfigured", "invalid_client", "mend it", person=True
    )
    assert decide(situation(hold=hold, force=True)) == CoolingDown(
        at(DUE_AT + 60), "misconfigured", "invalid_client", "mend it", person=True
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
    """A provider that keeps its refresh token leaves no claim: the replaced version tells that the read is old."""
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
