"""The state of credentials, for people and for `--json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from rotator import policy
from rotator.addresses import shown
from rotator.documents import stored_tokens
from rotator.errors import RotatorError
from rotator.model import Malformed
from rotator.records import TOLD_KEPT
from rotator.schedule import timing

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.model import Credential
    from rotator.observe import Observed
    from rotator.outcomes import State


@dataclass(frozen=True, slots=True)
class Row:
    """One credential's line of `status`.

    Args:
        next_refresh_at: When the next refresh or look is planned; None when nothing is.
        action: What a person is to do; empty when nothing.
    """

    name: str
    provider: str
    store: str
    state: State
    expires_at: datetime | None
    next_refresh_at: datetime | None
    last_rotated_at: datetime | None
    reason: str
    action: str

    @property
    def needs_person(self) -> bool:
        """Whether waiting alone will not mend it."""
        return self.state in {"latched", "unusable"} or (self.state == "in_doubt" and self.next_refresh_at is None)


def row(credential: Credential, observed: Observed | RotatorError) -> Row:
    """Return what is to be said of a credential."""
    names = (credential.name, credential.provider.name, credential.store)
    if isinstance(observed, RotatorError):
        state: State = "unusable" if observed.then == "give_up" else "cooling_down"
        return Row(*names, state, None, None, None, observed.message, observed.hint)
    situation = observed.situation
    tokens = stored_tokens(situation.stored, credential.provider)
    last = situation.record.last
    expires_at = None if isinstance(tokens, Malformed) else tokens.expires_at
    due_at = None if isinstance(tokens, Malformed) else timing(credential, tokens).due_at
    decision = policy.decide(situation)
    state, next_at, action = _shown(decision, due_at, situation.now)
    return Row(*names, state, expires_at, next_at, last.at if last else None, _reason(decision), action)


def _reason(decision: policy.Decision) -> str:
    """Return what is wrong in words: the reason of a pause is a slug, and what the provider said stands beside it."""
    if isinstance(decision, policy.CoolingDown) and decision.error:
        return f"{decision.reason}: {decision.error}"
    return decision.reason


def _shown(decision: policy.Decision, due_at: datetime | None, now: datetime) -> tuple[State, datetime | None, str]:
    match decision:
        case policy.Fresh():
            return "fresh", due_at, ""
        case policy.Due() | policy.Recover() | policy.Stale():
            return "due", now, ""
        case policy.Held(until=until):
            return "due", until, ""
        case policy.InDoubt(until=until, action=action):
            return "in_doubt", until, action
        case policy.Latched(action=action):
            return "latched", None, action
        case policy.CoolingDown(until=until, action=action, person=person):
            return ("unusable" if person else "cooling_down"), until, action
        case policy.Unusable(action=action):
            return "unusable", None, action
        case _:
            assert_never(decision)


def explanation(credential: Credential, observed: Observed) -> list[str]:
    """Return, line by line, why a credential is or is not due and what the next run would do. Holds no secret."""
    situation = observed.situation
    record, now = situation.record, situation.now
    decision = policy.decide(situation)
    tokens = stored_tokens(situation.stored, credential.provider)
    lines = [
        f"{credential.name}: {decision.reason}",
        f"  decision          {type(decision).__name__}: {_next_step(decision)}",
        f"  secret            {situation.stored.identity} at version {situation.stored.version}",
        f"  provider          {credential.provider.name}, {shown(credential.provider.token_endpoint)}",
    ]
    if not isinstance(tokens, Malformed):
        when = timing(credential, tokens, horizon_s=situation.horizon_s)
        lines += [
            f"  issued            {_ago(tokens.issued_at, now)}",
            f"  expires           {_ago(tokens.expires_at, now)}",
            f"  due               {_ago(when.due_at, now) if when.due_at else 'now'}",
        ]
    if record.last:
        lines.append(f"  last rotation     {_ago(record.last.at, now)}, {record.last.rotation_id}")
    lines += [
        f"  claim             {claim.digest[:8]}… {claim.outcome}, {_ago(claim.claimed_at, now)}, tries {claim.tries}"
        for claim in record.claims[-TOLD_KEPT:]
    ]
    if record.lease:
        lines.append(f"  lease             {record.lease.holder} until {_ago(record.lease.expires_at, now)}")
    if record.hold:
        lines.append(
            f"  pause             {record.hold.reason} until {_ago(record.hold.until, now)}: {record.hold.error}"
        )
    if situation.provider.cooldown_until and situation.provider.cooldown_until > now:
        lines.append(f"  provider cooldown until {_ago(situation.provider.cooldown_until, now)}")
    if record.grant and record.grant.expires_at:
        lines.append(f"  refresh token     ends {_ago(record.grant.expires_at, now)}")
    lines += [
        f"  escrow            {waiting.entry.kind} of {_ago(waiting.entry.at, now)}" for waiting in situation.waiting
    ]
    return lines


def _next_step(decision: policy.Decision) -> str:
    match decision:
        case policy.Fresh():
            return "the next run leaves it alone"
        case policy.Due(again=True):
            return "the next run presents the refresh token one more time"
        case policy.Due():
            return "the next run refreshes it"
        case policy.Recover():
            return "the next run writes back what waits in escrow, without a request"
        case policy.Stale():
            return "the next run reads again"
        case policy.Held():
            return "the next run leaves it to its holder"
        case policy.InDoubt(until=None, action=action):
            return f"a person decides: {action}"
        case policy.InDoubt(action=action):
            return action
        case policy.Latched(action=action) | policy.Unusable(action=action):
            return f"a person is needed: {action}"
        case policy.CoolingDown(action=action):
            return f"the next run waits{'; ' + action if action else ''}"
        case _:
            assert_never(decision)


def _ago(instant: datetime | None, now: datetime) -> str:
    if instant is None:
        return "unknown"
    text = instant.isoformat(timespec="seconds").replace("+00:00", "Z")
    away_s = (instant - now).total_seconds()
    return f"{text} ({'in ' if away_s >= 0 else ''}{_span(abs(away_s))}{'' if away_s >= 0 else ' ago'})"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
