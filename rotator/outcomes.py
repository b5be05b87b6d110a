"""What became of one credential in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

from rotator import policy
from rotator.errors import slug

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from rotator.errors import RotatorError


State = Literal["fresh", "due", "in_doubt", "latched", "cooling_down", "unusable"]
"""A credential's state, as people are told it."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """New tokens are in the store.

    Args:
        next_at: When the next refresh falls due; None is unknown.
        digest: Of the refresh token that is stored now.
        grant_ends_at: When that ends, where the provider says so.
        warnings: What did no harm: a server's defect, an event that was not recorded.
    """

    name: str
    expires_at: datetime | None
    version: str
    next_at: datetime | None = None
    digest: str = ""
    grant_ends_at: datetime | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fresh:
    """Nothing was due; look again at `until`. `expires_at` is the end of the access token, if that is known."""

    name: str
    until: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """Put off: a later run does it without anybody's help.

    Args:
        reason: A short slug: `rate_limited`, `provider_unavailable`, `held`, `in_doubt`, `stale_read`, …
        retry_at: When to look again; None is at the next pass.
    """

    name: str
    reason: str
    retry_at: datetime | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """A person is needed.

    Args:
        reason: A short slug: `latched`, `misconfigured`, `unusable`, `in_doubt`, …
        error: What is wrong, in words.
        action: What to do about it, a command where there is one.
        retry_at: When to look again by itself; None is at the next pass.
    """

    name: str
    reason: str
    error: str
    action: str
    retry_at: datetime | None = None


Outcome = Rotated | Fresh | Deferred | Failed


def of_decision(name: str, decision: policy.Decision) -> Outcome:
    """Return the outcome of a decision that asks for no action now; of one that does, what it waits for."""
    match decision:
        case policy.Fresh(until=until, expires_at=expires_at):
            return Fresh(name, until, expires_at)
        case policy.Due(reason=reason) | policy.Recover(reason=reason):
            return Deferred(name, "due", None, reason)
        case policy.Stale(reason=reason):
            return Deferred(name, "stale_read", None, reason)
        case policy.Held(until=until, reason=reason):
            return Deferred(name, "held", until, reason)
        case policy.InDoubt(until=None, reason=reason, action=action):
            return Failed(name, "in_doubt", reason, action)
        case policy.InDoubt(until=until, reason=reason):
            return Deferred(name, "in_doubt", until, reason)
        case policy.Latched(reason=reason, action=action):
            return Failed(name, "latched", reason, action)
        case policy.CoolingDown(until=until, reason=reason, error=error, action=action, person=True):
            return Failed(name, reason, error, action, until)
        case policy.CoolingDown(until=until, reason=reason, error=error):
            return Deferred(name, reason, until, error)
        case policy.Unusable(problem=problem, action=action):
            return Failed(name, "unusable", problem, action)
        case _:
            assert_never(decision)


def changed(name: str) -> Deferred:
    """Return that a document is not the one that was compared with all others."""
    return Deferred(name, "changed", None, "its document changed since it was compared with all others")


AT_ONCE = frozenset({"due", "stale_read", "held", "changed", "slot_missed", "superseded", "overtaken", "recovered"})
"""Reasons of what is put off for a moment: nothing is wrong."""


def state_of(outcome: Outcome) -> State:
    """Return the state in which an outcome leaves its credential."""
    match outcome:
        case Rotated() | Fresh():
            return "fresh"
        case Deferred(reason="in_doubt") | Failed(reason="in_doubt"):
            return "in_doubt"
        case Deferred(reason=reason):
            return "due" if reason in AT_ONCE else "cooling_down"
        case Failed(reason="latched" | "lost"):
            return "latched"
        case Failed():
            return "unusable"
        case _:
            assert_never(outcome)


def sent_nothing(result: object) -> bool:
    """Return whether a rotation surely sent no request: somebody else had done it, or was about to.

    Replicas find the same credentials due, and each reserves slots of the provider's budget for all of them. Where the
    budget is tight, those that came to nothing were most of it.
    """
    return isinstance(result, Fresh) or (isinstance(result, Deferred) and result.reason == "held")


def exit_code(results: Iterable[Outcome]) -> int:
    """Return how a pass ends: 1 if a person is needed, else 75 if something is to be run again, else 0."""
    kinds = {type(outcome) for outcome in results}
    return 1 if Failed in kinds else 75 if Deferred in kinds else 0


def of_error(name: str, error: RotatorError, retry_at: datetime | None = None) -> Outcome:
    """Return the outcome of a failure of ours: temporary ones are put off, the others need a person."""
    reason = slug(type(error))
    if error.then == "give_up":
        return Failed(name, reason, error.message, error.hint_for(name), retry_at)
    return Deferred(name, reason, retry_at, str(error))
