"""Why one credential is or is not due, and what the next run would do: in words, and as one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from rotator import policy
from rotator.addresses import shown
from rotator.documents import stored_tokens
from rotator.errors import slug
from rotator.model import Malformed
from rotator.records import TOLD_KEPT
from rotator.schedule import timing

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.model import Credential
    from rotator.observe import Observed


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


def facts(credential: Credential, observed: Observed) -> dict[str, Any]:
    """Return the same as `explanation` under stable names, what does not apply as None. Holds no secret.

    Instants are datetimes.
    """
    situation = observed.situation
    record, now = situation.record, situation.now
    decision = policy.decide(situation)
    tokens = stored_tokens(situation.stored, credential.provider)
    usable = None if isinstance(tokens, Malformed) else tokens
    when = timing(credential, usable, horizon_s=situation.horizon_s) if usable else None
    cooldown_until = situation.provider.cooldown_until
    return {
        "name": credential.name,
        "provider": credential.provider.name,
        "store": credential.store,
        "decision": slug(type(decision)),
        "reason": decision.reason,
        "next_step": _next_step(decision),
        "secret": situation.stored.identity,
        "version": situation.stored.version,
        "token_endpoint": shown(credential.provider.token_endpoint),
        "issued_at": usable.issued_at if usable else None,
        "expires_at": usable.expires_at if usable else None,
        "due_at": when.due_at if when else None,
        "last_rotation": {"at": record.last.at, "rotation_id": record.last.rotation_id} if record.last else None,
        "claims": [
            {"digest": claim.digest[:8], "outcome": claim.outcome, "claimed_at": claim.claimed_at, "tries": claim.tries}
            for claim in record.claims[-TOLD_KEPT:]
        ],
        "lease": {"holder": record.lease.holder, "until": record.lease.expires_at} if record.lease else None,
        "pause": {"reason": record.hold.reason, "until": record.hold.until, "error": record.hold.error}
        if record.hold
        else None,
        "cooldown_until": cooldown_until if cooldown_until and cooldown_until > now else None,
        "refresh_token_ends_at": record.grant.expires_at if record.grant else None,
        "escrow": [{"kind": waiting.entry.kind, "since": waiting.entry.at} for waiting in situation.waiting],
    }


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
