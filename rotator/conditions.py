"""What is wrong with a credential that somebody should be told of. Pure: what one process knows goes in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.notices import instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rotator.notices import Kind
    from rotator.outcomes import State

NOTICE_S = 7 * 86_400.0
NOTICE_SHARE = 0.25
"""The end of a refresh token is told a week before, or in the last quarter of a shorter life: a login takes a person,
and persons have weekends."""

ESCROW_GRACE_S = 120.0
"""Every rotation's tokens pass the escrow; a write back that is tried again takes up to a minute. What lies there
longer waits for something."""

DUE_GRACE_S = 60.0
"""A token that is found expired at a start is refreshed within seconds: told only when that has not helped."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a process knows of one credential.

    Args:
        state: As `status` has it; None while it was not looked at.
        expires_at: Of the access token; None is unknown.
        next_at: Of the next refresh or look.
        due_since: Since when this process has seen it due without a pause; None where it cannot say.
        grant: Tells the refresh token in the document from others: the beginning of its digest, empty for unknown.
        grant_since: When the refresh token's present life began; None is unknown.
        grant_ends_at: When it ends, where the provider or the configuration says so.
        issued_at: When the refresh token was last used or issued, if that is known.
        idle_s: How long it lives unused; None for ever.
        waiting_since: Of the oldest token set that waits for this credential in escrow.
        place: Of an escrow that only this process sees; empty for one that all replicas share.
        reason: What is wrong, in words.
        action: What a person is to do.
        login: The command that logs in again.
    """

    name: str
    provider: str
    store: str
    state: State | None
    expires_at: datetime | None = None
    next_at: datetime | None = None
    due_since: datetime | None = None
    grant: str = ""
    grant_since: datetime | None = None
    grant_ends_at: datetime | None = None
    issued_at: datetime | None = None
    idle_s: float | None = None
    waiting_since: datetime | None = None
    place: str = ""
    reason: str = ""
    action: str = ""
    login: str = ""

    @property
    def look(self) -> str:
        """The command that shows more of it."""
        return f"rotator explain {self.name}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is the case.

    Args:
        about: What tells this case from a later one of the same kind: which grant died, whose escrow it is.
        deadline: When it becomes worse by itself.
    """

    kind: Kind
    about: str = ""
    detail: str = ""
    action: str = ""
    deadline: datetime | None = None


def standing(known: Known, now: datetime) -> Mapping[Kind, Finding | None]:
    """Return, by kind, what is the case, and None for what surely is not; what is not known is left out.

    A case is over only by its None here: a store that does not answer, or a process that has not looked yet, ends none.
    """
    if known.state is None:
        return {}
    found: dict[Kind, Finding | None] = {**_grant(known), **_token(known, now), **_ending(known, now)}
    if known.waiting_since is None:
        found["escrow_waiting"] = None
    elif now - known.waiting_since >= timedelta(seconds=ESCROW_GRACE_S):
        detail = f"received at {instant(known.waiting_since)} and not yet written to the store {known.store}"
        action = "rotator escrow replay, once the store can be written"
        found["escrow_waiting"] = Finding("escrow_waiting", known.place, _with(detail, known.reason), action)
    return found


def _grant(known: Known) -> dict[Kind, Finding | None]:
    """What only a person, or time, mends. One of the three at most; a pause says nothing about them."""
    match known.state:
        case "latched":
            dead = Finding("grant_dead", known.grant, known.reason, known.action or known.login, known.expires_at)
            return {"grant_dead": dead, "in_doubt": None, "needs_person": None}
        case "in_doubt":
            doubt = Finding("in_doubt", "", known.reason, known.action or known.look, known.expires_at)
            return {"grant_dead": None, "in_doubt": doubt, "needs_person": None}
        case "unusable":
            person = Finding("needs_person", "", known.reason, known.action or known.look, known.expires_at)
            return {"needs_person": person}
        case "fresh":
            return {"grant_dead": None, "in_doubt": None, "needs_person": None}
        case _:
            return {}


def _token(known: Known, now: datetime) -> dict[Kind, Finding | None]:
    """Whether the access token ends, or has ended, before anything that is planned can help."""
    ends = known.expires_at
    if ends is None:
        return {"token_expiring": None} if known.state == "fresh" else {}
    ended = ends <= now
    # Where a person is needed the other case tells, and until when; here, that the readers now go without.
    waits = known.state in {"latched", "unusable", "in_doubt"}
    if known.state == "due":
        late = ended and known.due_since is not None and now - known.due_since >= timedelta(seconds=DUE_GRACE_S)
        if not late:
            return {}
    if ended or (not waits and known.next_at is not None and known.next_at >= ends):
        when = f"ended at {instant(ends)}, and readers have no other"
        if not ended:
            when = f"ends at {instant(ends)}, and the next try is at {instant(known.next_at)}"
        detail = _with(f"its access token {when}", known.reason)
        return {"token_expiring": Finding("token_expiring", "", detail, known.action or known.look, ends)}
    return {"token_expiring": None} if known.state == "fresh" else {}


def _ending(known: Known, now: datetime) -> dict[Kind, Finding | None]:
    """Whether the refresh token ends although, or because, it is not used in time."""
    if known.state == "latched":
        return {"refresh_token_ending": None}  # it has ended
    ends, since = known.grant_ends_at, known.grant_since
    if ends is not None and ends - now <= timedelta(seconds=_notice_s(ends, since)):
        detail = f"its refresh token ends at {instant(ends)}, and no rotation renews it"
        return {"refresh_token_ending": Finding("refresh_token_ending", "", detail, known.login, ends)}
    idle_ends = known.issued_at + timedelta(seconds=known.idle_s) if known.issued_at and known.idle_s else None
    used_before = known.state == "fresh" and known.next_at is not None and idle_ends and known.next_at < idle_ends
    if idle_ends and not used_before and idle_ends - now <= timedelta(seconds=_notice_s(idle_ends, known.issued_at)):
        detail = _with(f"its refresh token was not used and ends at {instant(idle_ends)}", known.reason)
        action = known.action or known.login
        return {"refresh_token_ending": Finding("refresh_token_ending", "", detail, action, idle_ends)}
    return {"refresh_token_ending": None} if known.state == "fresh" else {}


def _notice_s(ends: datetime, since: datetime | None) -> float:
    return min(NOTICE_S, NOTICE_SHARE * (ends - since).total_seconds()) if since and since < ends else NOTICE_S


def _with(text: str, reason: str) -> str:
    return f"{text}: {reason}" if reason else text
