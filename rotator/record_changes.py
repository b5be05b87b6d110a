"""What may become of a state record: the logic over it, written once, as pure functions from record to record.

A change may be applied twice, for the answer to a write may be lost: each is written so that twice is the same as once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rotator.errors import LeaseHeld
from rotator.records import HISTORY_KEPT, PRESENTED_KEPT, TOLD_KEPT, Claim, Lease, digest_in, is_settled

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.records import ClaimOutcome, Done, Presented, SealedEntry, StateRecord


class ClaimRefused(Exception):
    """The record changed under the claim: decide again."""


def take_lease(record: StateRecord, *, holder: str, now: datetime, expires_at: datetime) -> StateRecord:
    """Take the lease, with a fencing number that never goes back.

    Raises:
        LeaseHeld: Somebody else holds it.
    """
    other = record.held_by_other(holder, now)
    if other:
        raise LeaseHeld(other.holder, other.expires_at)
    fence = record.fence + 1
    return replace(record, fence=fence, lease=Lease(holder, fence, expires_at))


def claim(record: StateRecord, new: Claim, *, again: bool, any_tries: bool, lease: datetime) -> StateRecord:
    """Append the claim that entitles its holder to send the token, and take the lease.

    Args:
        new: The claim to append; its `tries` is set here.
        again: The token was claimed before and may be tried once more.
        any_tries: The provider's replay is safe: no bound on the tries.
        lease: When the lease ends.

    Raises:
        LeaseHeld: Somebody else holds the lease.
        ClaimRefused: The token was claimed meanwhile, or has no try left.
    """
    held = take_lease(record, holder=new.holder, now=new.claimed_at, expires_at=lease)
    before = record.claim_on(new.digest)
    if before and before.rotation_id == new.rotation_id and before.holder == new.holder:
        # Our own write, whose answer was lost; if it landed late, the lease may have been taken and released since.
        ours = record.lease is not None and record.lease.holder == new.holder
        return record if ours else replace(held, presented=record.presented)
    if before is None:
        if again:
            raise ClaimRefused
        return replace(held, presented=_room_for(held.presented, new))
    if not again or before.outcome != "open" or (before.tries >= 2 and not any_tries):  # noqa: PLR2004 - the last try
        raise ClaimRefused
    once_more = replace(
        new,
        claimed_at=before.claimed_at,
        tries=before.tries + 1,
        permitted=before.permitted,
        tried_at=new.claimed_at,
        earlier_place=before.place,
    )
    return replace(held, presented=_replaced(held.presented, once_more))


def _room_for(presented: tuple[Presented, ...], new: Claim) -> tuple[Presented, ...]:
    """Append a claim; the oldest settled one makes room, for an open or a rejected one still stops somebody."""
    kept = (*presented, new)
    while len(kept) > PRESENTED_KEPT:
        oldest = next((one for one in kept[:-1] if is_settled(one)), kept[0])
        kept = tuple(one for one in kept if one is not oldest)
    return (*(digest_in(one) if is_settled(one) else one for one in kept[:-TOLD_KEPT]), *kept[-TOLD_KEPT:])


def give_back(record: StateRecord, digest: str, rotation_id: str) -> StateRecord:
    """Take this holder's claim out: the request never left, was not processed, or the token was not rotated.

    A second try that came to nothing leaves the first one's doubt standing.
    """
    before = record.claim_on(digest)
    if before is None or before.rotation_id != rotation_id or before.outcome != "open":
        return record
    if before.tries > 1:
        # The rotation id goes with the try, so that giving back twice counts once.
        once_less = replace(
            before,
            tries=before.tries - 1,
            rotation_id=f"{rotation_id} given back",
            place=before.earlier_place or before.place,
        )
        return replace(record, presented=_replaced(record.presented, once_less))
    return take_out(record, digest)


def take_out(record: StateRecord, digest: str, rotation_id: str | None = None) -> StateRecord:
    """Remove a token's claim altogether: the provider keeps the token alive, or an operator clears a latch.

    Args:
        rotation_id: Only if the claim is this rotation's; None for an operator, whose word counts for any.
    """
    standing = record.claim_on(digest)
    if standing is None or (rotation_id is not None and standing.rotation_id != rotation_id):
        return record
    return replace(record, presented=tuple(one for one in record.presented if digest_in(one) != digest))


def on_claim(record: StateRecord, digest: str, **changes: Any) -> StateRecord:
    """Change single facts of one token's claim, if it stands."""
    before = record.claim_on(digest)
    if before is None or digest in record.presented:
        return record
    return replace(record, presented=_replaced(record.presented, replace(before, **changes)))


def mark(record: StateRecord, digest: str, outcome: ClaimOutcome, *, error: str | None = None) -> StateRecord:
    """Set the outcome of one token's claim; touches no other token's.

    A settled claim forgets who held it and where: its digest is all that is asked for, 64 times over.
    """
    before = record.claim_on(digest)
    if before is None or digest in record.presented:
        return record
    if outcome == "settled":
        before = replace(before, holder="", place="", permitted=False, reported=False, tried_at=None)
    return replace(record, presented=_replaced(record.presented, replace(before, outcome=outcome, error=error)))


def release(record: StateRecord, fence: int) -> StateRecord:
    """Release the lease if it is still ours; the fencing number stays."""
    if record.lease is None or record.lease.fence != fence:
        return record
    return replace(record, lease=None)


def with_done(record: StateRecord, done: Done) -> StateRecord:
    """Append a finished rotation, once."""
    if any(one.rotation_id == done.rotation_id for one in record.history):
        return record
    return replace(record, history=(*record.history, done)[-HISTORY_KEPT:])


def spent_before(record: StateRecord, parent: str) -> frozenset[str]:
    """Return the tokens that were settled before `parent` was claimed: a document that shows one is an old copy.

    One that was claimed later is a new login, which another replica may be refreshing just now.
    """
    order = record.digests
    before = record.presented[: order.index(parent)] if parent in order else ()
    return frozenset(digest_in(one) for one in before if is_settled(one))


def latch(record: StateRecord, digest: str, *, rotation_id: str, now: datetime, error: str) -> StateRecord:
    """Note that the provider rejected a token, also where its claim went away meanwhile, or its story."""
    lost = Claim(digest, rotation_id, now)
    if digest in record.presented:
        record = replace(record, presented=_replaced(record.presented, lost))
    elif record.claim_on(digest) is None:
        record = replace(record, presented=_room_for(record.presented, lost))
    return mark(record, digest, "rejected", error=error)


def stays(standing: SealedEntry, new: SealedEntry) -> bool:
    """Return whether what stands in escrow is worth more than what came for the same token.

    What could be read is worth more than what could not, and the answer to a later request more than one to an earlier:
    of a replay's successors only the last one lives.
    """
    same = (standing.identity, standing.parent) == (new.identity, new.parent)
    return same and standing.kind == "tokens" and (new.kind == "reply" or standing.at > new.at)


def _replaced(presented: tuple[Presented, ...], new: Claim) -> tuple[Presented, ...]:
    return tuple(new if digest_in(one) == new.digest else one for one in presented)
