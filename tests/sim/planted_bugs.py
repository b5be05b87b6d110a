"""Bugs, each of which breaks a promise: planted one by one, each has to be found.

A bug takes away all that stands against one mistake: where two safeguards each hold alone, both are taken out, and
the docstring says so.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rotator import (
    answers,
    documents,
    outcomes,
    policy,
    received,
    record_changes,
    records,
    rotation,
    schedule,
    setbacks,
    settling,
)
from rotator.attempt import Teller
from rotator.audit.trail import AuditTrail
from rotator.cooldowns import Cooldowns
from rotator.errors import AuditUnavailable, StoreWriteInDoubt
from rotator.model import Document
from rotator.records import Lease, digest_in
from rotator.testing.sim.ports import SimEndpoint, SimState

if TYPE_CHECKING:
    import pytest

    from rotator.records import Claim, StateRecord

    Patch = pytest.MonkeyPatch


# ------------------------------------------------------------------------------------------------- claims


def forget_on_settling(patch: Patch) -> None:
    """Settling forgets the claim and the history: a stale read then shows a token that may be sent.

    Forgetting the claim alone is not found: for a quarter of an hour the history, too, tells a stale read.
    """
    patch.setattr(settling, "mark", lambda record, digest, *_: record_changes.take_out(record, digest))
    patch.setattr(settling, "with_done", lambda record, _: record)


def give_back_after_a_lost_reply(patch: Patch) -> None:
    """A read timeout is taken for a request that never left."""
    patch.setattr(setbacks, "on_claim", lambda record, digest, **_: record_changes.take_out(record, digest))


def _blind(record: StateRecord, new: Claim, **lease: Any) -> StateRecord:
    """Claim whatever stands in the record."""
    before = record.claim_on(new.digest)
    others = tuple(one for one in record.presented if digest_in(one) != new.digest)
    tries = replace(new, tries=before.tries + 1 if before else 1)
    fence = record.fence + 1
    return replace(record, presented=(*others, tries), lease=Lease(new.holder, fence, lease["lease"]), fence=fence)


def claim_without_looking(patch: Patch) -> None:
    """Two replicas may claim one token: the claim is not checked against the record that is written."""

    def blind(record: StateRecord, new: Claim, **lease: Any) -> StateRecord:
        return replace(record, presented=(*record.presented, new), lease=Lease(new.holder, 1, lease["lease"]), fence=1)

    patch.setattr(rotation, "claim", blind)


def claim_without_compare_and_swap(patch: Patch) -> None:
    """The state is written whatever revision it has."""
    swap = SimState.compare_and_swap

    def put(self: SimState, key: str, body: Any, *, expected: int) -> int:
        del expected
        return swap(self, key, body, expected=self.world.state.read(key)[1])

    patch.setattr(SimState, "compare_and_swap", put)


def believe_a_lost_write(patch: Patch) -> None:
    """A write of the state whose answer was lost is taken for done."""
    swap = SimState.compare_and_swap

    def put(self: SimState, key: str, body: Any, *, expected: int) -> int:
        try:
            return swap(self, key, body, expected=expected)
        except StoreWriteInDoubt:
            return expected + 1

    patch.setattr(SimState, "compare_and_swap", put)


def present_a_settled_token(patch: Patch) -> None:
    """A document that shows a spent token is not taken for a stale read; nor does the claim refuse it."""
    presented = policy._presented

    def careless(situation: Any, tokens: Any, claim: Claim, when: Any) -> Any:
        if claim.outcome == "settled":
            return policy.Due("due", tokens)
        return presented(situation, tokens, claim, when)

    patch.setattr(policy, "_presented", careless)
    patch.setattr(rotation, "claim", _blind)


def take_the_last_try_again(patch: Patch) -> None:
    """The second try is not counted, so that there is always one more."""
    claim = record_changes.claim

    def uncounted(record: StateRecord, new: Claim, **more: Any) -> StateRecord:
        claimed, before = claim(record, new, **more), record.claim_on(new.digest)
        return record_changes.on_claim(claimed, new.digest, tries=before.tries) if before else claimed

    patch.setattr(rotation, "claim", uncounted)


def third_try(patch: Patch) -> None:
    """Two tries are not the most, neither for the decision nor for the claim."""
    patch.setattr(policy, "MOST_TRIES", 99)
    claim = record_changes.claim
    patch.setattr(rotation, "claim", lambda record, new, **more: claim(record, new, **{**more, "any_tries": True}))


def work_without_leases(patch: Patch) -> None:
    """Another holder at work is not left alone."""
    patch.setattr(records.StateRecord, "held_by_other", lambda *_: None)


def restart_the_fencing_number(patch: Patch) -> None:
    """Releasing the lease deletes its number."""
    patch.setattr(settling, "release", lambda record, _: replace(record, lease=None, fence=0))


def ignore_the_fencing_number(patch: Patch) -> None:
    """Whoever is done ends the lease, also another's."""
    for module in (settling, setbacks):
        patch.setattr(module, "release", lambda record, _: replace(record, lease=None))


# ------------------------------------------------------------------------------------------------- sending


def send_without_audit(patch: Patch) -> None:
    """A `rotation.started` that cannot be recorded is taken for a trifle."""
    record = AuditTrail.record

    def careless(self: AuditTrail, *args: Any, **kwargs: Any) -> Any:
        with contextlib.suppress(AuditUnavailable):
            return record(self, *args, **kwargs)

    patch.setattr(AuditTrail, "record", careless)


def send_after_the_lease(patch: Patch) -> None:
    """A paused process sends when it wakes."""
    refresh = SimEndpoint.refresh
    patch.setattr(
        SimEndpoint, "refresh", lambda self, request, **ends: refresh(self, request, deadline_s=ends["deadline_s"])
    )


def treat_500_as_never_processed(patch: Patch) -> None:
    """Every 5xx is taken for a word that nothing happened."""
    by_status = answers._by_status
    patch.setattr(
        answers, "_by_status", lambda case: case.unavailable(60.0) if case.reply.status >= 500 else by_status(case)
    )


def retry_a_doubt_at_once(patch: Patch) -> None:
    """The last try comes with the next pass, and not near the token's end."""
    timing = schedule.timing
    patch.setattr(policy, "timing", lambda *args, **more: replace(timing(*args, **more), last_try_at=None))


def stretch_the_window(patch: Patch) -> None:
    """A replay window is taken to be open as long as the successor is unused."""
    in_doubt = policy._in_doubt

    def wide(situation: Any, tokens: Any, claim: Claim, when: Any) -> Any:
        provider = situation.credential.provider
        if provider.replay.kind == "window":
            provider = replace(provider, replay=replace(provider.replay, kind="until_successor_used"))
            situation = replace(situation, credential=replace(situation.credential, provider=provider))
        return in_doubt(situation, tokens, claim, when)

    patch.setattr(policy, "_in_doubt", wide)


def forget_the_private_escrow(patch: Patch) -> None:
    """Nobody waits for the holder whose private escrow may have the successor."""
    in_doubt = policy._in_doubt

    def careless(situation: Any, tokens: Any, claim: Claim, when: Any) -> Any:
        return in_doubt(situation, tokens, replace(claim, place=situation.place), when)

    patch.setattr(policy, "_in_doubt", careless)


def keep_the_cooldown_to_oneself(patch: Patch) -> None:
    """What a provider asks for is not noted for others."""
    patch.setattr(Cooldowns, "note", lambda *_: None)
    patch.setattr(Cooldowns, "note_limited", lambda *_, **__: None)


def ignore_the_cooldown(patch: Patch) -> None:
    """What a provider asked for is not looked at, neither by the decision nor before sending."""
    record = Cooldowns.record
    patch.setattr(Cooldowns, "known", lambda *_: None)
    patch.setattr(Cooldowns, "record", lambda self, key: replace(record(self, key), cooldown_until=None))


# ------------------------------------------------------------------------------------------------- dead grants


def latch_nothing(patch: Patch) -> None:
    """A rejected token is not latched."""
    patch.setattr(setbacks, "mark", lambda record, *_, **__: record)
    patch.setattr(setbacks, "latch", lambda record, *_, **__: record)


def force_past_the_latch(patch: Patch) -> None:
    """`--force` overrides the latch, and the claim does not refuse it."""
    presented = policy._presented

    def forced(situation: Any, tokens: Any, claim: Claim, when: Any) -> Any:
        if situation.force and claim.outcome == "rejected":
            return policy.Due("an operator forces it", tokens, again=True)
        return presented(situation, tokens, claim, when)

    patch.setattr(policy, "_presented", forced)
    patch.setattr(rotation, "claim", _blind)


def report_every_time(patch: Patch) -> None:
    """That a dead grant was reported is not noted."""
    patch.setattr(setbacks, "on_claim", lambda record, *_, **__: record)


# ------------------------------------------------------------------------------------------------- what arrived


def no_escrow(patch: Patch) -> None:
    """What arrives goes straight to the store."""
    patch.setattr(settling.Settling, "_keep", lambda *_: None)


def escrow_after_the_write(patch: Patch) -> None:
    """What arrives is kept in escrow only when the store could not be written."""
    keep, write = settling.Settling._keep, settling.Settling._into_the_store

    def written(self: settling.Settling, attempt: Any, received: Any, warnings: Any) -> Any:
        try:
            return write(self, attempt, received, warnings)
        except Exception:
            keep(self, attempt, received, lambda _: None)
            raise

    patch.setattr(settling.Settling, "_keep", lambda *_: None)
    patch.setattr(settling.Settling, "_into_the_store", written)


def ignore_the_escrow(patch: Patch) -> None:
    """What waits is not recovered."""
    patch.setattr(policy, "_recover", lambda *_: None)


def clear_the_escrow_first(patch: Patch) -> None:
    """The escrow is cleared as soon as something was received, before the write."""
    keep = settling.Settling._keep

    def forgetful(self: settling.Settling, attempt: Any, received: Any, check: Any) -> None:
        keep(self, attempt, received, check)
        identity = attempt.observed.situation.stored.identity
        self.escrow.clear(identity, frozenset({received.parent}))
        attempt.observed.ledger.change(lambda record: self.escrow.without(record, frozenset({received.parent})))

    patch.setattr(settling.Settling, "_keep", forgetful)


def write_although_overtaken(patch: Patch) -> None:
    """A holder whose lease ended meanwhile goes on as if nobody else could have taken over."""
    patch.setattr(settling, "_claimed_by", lambda _: lambda _: None)
    patch.setattr(settling.Settling, "_leased", lambda _, attempt, __: attempt)


def drop_an_overtaken_answer(patch: Patch) -> None:
    """A holder that was overtaken throws away what it received, also where nothing newer is."""
    patch.setattr(settling.Settling, "_nothing_newer", lambda *_: _refused)


def _refused(_: StateRecord) -> None:
    raise record_changes.ClaimRefused


def give_way_to_any_writer(patch: Patch) -> None:
    """After a conflict the received tokens are given up, as if a person had logged in."""
    patch.setattr(received.WriteBack, "_still_ours", lambda *_: False)


def drop_unknown_fields(patch: Patch) -> None:
    """Only the fields of a token set are written back."""

    def narrowed(document: Document, *args: Any, **kwargs: Any) -> Document:
        fields = documents.merged(document, *args, **kwargs).fields
        return Document({name: value for name, value in fields.items() if name in documents.OWN_FIELDS})

    patch.setattr(received, "merged", narrowed)


def lose_the_old_refresh_token(patch: Patch) -> None:
    """A reply without a refresh token leaves the document without one."""

    def narrowed(document: Document, tokens: Any, **kwargs: Any) -> Document:
        fields = dict(documents.merged(document, tokens, **kwargs).fields)
        if tokens.refresh_token is None:
            del fields["refresh_token"]
        return Document(fields)

    patch.setattr(received, "merged", narrowed)


def overwrite_a_person(patch: Patch) -> None:
    """After a conflict ours is written, whoever wrote."""
    patch.setattr(received.WriteBack, "_still_ours", lambda *_: True)


def delete_on_failure(patch: Patch) -> None:
    """A rejected refresh token is taken out of the document."""
    rejected = setbacks.Setbacks._rejected

    def tidy(self: setbacks.Setbacks, attempt: Any, answer: Any) -> outcomes.Outcome:
        stored = attempt.observed.situation.stored
        fields = {name: value for name, value in stored.content.fields.items() if name != "refresh_token"}
        store = self.stores[attempt.credential.store]
        with contextlib.suppress(Exception):
            store.compare_and_swap(
                attempt.credential.secret, Document(fields), expected=stored.version, write_id=attempt.rotation_id
            )
        return rejected(self, attempt, answer)

    patch.setattr(setbacks.Setbacks, "_rejected", tidy)


# ------------------------------------------------------------------------------------------------- the rest


def tell_the_token(patch: Patch) -> None:
    """An event about a failure quotes the refresh token."""
    tell = Teller.tell

    def quoting(self: Teller, event: Any, attempt: Any, **details: Any) -> Any:
        if "error" in details:
            details["error"] += str(attempt.observed.situation.stored.content.fields["refresh_token"])
        return tell(self, event, attempt, **details)

    patch.setattr(Teller, "tell", quoting)


def pause_too_long(patch: Patch) -> None:
    """A failure is followed by a pause of an hour."""
    init = setbacks.Setbacks.__init__
    patch.setattr(setbacks.Setbacks, "__init__", lambda self, *args, **more: init(self, *args, **more, pause_s=3600.0))
    patch.setattr(setbacks, "LONGEST_PAUSE_S", 3600.0)


def start_at_the_end(patch: Patch) -> None:
    """A refresh falls due when the token has ended."""
    patch.setattr(schedule, "margin_s", lambda *_: 0.0)
