"""From what was read of the credentials to the forecast of their refreshes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, assert_never

from rotator import policy
from rotator.documents import presented_digest, stored_tokens
from rotator.errors import RotatorError
from rotator.forecast import DAY_S, Forecast, Upcoming, forecast
from rotator.model import Malformed, StoredTokens
from rotator.observe import client_id_of
from rotator.schedule import timing
from rotator.status import row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rotator.budget import Budget
    from rotator.model import Credential
    from rotator.observe import Observed

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Apart:
    """A credential of which no refresh can be foreseen.

    Args:
        state: As `status` has it.
        temporary: It could not be read now, and may be soon.
    """

    name: str
    provider: str
    state: str
    reason: str
    temporary: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The forecast, and what it leaves out."""

    forecast: Forecast
    apart: tuple[Apart, ...]


def plan(
    seen: Iterable[tuple[Credential, Observed | RotatorError]],
    budget: Budget,
    *,
    now: datetime,
    horizon_s: float = DAY_S,
    stores: Mapping[str, float] | None = None,
    buckets: int = 96,
    parts: int = 1,
) -> Plan:
    """Return the forecast of credentials that were looked at (`Passes.look`).

    Args:
        budget: Knows the limits of all that was looked at.
        stores: The spacing of rotations that a store's writes allow, of each store with a limit.
        parts: Among how many shards the budgets are shared, where only one shard's were looked at.
    """
    upcoming: list[Upcoming] = []
    apart: list[Apart] = []
    opens: dict[str, datetime] = {}
    for credential, observed in seen:
        found = _foreseen(credential, observed, now)
        if isinstance(found, Apart):
            apart.append(found)
            continue
        upcoming.append(found)
        cooldown_until = None if isinstance(observed, RotatorError) else observed.situation.provider.cooldown_until
        if cooldown_until and cooldown_until > now:
            opens[found.lane] = cooldown_until
    paces = {one.lane: budget.pace(one.lane) for one in upcoming}
    lanes = {lane: parts * pace.interval_s for lane, pace in paces.items() if pace}
    stores = {store: parts * interval_s for store, interval_s in (stores or {}).items()}
    found_all = forecast(
        upcoming, now=now, horizon_s=horizon_s, lanes=lanes, opens=opens, stores=stores, buckets=buckets
    )
    return Plan(found_all, tuple(sorted(apart, key=lambda one: one.name)))


def _foreseen(credential: Credential, observed: Observed | RotatorError, now: datetime) -> Upcoming | Apart:
    if isinstance(observed, RotatorError):
        shown = row(credential, observed)
        return Apart(credential.name, shown.provider, shown.state, shown.reason, temporary=observed.then != "give_up")
    situation = observed.situation
    tokens = stored_tokens(situation.stored, credential.provider)
    pause = _pause(policy.decide(situation), situation.provider.cooldown_until)
    if isinstance(tokens, Malformed) or pause is None:
        shown = row(credential, observed)
        return Apart(credential.name, shown.provider, shown.state, shown.reason)
    grant = situation.record.grant
    grant_ends_at = grant.expires_at if grant and grant.digest == presented_digest(tokens) else None
    lifetime_s = _lifetime_s(credential, tokens)
    rest_s = credential.provider.earliest_refresh_s
    rested_at = tokens.issued_at + timedelta(seconds=rest_s) if tokens.issued_at and rest_s else None
    return Upcoming(
        name=credential.name,
        provider=credential.provider.name,
        client_id=client_id_of(credential, situation.stored),
        lane=observed.provider_key,
        store=credential.store,
        due_at=timing(credential, tokens, grant_ends_at=grant_ends_at).due_at,
        deadline=tokens.expires_at,
        lifetime_s=lifetime_s,
        period_s=None if lifetime_s is None else _period_s(credential, tokens, lifetime_s, now),
        not_before=max(filter(None, (rested_at, pause if pause > now else None)), default=None),
        rest_s=rest_s,
    )


def _pause(decision: policy.Decision, cooldown_until: datetime | None) -> datetime | None:
    """Return until when a credential of its own is left alone, in the past if it is not; None if nobody can foresee it.

    The provider's pause is one for all, and no credential's own.
    """
    match decision:
        case policy.Fresh() | policy.Due() | policy.Held():
            return NEVER
        case policy.CoolingDown(until=until, person=False):
            return NEVER if cooldown_until and until <= cooldown_until else until
        case policy.CoolingDown() | policy.InDoubt() | policy.Latched() | policy.Unusable():
            return None
        case policy.Recover() | policy.Stale():
            return None  # its next token is there already, and nobody has read it yet
        case _:
            assert_never(decision)


def _lifetime_s(credential: Credential, tokens: StoredTokens) -> float | None:
    """Return how long the next access token will live: as long as this one, as far as that is known."""
    if tokens.issued_at and tokens.expires_at and tokens.issued_at < tokens.expires_at:
        return (tokens.expires_at - tokens.issued_at).total_seconds()
    return credential.provider.default_lifetime_s


def _period_s(credential: Credential, tokens: StoredTokens, lifetime_s: float, now: datetime) -> float | None:
    """Return how long after a refresh the next one falls due."""
    new = replace(tokens, issued_at=now, expires_at=now + timedelta(seconds=lifetime_s))
    due_at = timing(credential, new).due_at
    return None if due_at is None else (due_at - now).total_seconds()
