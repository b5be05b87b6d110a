"""The state records: what every run of every replica knows about a secret, and about a provider and client.

`rotator.record_changes` has the logic over a record, `rotator.record_bodies` the stored form, and a backend only swaps
bodies. Safety rests on `StateRecord.presented` alone: a refresh token may
be sent only by the holder whose compare-and-swap appended its digest. The lease merely avoids useless work and says
when a dead holder's work may be taken over.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from rotator.redact import Secret, as_bytes
from rotator.stored_values import Digest, Instant, Tries, stored

ClaimOutcome = Literal["open", "settled", "rejected"]

PRESENTED_KEPT = 64
"""How many claims a record keeps. A document that shows a token older than 64 rotations is no stale read but a
restored backup; the provider tells."""

TOLD_KEPT = 3
"""So many of the newest claims keep their story when they are settled, for `explain`. Of older ones the digest alone is
ever asked for, and 64 of these are 2 KiB instead of 9: state stores bill by the KiB, three times a rotation."""

DISCARDED = "discarded by an operator"
"""The error of a claim that was given up. It is not cleared like a latch: nobody knows whether its token is spent, and
the count of its tries must not begin anew."""

HISTORY_KEPT = 5
"""Enough for `status` and `explain`; the audit trail has the rest."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_DIGEST_KEY = b"rotator: claim on a refresh token"


def digest_of(token: Secret) -> str:
    """Return the digest under which a refresh token is claimed: 128 bits as 32 hex digits.

    Keyed with a constant only. A key that operators configure was rejected: two replicas whose keys differ, or a
    rotated key, would not recognise each other's claims and spend a token twice. Audit events carry another digest
    with a secret key (`rotator.audit`).
    """
    return digest_of_text(token.reveal())


def digest_of_text(text: str) -> str:
    """Return the digest of what is claimed and no secret; as `digest_of`."""
    return hmac.digest(_DIGEST_KEY, as_bytes(text), "sha256").hex()[:32]


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


Presented: TypeAlias = "Digest | Claim"
"""A claim; of one that was settled long ago, only the digest."""


def digest_in(one: Presented) -> str:
    """Return the digest of a claim."""
    return one if isinstance(one, str) else one.digest


def is_settled(one: Presented) -> bool:
    """Return whether a claim is settled."""
    return isinstance(one, str) or one.outcome == "settled"


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
    presented: tuple[Digest | Claim, ...] = ()
    lease: Lease | None = None
    fence: int = 0
    hold: Hold | None = None
    grant: Grant | None = None
    history: tuple[Done, ...] = ()
    escrow: tuple[SealedEntry, ...] = ()

    def claim_on(self, digest: str) -> Claim | None:
        """Return the claim on a token, if it was ever claimed and not given back.

        Of one that was settled long ago nothing but that is known, and it cannot be changed any more.
        """
        found = next((one for one in self.presented if digest_in(one) == digest), None)
        return Claim(found, "", _LONG_AGO, outcome="settled") if isinstance(found, str) else found

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims that more than the digest is known of, newest last."""
        return tuple(one for one in self.presented if not isinstance(one, str))

    @property
    def digests(self) -> list[str]:
        """The digests of all claims, newest last."""
        return [digest_in(one) for one in self.presented]

    def held_by_other(self, holder: str, now: datetime) -> Lease | None:
        """Return the lease when somebody else holds it and it has not ended."""
        lease = self.lease
        if lease is None or lease.holder == holder or lease.expires_at <= now:
            return None
        return lease

    @property
    def newest(self) -> str:
        """The digest of the token that was claimed last; empty when none was."""
        return digest_in(self.presented[-1]) if self.presented else ""

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
