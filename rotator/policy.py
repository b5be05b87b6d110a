"""What to do about a credential. Pure: everything that was read goes in, a decision with its reason comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rotator.documents import presented_digest, stated_issue, stored_tokens
from rotator.model import Malformed
from rotator.records import DISCARDED, digest_of
from rotator.schedule import Timing, timing

if TYPE_CHECKING:
    from rotator.model import Credential, StoredTokens, TokenSet, Versioned
    from rotator.records import Claim, Hold, ProviderRecord, SealedEntry, StateRecord

CLOCK_SKEW_S = 5.0
"""How far two machines' clocks may differ without harm to a replay window; NTP keeps them within a second."""

STALE_FOR_S = 15 * 60.0
"""A store shows an old version for seconds, in AWS's words up to minutes. After a quarter of an hour it is no stale
read: somebody put an old version back."""

TAKEOVER_S = 120.0
"""How much longer than its lease a holder that never released it is waited for before its token is tried again. Clocks
that are this far apart end a living holder's lease early; nobody is in a hurry when a process died."""

IN_MEMORY_S = 15 * 60.0
"""So long a holder keeps an answer in memory that neither escrow nor store would take (`rotator.settling`). A pass that
looks ahead does not try a token again within it, unless its holder said that the reply was lost."""

MOST_TRIES = 2
"""A refresh token is sent at most twice, the second time only by the rules of doubt; but for `replay: safe`."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An escrow entry for this secret, opened.

    Args:
        tokens: What was received; None when the reply could not be read.
        sent_at: When the request that brought them was sent.
    """

    entry: SealedEntry
    tokens: TokenSet | None
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is known about a credential at one moment.

    Args:
        place: This process's escrow; `shared` when every replica sees it.
        shared_with: Another credential whose document holds, or whose record spent, the same refresh token.
        force: An operator wants a refresh although none is due.
        start_at: When the provider's budget demands the start, if that is before it falls due.
    """

    credential: Credential
    stored: Versioned
    record: StateRecord
    provider: ProviderRecord
    waiting: tuple[Waiting, ...]
    now: datetime
    holder: str
    place: str
    escrow_shared: bool
    horizon_s: float = 0.0
    force: bool = False
    start_at: datetime | None = None
    shared_with: str | None = None


@dataclass(frozen=True, slots=True)
class Fresh:
    """Nothing to do before `until`; the access token ends at `expires_at`, if that is known."""

    until: datetime
    reason: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """Refresh now.

    Args:
        deadline: The access token's end.
        again: One more presentation of a token in doubt.
        leave_by: The end of the provider's replay window, where only that allows it; no request leaves later.
    """

    reason: str
    tokens: StoredTokens
    deadline: datetime | None = None
    again: bool = False
    leave_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recover:
    """A successor waits in escrow: write it back, or only settle when the document already shows it."""

    waiting: Waiting
    written: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Stale:
    """The store shows a version that is already replaced."""

    reason: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The token may be spent and no successor is in sight.

    Args:
        claim: The claim whose outcome is open.
        until: When it is presented one last time; None when a person has to decide.
    """

    claim: Claim
    until: datetime | None
    reason: str
    action: str


@dataclass(frozen=True, slots=True)
class Held:
    """Another holder is at work."""

    holder: str
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Latched:
    """The grant is dead; only a new refresh token, or an operator's word, changes that."""

    claim: Claim
    reason: str
    action: str


@dataclass(frozen=True, slots=True)
class CoolingDown:
    """A pause: the provider's, or after a failure. `person` when waiting alone will not mend it."""

    until: datetime
    reason: str
    error: str = ""
    action: str = ""
    person: bool = False


@dataclass(frozen=True, slots=True)
class Unusable:
    """The document cannot be used as it is."""

    problem: str
    action: str

    @property
    def reason(self) -> str:
        """What is wrong."""
        return self.problem


def asks_for_action(decision: Decision) -> bool:
    """Return whether the procedure has something to do: send, write back, or report what nobody has reported."""
    match decision:
        case Due() | Recover():
            return True
        case InDoubt(claim=claim) | Latched(claim=claim):
            return not claim.reported
        case _:
            return False


Decision = Fresh | Due | Recover | Stale | InDoubt | Held | Latched | CoolingDown | Unusable


def decide(situation: Situation) -> Decision:
    """Return what to do about a credential, and why.

    In this order: what cannot be used; what waits in escrow, for a received token set goes before everything; what
    was presented before; whether anything is due at all; and what stands in the way of a refresh that is due.
    """
    stored, record = situation.stored, situation.record
    tokens = stored_tokens(stored, situation.credential.provider)
    if isinstance(tokens, Malformed):
        return Unusable(f"the secret cannot be used: {tokens.problem}", situation.credential.seed)
    digest = presented_digest(tokens)
    recover = _recover(situation, tokens, digest)
    if recover:
        return _unless_held(situation) or recover
    if situation.shared_with:
        return Unusable(
            f"it shares one grant with {situation.shared_with}: the first refresh of either spends the other's token",
            "give each credential a login of its own, or let both readers read one secret",
        )
    claim = record.claim_on(digest)
    when = timing(
        situation.credential,
        tokens,
        horizon_s=situation.horizon_s,
        start_at=situation.start_at,
        grant_ends_at=record.grant.expires_at if record.grant and record.grant.digest == digest else None,
    )
    if claim:
        return _presented(situation, tokens, claim, when)
    if not situation.force and when.eligible_at and situation.now < when.eligible_at:
        return Fresh(when.eligible_at, f"not due before {_text(when.eligible_at)}", when.expires_at)
    blocked = _blocked(situation, digest)
    if blocked:
        return blocked
    ended = when.expires_at is not None and when.expires_at <= situation.now
    why = f"its access token ended at {_text(when.expires_at)}" if ended and when.expires_at else when.why
    why = "an operator forces it" if situation.force else why
    return Due(why, tokens, deadline=when.expires_at)


def _recover(situation: Situation, tokens: StoredTokens, digest: str) -> Recover | None:
    for waiting in situation.waiting:
        if waiting.tokens is None:
            continue
        new = digest_of(waiting.tokens.refresh_token) if waiting.tokens.refresh_token else digest
        if waiting.entry.parent == digest:
            # Where the provider keeps the refresh token, parent and successor look alike; then the newer one stays.
            # Newer by its own word: when the store made the version tells of an edit as well.
            issued_at = stated_issue(situation.stored)
            written = new == digest and (
                tokens.access_token == waiting.tokens.access_token
                or (issued_at is not None and issued_at > waiting.sent_at)
            )
            return Recover(waiting, written, "its successor waits in escrow")
        if waiting.tokens.refresh_token and new == digest:
            return Recover(waiting, written=True, reason="its successor is written and not settled")
    return None


def _presented(situation: Situation, tokens: StoredTokens, claim: Claim, when: Timing) -> Decision:
    login = situation.credential.login
    if claim.outcome == "settled":
        last = situation.record.last
        if last and situation.now - last.at > timedelta(seconds=STALE_FOR_S):
            return Unusable(
                "the store shows a refresh token that is already spent: an old version was put back",
                f"put the newer version back, or log in again: {login}",
            )
        return Stale("the store shows a refresh token that is already spent")
    if claim.error == DISCARDED:
        return Latched(claim, "an operator gave a rotation in doubt up", f"log in again: {login}")
    if claim.outcome == "rejected":
        return Latched(
            claim=claim,
            reason=f"the provider rejected this refresh token ({claim.error})",
            action=situation.credential.login_again,
        )
    return _unless_held(situation) or _in_doubt(situation, tokens, claim, when)


def _in_doubt(situation: Situation, tokens: StoredTokens, claim: Claim, when: Timing) -> Decision:
    """Apply the provider's replay rule to a token that may be spent (DESIGN: "What makes it safe")."""
    provider = situation.credential.provider
    replay, now = provider.replay, situation.now
    name, login = situation.credential.name, situation.credential.login
    reason = f"the reply to a refresh was lost at {_text(claim.tried_at or claim.claimed_at)}"
    safe = replay.kind == "safe"
    if claim.tries >= MOST_TRIES and not safe:
        return InDoubt(claim, None, f"{reason}, for the second time", f"log in again: {login}")
    free = claim.permitted or safe
    if not (free or claim.place == situation.place) and now < (when.expires_at or now):
        reason = f"{reason}, and its successor may lie in the escrow of {claim.holder}"
        return InDoubt(claim, when.expires_at, reason, "let that holder run again")
    again = Due("a rotation in doubt is tried once more", tokens, deadline=when.expires_at, again=True)
    inside = claim.claimed_at + timedelta(seconds=replay.window_s - provider.timeout_s - CLOCK_SKEW_S)
    allowed = (
        claim.permitted or safe or replay.kind == "until_successor_used" or (replay.kind == "window" and now < inside)
    )
    if not allowed and provider.on_doubt == "operator":
        action = f"log in again ({login}), or rotator resolve {name} --replay for one more try"
        return InDoubt(claim, None, reason, action)
    # A one-shot run may not come again in time; but a holder that only cannot write may have the successor in hand.
    hold = situation.record.hold
    concluded = hold is not None and hold.digest == claim.digest
    old = now >= (claim.tried_at or claim.claimed_at) + timedelta(seconds=IN_MEMORY_S)
    ahead = now + timedelta(seconds=situation.horizon_s if concluded or old else 0.0)
    if not allowed and when.last_try_at and ahead < when.last_try_at:
        action = f"log in again ({login}), or wait: it is tried once more near the token's end"
        return InDoubt(claim, when.last_try_at, reason, action)
    if replay.kind == "window" and not claim.permitted and now < inside:
        again = replace(again, leave_by=inside)
    return _blocked(situation, claim.digest) or _unless_let_go(situation) or again


def _blocked(situation: Situation, digest: str) -> Decision | None:
    """Return what stands in the way of sending now."""
    record, now = situation.record, situation.now
    hold = record.hold
    if hold and hold.digest == digest and now < (hold.floor if situation.force else hold.until):
        until = hold.floor if situation.force else hold.until
        action = hold.action
        if hold.person:
            action = f"{action}; {_asked_again(situation, hold)}".removeprefix("; ")
        return CoolingDown(until, hold.reason, hold.error, action, person=hold.person)
    cooldown = situation.provider.cooldown_until
    if cooldown and now < cooldown:
        return CoolingDown(cooldown, "rate_limited", error=situation.provider.reason)
    last = record.last
    just_now = last is not None and now - last.at < timedelta(seconds=STALE_FOR_S)
    if last and just_now and last.version_before == situation.stored.version != last.version_after:
        return Stale("the store shows the version before the last rotation")
    return _unless_held(situation)


def _asked_again(situation: Situation, hold: Hold) -> str:
    """Say when the provider is asked again: what is told until then is the answer of before, mended or not."""
    from_ = f"from {_text(hold.floor)} on " if situation.now < hold.floor else ""
    if situation.force:
        return f"nothing was asked now, this is the answer of before: --force asks {from_}".rstrip()
    return f"asked again at {_text(hold.until)}, or {from_}by rotator once --force --name {situation.credential.name}"


def _unless_held(situation: Situation) -> Held | None:
    lease = situation.record.held_by_other(situation.holder, situation.now)
    if lease is None:
        return None
    return Held(lease.holder, lease.expires_at, f"{lease.holder} is at work on it")


def _unless_let_go(situation: Situation) -> Held | None:
    """Return who may still be at work, by a clock that is behind this one."""
    lease = situation.record.held_by_other(situation.holder, situation.now - timedelta(seconds=TAKEOVER_S))
    if lease is None:
        return None
    until = lease.expires_at + timedelta(seconds=TAKEOVER_S)
    return Held(lease.holder, until, f"{lease.holder} has not let go of it")


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
