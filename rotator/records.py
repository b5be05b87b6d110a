"""The state records: what every run of every replica knows about a secret, and about a provider and client.

The logic over a record is written here once, as pure functions from record to record; `rotator.record_bodies` has
their stored form, and a backend only swaps bodies. Safety rests on `StateRecord.presented` alone: a refresh token may
be sent only by the holder whose compare-and-swap appended its digest. The lease merely avoids useless work and says
when a dead holder's work may be taken over.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from rotator.errors import LeaseHeld
from rotator.model import Document
from rotator.redact import Secret, as_bytes
from rotator.stored_values import Digest, Instant, Tries, stored

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.model import Versioned

ClaimOutcome = Literal["open", "settled", "rejected"]

PRESENTED_KEPT = 64
"""How many claims a record keeps. A document that shows a token older than 64 rotations is no stale read but a
restored backup; the provider tells. 64 short entries are some 6 KiB, far below DynamoDB's 400 KiB per item."""

DISCARDED = "discarded by an operator"
"""The error of a claim that was given up. It is not cleared like a latch: nobody knows whether its token is spent, and
the count of its tries must not begin anew."""

HISTORY_KEPT = 5
"""Enough for `status` and `explain`; the audit trail has the rest."""

_DIGEST_KEY = b"rotator: claim on a refresh token"


def digest_of(token: Secret) -> str:
    """Return the digest under which a refresh token is claimed: 128 bits as 32 hex digits.

    Keyed with a constant only. A key that operators configure was rejected: two replicas whose keys differ, or a
    rotated key, would not recognise each other's claims and spend a token twice. Audit events carry another digest
    with a secret key (`rotator.audit`).
    """
    return hmac.new(_DIGEST_KEY, as_bytes(token.reveal()), hashlib.sha256).hexdigest()[:32]


def stored_digest(stored: Versioned) -> str:
    """Return the digest of the refresh token that a document holds; empty when it holds none."""
    token = stored.content.fields.get("refresh_token") if isinstance(stored.content, Document) else None
    return digest_of(Secret(token)) if isinstance(token, str) and token else ""


@stored
@dataclass(frozen=True, slots=True)
class Claim:
    """A refresh token that some holder claimed in order to send it.

    Args:
        digest: `digest_of` the token.
        place: Which escrow may hold its successor.
        tries: How often a holder claimed to send it; 2 at most, but for `replay: safe`.
        permitted: An operator allowed one more try.
        earlier_place: For a second try, the escrow of the first one's holder.
        reported: The doubt about it, or the death of its grant, was audited.
        error: For a rejected one, the provider's error code.
    """

    digest: Digest
    rotation_id: str
    claimed_at: Instant
    holder: str = ""
    place: str = ""
    tries: Tries = 1
    outcome: ClaimOutcome = "open"
    permitted: bool = False
    reported: bool = False
    error: str | None = None
    tried_at: Instant | None = None
    earlier_place: str = ""


@stored
@dataclass(frozen=True, slots=True)
class Lease:
    """Who is at work, and until when nobody else need look."""

    holder: str
    fence: int
    expires_at: Instant


@stored
@dataclass(frozen=True, slots=True)
class Hold:
    """A pause after a failure of this credential, for the token with this digest.

    Args:
        person: True when waiting alone will not mend it.
        floor: Until then not even `--force` sends again (an identical request within a minute is abuse).
    """

    digest: str
    until: Instant
    floor: Instant
    reason: str
    error: str = ""
    action: str = ""
    failures: int = 1
    person: bool = False


@stored
@dataclass(frozen=True, slots=True)
class Grant:
    """What is known of the refresh token's own life.

    Args:
        digest: The newest refresh token of this grant.
        since: When this grant was first seen; its absolute life counts from here, rotation does not extend it.
        expires_at: As the provider last said, if it says.
    """

    digest: str
    since: Instant
    expires_at: Instant | None = None
    warned_at: Instant | None = None


@stored
@dataclass(frozen=True, slots=True)
class Done:
    """A finished rotation."""

    rotation_id: str
    at: Instant
    version_before: str
    version_after: str
    expires_at: Instant | None = None


@stored
@dataclass(frozen=True, slots=True)
class SealedEntry:
    """A token set that was received and is not yet confirmed in the store.

    Args:
        identity: The secret it belongs to.
        parent: Digest of the refresh token that it succeeds.
        kind: `tokens`, or `reply` for an answer that could not be read.
        sealed: The sealed content, base64.
    """

    identity: str
    parent: str
    kind: Literal["tokens", "reply"]
    rotation_id: str
    credential: str
    at: Instant
    sealed: str


@stored
@dataclass(frozen=True, slots=True)
class StateRecord:
    """Everything that outlives a run about one secret."""

    identity: str
    presented: tuple[Claim, ...] = ()
    lease: Lease | None = None
    fence: int = 0
    hold: Hold | None = None
    grant: Grant | None = None
    history: tuple[Done, ...] = ()
    escrow: tuple[SealedEntry, ...] = ()

    def claim_on(self, digest: str) -> Claim | None:
        """Return the claim on a token, if it was ever claimed and not given back."""
        return next((claim for claim in self.presented if claim.digest == digest), None)

    def held_by_other(self, holder: str, now: datetime) -> Lease | None:
        """Return the lease when somebody else holds it and it has not ended."""
        lease = self.lease
        if lease is None or lease.holder == holder or lease.expires_at <= now:
            return None
        return lease

    @property
    def newest(self) -> str:
        """The digest of the token that was claimed last; empty when none was."""
        return self.presented[-1].digest if self.presented else ""

    @property
    def last(self) -> Done | None:
        """The newest finished rotation."""
        return self.history[-1] if self.history else None


@stored
@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """What every run knows about one provider and client.

    Args:
        cooldown_until: Nobody sends before; None when there is no cooldown.
        next_slot_at: The first moment that no replica has reserved in the budget.
        spacing_s: How far apart requests are sent since the provider said "too many" at `slowed_at`
            (`rotator.slowdown`).
    """

    identity: str
    cooldown_until: Instant | None = None
    reason: str = ""
    next_slot_at: Instant | None = None
    spacing_s: float = 0.0
    slowed_at: Instant | None = None


class ClaimRefused(Exception):
    """The record changed under the claim: decide again."""


# ----------------------------------------------------------------------------------------------- transitions


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


def _room_for(presented: tuple[Claim, ...], new: Claim) -> tuple[Claim, ...]:
    """Append a claim; the oldest settled one makes room, for an open or a rejected one still stops somebody."""
    kept = (*presented, new)
    while len(kept) > PRESENTED_KEPT:
        oldest = next((one for one in kept[:-1] if one.outcome == "settled"), kept[0])
        kept = tuple(one for one in kept if one is not oldest)
    return kept


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
    return replace(record, presented=tuple(one for one in record.presented if one.digest != digest))


def on_claim(record: StateRecord, digest: str, **changes: Any) -> StateRecord:
    """Change single facts of one token's claim, if it stands."""
    before = record.claim_on(digest)
    if before is None:
        return record
    return replace(record, presented=_replaced(record.presented, replace(before, **changes)))


def mark(record: StateRecord, digest: str, outcome: ClaimOutcome, *, error: str | None = None) -> StateRecord:
    """Set the outcome of one token's claim; touches no other token's.

    A settled claim forgets who held it and where: its digest is all that is asked for, 64 times over.
    """
    before = record.claim_on(digest)
    if before is None:
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
    order = [claim.digest for claim in record.presented]
    before = record.presented[: order.index(parent)] if parent in order else ()
    return frozenset(claim.digest for claim in before if claim.outcome == "settled")


def latch(record: StateRecord, digest: str, *, rotation_id: str, now: datetime, error: str) -> StateRecord:
    """Note that the provider rejected a token, also where its claim went away with the records meanwhile."""
    if record.claim_on(digest) is None:
        lost = Claim(digest, rotation_id, now)
        record = replace(record, presented=_room_for(record.presented, lost))
    return mark(record, digest, "rejected", error=error)


def stays(standing: SealedEntry, new: SealedEntry) -> bool:
    """Return whether what stands in escrow is worth more than what came for the same token.

    What could be read is worth more than what could not, and the answer to a later request more than one to an earlier:
    of a replay's successors only the last one lives.
    """
    same = (standing.identity, standing.parent) == (new.identity, new.parent)
    return same and standing.kind == "tokens" and (new.kind == "reply" or standing.at > new.at)


def _replaced(presented: tuple[Claim, ...], new: Claim) -> tuple[Claim, ...]:
    return tuple(new if one.digest == new.digest else one for one in presented)
