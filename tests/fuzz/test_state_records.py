"""State records whose bodies somebody damaged: read as what they say, or refused; never as a licence to send."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from rotator.errors import RotatorError, StoreCorrupt
from rotator.model import Replay
from rotator.policy import Due, decide
from rotator.record_bodies import provider_record, state_record, to_body
from rotator.records import Claim, Done, Grant, Hold, Lease, ProviderRecord, SealedEntry, StateRecord
from tests.core.parts import DIGEST, NOW, at, claim_of, stored
from tests.core.situations import situation
from tests.effort import tried
from tests.fuzz.leaks import INSIDE, PROCESS, assert_secret
from tests.fuzz.mutations import mutated_json

if TYPE_CHECKING:
    from rotator.policy import Decision

IDENTITY = stored().identity
ELDER = Claim("a" * 32, "r-elder", NOW - timedelta(hours=1), outcome="settled")
SPENT = Claim(DIGEST, "r-0", NOW, outcome="settled")
HISTORY = (Done("r-elder", NOW, "6", "7", at(3600)),)
ENTRY = SealedEntry(IDENTITY, "b" * 32, "reply", "r-0", "payroll", NOW, INSIDE)

RECORDS = (
    StateRecord(IDENTITY, (ELDER, claim_of()), fence=4, history=HISTORY),
    StateRecord(IDENTITY, (ELDER, claim_of(tries=2, tried_at=at(60))), Lease("dead", 4, at(120)), fence=4),
    StateRecord(IDENTITY, (ELDER, SPENT), None, 5, history=HISTORY),
    StateRecord(IDENTITY, (ELDER, replace(SPENT, outcome="rejected", error="invalid_grant")), fence=4),
    StateRecord(
        IDENTITY,
        (claim_of(reported=True),),
        Lease("dead", 4, at(120)),
        4,
        Hold(DIGEST, at(900), at(60), "invalid_client", action="mend it"),
        Grant(DIGEST, NOW, at(86400), NOW),
        HISTORY,
        (ENTRY,),
    ),
)
BODIES = [to_body(record) for record in RECORDS]
PROVIDERS = [
    to_body(ProviderRecord("provider/p", at(900), "rate_limited", at(10))),
    to_body(ProviderRecord("provider/p")),
]

# What rotator writes, told a second time and on purpose in other words than the code's: names, forms and bounds.
_TIME = re.compile(r"(19|20|21)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:.]+(Z|[+-][0-9:]+)")
_CLAIM = {
    "digest": lambda value: isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value),
    "rotation_id": lambda value: isinstance(value, str),
    "claimed_at": lambda value: isinstance(value, str) and _TIME.fullmatch(value),
    "holder": lambda value: isinstance(value, str),
    "place": lambda value: isinstance(value, str),
    "tries": lambda value: type(value) is int and value >= 1,
    "outcome": lambda value: value in ("open", "settled", "rejected"),
    "permitted": lambda value: type(value) is bool,
    "reported": lambda value: type(value) is bool,
    "error": lambda value: value is None or isinstance(value, str),
    "tried_at": lambda value: value is None or (isinstance(value, str) and _TIME.fullmatch(value)),
    "earlier_place": lambda value: isinstance(value, str),
}
_NAMES = {"format", "identity", "presented", "lease", "fence", "hold", "grant", "history", "escrow"}


def could_be_written(body: Any) -> bool:
    """Return whether rotator itself could have written the claims of a body, by their names, forms and bounds."""
    if not isinstance(body, dict) or not body.keys() <= _NAMES:
        return False
    claims = body.get("presented", [])
    if not isinstance(claims, list) or not all(isinstance(one, dict) for one in claims):
        return False
    whole = all(
        one.keys() >= {"digest", "rotation_id", "claimed_at"}
        and all(name in _CLAIM and bool(_CLAIM[name](value)) for name, value in one.items())
        for one in claims
    )
    return whole and len({one["digest"] for one in claims}) == len(claims)


def claim_in(body: dict[str, Any]) -> Any:
    """Return the entry on the document's refresh token."""
    return next((one for one in body.get("presented", []) if one["digest"] == DIGEST), None)


SITUATIONS = [
    situation(now_s, rules={"replay": replay, "on_doubt": on_doubt}, force=force)
    for now_s in (300, 3600 - 300, 3600 - 10)
    for replay in (Replay("never"), Replay("window", 600.0))
    for on_doubt in ("wait_then_replay", "operator")
    for force in (False, True)
]


def decisions(body: Any) -> list[Decision] | None:
    """Return what is decided over this body in every situation; None when it is refused."""
    try:
        record = state_record(IDENTITY, body)
    except StoreCorrupt as error:
        assert_secret(error, INSIDE, PROCESS)
        return None
    return [decide(replace(one, record=record)) for one in SITUATIONS]


KINDS = [[isinstance(decision, Due) for decision in decisions(body) or []] for body in BODIES]


@tried(600)
@given(mutated_json(BODIES))
def test_a_damaged_record_is_no_licence(body: Any) -> None:
    """A token whose claim is recorded is sent only as the claim allows, unless the claim was changed as rotator could.

    A body that rotator cannot have written is refused, or decides as the whole one did.
    """
    decided = decisions(body)
    if decided is None:
        return
    permits = [isinstance(decision, Due) for decision in decided]
    if not could_be_written(body):
        assert not any(permits), body
        return
    claim = claim_in(body)
    for before, allowed in zip(BODIES, KINDS, strict=True):
        if claim is not None and claim == claim_in(before):
            # A hold, a lease or a history that went may free a second try; nothing frees what is settled or dead.
            ended = claim.get("outcome", "open") != "open" or claim.get("tries", 1) > 1
            assert not ended or not any(permits), (body, allowed)


@tried(300)
@given(mutated_json(PROVIDERS))
def test_a_damaged_record_of_a_provider_does_not_end_its_pause(body: Any) -> None:
    """A pause that stands in a record is kept, or the record is refused; it is not overlooked."""
    try:
        record = provider_record("provider/p", body)
    except StoreCorrupt as error:
        assert_secret(error, INSIDE, PROCESS)
        return
    assert body.keys() <= {"format", "identity", "cooldown_until", "reason", "next_slot_at"}
    assert (record.cooldown_until is None) == (body.get("cooldown_until") is None)


@tried(300)
@given(mutated_json(BODIES))
def test_instants_of_a_record_that_is_read_can_be_counted_with(body: Any) -> None:
    """Whatever stands in a record as an instant, a century can be added or taken away."""
    try:
        record = state_record(IDENTITY, body)
    except StoreCorrupt:
        return
    instants = [moment for claim in record.presented for moment in (claim.claimed_at, claim.tried_at)]
    instants += [record.lease.expires_at] if record.lease else []
    instants += [record.hold.until, record.hold.floor] if record.hold else []
    instants += [record.grant.since, record.grant.expires_at, record.grant.warned_at] if record.grant else []
    instants += [moment for done in record.history for moment in (done.at, done.expires_at)]
    for moment in filter(None, instants):
        assert isinstance(moment, datetime)
        assert moment.tzinfo is UTC
        century = timedelta(days=36525)
        assert moment - century < moment < moment + century


# ------------------------------------------------------------------------------------------ what was found, by name


def changed(**claim: Any) -> dict[str, Any]:
    """Return a record in which the open claim on the document's refresh token is changed."""
    body = to_body(StateRecord(IDENTITY, (claim_of(tries=2),)))
    return {**body, "presented": [{**body["presented"][0], **claim}]}


NO_CLAIMS = {
    "a name that nobody knows": {
        **{name: value for name, value in BODIES[2].items() if name != "presented"},
        "presentd": BODIES[2]["presented"],
    },
    "a digest in capitals": changed(digest=DIGEST.upper()),
    "a digest cut short": changed(digest=DIGEST[:-1]),
    "fewer than one try": changed(tries=-3),
    "no try": changed(tries=0),
    "a permission that is no yes or no": changed(permitted="on", tries=1),
    "tries in a text": changed(tries="1"),
    "two claims on one token": {
        **BODIES[2],
        "presented": [*changed(tries=1, permitted=True)["presented"], *BODIES[2]["presented"]],
    },
    "a claim before the calendar begins": changed(claimed_at="0001-01-01T00:00:00Z"),
    "a claim at the end of the calendar": changed(claimed_at="9999-12-31T23:59:59Z"),
    "a field of a claim that nobody knows": changed(outcom="settled"),
}


@pytest.mark.parametrize("body", NO_CLAIMS.values(), ids=NO_CLAIMS.keys())
def test_a_body_that_rotator_cannot_have_written_is_refused(body: dict[str, Any]) -> None:
    """Unknown names, wrong types, impossible values and instants, and a token that is claimed twice stop the reader."""
    with pytest.raises(RotatorError):
        state_record(IDENTITY, json.loads(json.dumps(body)))
